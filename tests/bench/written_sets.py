"""Images and objects in memory, with awkward names, that tests write as data sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.convert.image_set import ImageSet, Picture
from metrics.tables import AnnotationTable, Catalog

NAMES = (
    "a.png", "A.png", "007.png", "7.png", "a b.png", "a+b.png", "a%20b.png", "naïve.png", "画像.png", "x.y.png",
    "deep/a.png", "other/a.png", "a.jpg.png", "%.png", ".hidden.png", "no suffix", " spaced .png", "semi;colon,comma.png",
    "what?.png", "quo'te\".png", "new\nline.png", "C:drive.png", "back\\slash.png",
)  # fmt: skip
"""Paths of images in their data set. On disk they are whatever the writer makes of them."""

CLASSES = (
    "cat",
    "Cat",
    "cat ",
    "007",
    "no",
    "null",
    "a: b",
    "größe",
    "<b>&amp;",
    "[x]",
    "#1",
    "two\nlines",
    "'",
    "-",
)


@dataclass(frozen=True)
class Drawing:
    """Draws an image of one colour, which no other image of the data set has."""

    number: int
    size: tuple[int, int]

    def __call__(self) -> NDArray[np.uint8]:
        return np.full((*self.size, 3), [self.number % 256, self.number // 256, 77], np.uint8)


SIDES = (1.5, 2.0, 7.25, 10.0, 1 / 3 + 3)
CORNERS = (0.0, 0.1, 1.0, 5.0, 11.7, 20.0)
HEIGHT, WIDTH = 32, 48  # a box of SIDES at CORNERS is within an image


@st.composite
def image_sets(
    draw: st.DrawFn,
    flags: bool = True,
    awkward: bool = True,
    purposes: tuple[str | None, ...] = ("train", "val", "test"),
) -> list[ImageSet]:
    """One to three splits with images of distinct paths; each split has an object that is neither crowd nor ignored.

    Args:
        draw: given by Hypothesis.
        flags: whether there are crowd regions and ignored objects.
        awkward: whether paths and classes are awkward ones.
        purposes: of the splits.
    """
    pool = NAMES if awkward else tuple(f"{k:03}.png" for k in range(30))
    classes = draw(
        st.lists(
            st.sampled_from(CLASSES if awkward else ("cat", "dog", "owl")),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    class_ids = sorted(draw(st.sets(st.integers(0, 90), min_size=len(classes), max_size=len(classes))))
    strings = draw(st.booleans())
    sets = []
    number = 0
    for purpose in purposes:
        names = draw(st.lists(st.sampled_from(pool), min_size=3, max_size=6, unique=True))
        ids = sorted(draw(st.sets(st.integers(0, 99), min_size=len(names), max_size=len(names))))
        size = (HEIGHT, WIDTH)
        catalog = Catalog.of(
            [f"{identity:03}" for identity in ids] if strings else ids,
            classes,
            [size] * len(names),
            names,
            class_ids,
        )
        place = st.tuples(st.integers(0, len(names) - 1), st.integers(0, len(classes) - 1))
        side, corner = st.sampled_from(SIDES), st.sampled_from(CORNERS)
        row = st.tuples(place, st.tuples(corner, corner, side, side), st.integers(0, 4 if flags else 2))
        rows = [*draw(st.lists(row, max_size=8)), ((0, 0), (1.0, 2.0, 8.0, 9.5), 0)]
        distinct = {(where, box): kind for where, box, kind in rows}
        truth = AnnotationTable.of(
            catalog,
            np.array([where[0] for where, _ in distinct]),
            np.array([where[1] for where, _ in distinct]),
            np.array([box for _, box in distinct]),
            crowd=np.array([kind == 3 for kind in distinct.values()]),
            ignored=np.array([kind == 4 for kind in distinct.values()]),
            object_id=draw(st.permutations(range(10, 10 + len(distinct)))),
        )
        pictures = tuple(Picture(name, None, Drawing(number + k, size)) for k, name in enumerate(names))
        number += len(names)
        sets.append(ImageSet(purpose, truth, pictures))
    return sets
