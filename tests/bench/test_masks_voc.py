"""Class images of Pascal VOC become label maps: numbers and colours of classes, orientation and fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from masked_data import (
    SIZE,
    facts,
    map_of,
)
from numpy.typing import NDArray
from PIL import Image
from tiny_data import Picture, write_voc

from bench.datasets import open_dataset
from metrics.errors import InputError
from metrics.formats.voc_colors import voc_colors
from metrics.pixel_labels import IGNORED

pytestmark = pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning", "ignore::DeprecationWarning")


def write_class_images(
    root: Path, classes: Sequence[str], numbers: NDArray[np.uint8], masked: int = 8, form: str = "palette"
) -> Path:
    """A VOC folder of eight images; `masked` of them have the pixels `numbers` in ``SegmentationClass``."""
    pictures = [Picture(f"v{k}", SIZE, [(k % len(classes), (4, 4, 20, 20))]) for k in range(8)]
    write_voc(root, pictures, classes=classes)
    folder = root / "SegmentationClass"
    folder.mkdir()
    for k in range(masked):
        image = Image.fromarray(numbers)
        if form == "palette":
            image = image.convert("P")
            image.putpalette(voc_colors().ravel().tolist())
        elif form == "rgb":
            image = Image.fromarray(voc_colors()[numbers])
        image.save(folder / f"v{k}.png")
    return root


def voc_numbers(*numbers: int) -> NDArray[np.uint8]:
    """Background, a void border, and a square of each number."""
    pixels = np.zeros(SIZE, np.uint8)
    for k, number in enumerate(numbers):
        pixels[3:17, 3 + 16 * k : 17 + 16 * k] = 255
        pixels[4:16, 4 + 16 * k : 16 + 16 * k] = number
    return pixels


@pytest.mark.parametrize("form", ["palette", "grey", "rgb"])
def test_voc_numbers_are_those_of_vocs_classes(tmp_path, form):
    numbers = voc_numbers(8, 15)  # cat, person
    root = write_class_images(tmp_path, ("person", "cat"), numbers, form=form)
    data = open_dataset(root)
    assert data.classes == ("cat", "person")
    expected = np.select([numbers == 8, numbers == 15, numbers == 255], [1, 2, IGNORED], 0)
    for split in data.splits.values():
        np.testing.assert_array_equal(map_of(split), expected)
    (note,) = [note for note in data.notes if note.kind == "class_images"]
    assert (
        "8 of 8 images have a mask, with the numbers of Pascal VOC; classes without objects are background: "
        in note.text
    )


def test_numbers_of_other_classes_are_guessed_by_the_alphabet_which_is_reported(tmp_path):
    numbers = voc_numbers(1, 2)
    data = open_dataset(write_class_images(tmp_path, ("zebra", "apple"), numbers, masked=7))
    masked = [
        (split, k)
        for split in data.splits.values()
        for k in range(len(split))
        if split.truth.catalog.image_ids[k] != "v7"
    ]
    for split, index in masked:
        expected = np.select([numbers == 1, numbers == 2, numbers == 255], [1, 2, IGNORED], 0)
        np.testing.assert_array_equal(map_of(split, index), expected)
    assert len(masked) == 7
    (note,) = [note for note in data.notes if note.kind == "class_images"]
    assert (
        "7 of 8 images have a mask, with the numbers from 1 in alphabetical order of the classes" in note.text
    )
    without = next(split for split in data.splits.values() if "v7" in split.truth.catalog.image_ids)
    assert (map_of(without, without.truth.catalog.image_ids.index("v7")) == IGNORED).all()
    assert facts(without).images == len(without) - 1


@pytest.mark.parametrize("form", ["palette", "rgb"])
def test_a_labelmap_names_the_class_of_each_colour(tmp_path, form):
    colors = voc_colors()
    numbers = voc_numbers(5, 7)
    root = write_class_images(tmp_path, ("zebra", "apple"), numbers, form=form)
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [
        f"{name}:{','.join(map(str, colors[n]))}::" for name, n in (("zebra", 5), ("shadow", 7), ("apple", 9))
    ]
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n")
    data = open_dataset(root)
    expected = np.select([numbers == 5, numbers == 7, numbers == 255], [2, 0, IGNORED], 0)
    np.testing.assert_array_equal(map_of(data.splits["train"]), expected)
    (note,) = [note for note in data.notes if note.kind == "class_images"]
    assert note.text.endswith(
        "with the colours of labelmap.txt; classes without objects are background: shadow"
    )


@pytest.mark.parametrize(
    ("labelmap", "message"),
    [
        (
            None,
            r"v\d\.png: 144 pixels have the number 77, which belongs to no class; add a line to labelmap\.txt",
        ),
        ("zebra:128,0,0::\n", r"v\d\.png: 144 pixels have the colour \d+,\d+,\d+, which belongs to no class"),
        ("zebra 128 0 0\n", r"labelmap\.txt:1: expected name:r,g,b:parts:actions"),
        ("zebra:1,1,1::\napple:1,1,1::\n", r"labelmap\.txt:2: 'apple' has the colour of 'zebra'"),
    ],
)
def test_fault_110_pixels_of_no_class_and_wrong_colours_are_refused(tmp_path, labelmap, message):
    root = write_class_images(tmp_path, ("zebra", "apple"), voc_numbers(77))
    if labelmap is not None:
        (root / "labelmap.txt").write_text(labelmap)
    with pytest.raises(InputError, match=message):
        map_of(open_dataset(root).splits["train"])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_class_images_are_turned_with_their_images(tmp_path, orientation):
    """Of an image whose sides EXIF swaps, the class image can be as stored or upright; both cover what is painted."""
    numbers = voc_numbers(1)
    numbers[numbers == 255] = 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("stored", "upright") if orientation > 4 else ("upright",):
        root = write_class_images(tmp_path / form, ("apple",), numbers)
        pixels = np.repeat((numbers == 1).astype(np.uint8)[:, :, None] * 255, 3, 2)
        for k in range(8):
            path = root / "JPEGImages" / f"v{k}.png"
            pixels[0, 0, 0] = k  # no two files are equal
            Image.fromarray(pixels).save(path, exif=exif)
            upright = np.asarray(Image.open(path).convert("RGB"))
            xml = root / "Annotations" / f"v{k}.xml"
            if orientation > 4:
                xml.write_text(
                    xml.read_text().replace(
                        "<width>56</width><height>40</height>", "<width>40</width><height>56</height>"
                    )
                )
        split = open_dataset(root).splits["train"]
        shown = split.load(0)
        assert shown.shape[:2] == (SIZE[::-1] if orientation > 4 else SIZE)
        if form == "upright":
            for k in range(8):
                Image.fromarray((split.load(0)[:, :, 1] > 127).astype(np.uint8)).save(
                    root / "SegmentationClass" / f"v{k}.png"
                )
            split = open_dataset(root).splits["train"]
        np.testing.assert_array_equal(map_of(split) == 1, shown[:, :, 1] > 127)
        assert upright.size


def test_fault_110_a_class_image_of_another_size_is_refused(tmp_path):
    root = write_class_images(tmp_path, ("apple",), voc_numbers(1)[:, :-1])
    with pytest.raises(
        InputError, match=r"v\d\.png: 55x40 pixels, but its image v\d\.png has 56x40; make them equal"
    ):
        map_of(open_dataset(root).splits["train"])


def test_the_contents_of_class_images_are_part_of_the_mask_fingerprint(tmp_path):
    root = write_class_images(tmp_path, ("apple",), voc_numbers(1))

    def prints() -> tuple[str, str]:
        data = open_dataset(root)
        assert data.mask_fingerprint is not None
        return data.fingerprint, data.mask_fingerprint()

    before = prints()
    assert prints() == before
    changed = voc_numbers(1)
    changed[30, 30] = 1
    Image.fromarray(changed).save(root / "SegmentationClass" / "v3.png")
    after = prints()
    assert after[0] == before[0]
    assert after[1] != before[1]
