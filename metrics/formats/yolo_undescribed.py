"""YOLO data sets without a description: only images and text files, and perhaps a list of class names under any name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import is_hidden, visible_files
from metrics.formats.image_search import image_files, name_key
from metrics.formats.purpose import is_purpose, parse_purpose
from metrics.formats.untrusted import read_head, read_text, refuse_binary
from metrics.formats.yolo_labels import label_name
from metrics.notes import Note, report
from metrics.plurals import plural

_LISTS = re.compile(
    r"[_.]?((my|obj|object|predefined|yolo|data|dataset|darknet|coco|train)[_ -]?)?"
    r"(class|classes|label|labels|name|names|category|categories)([_ -]?(list|map|name|names|id|ids))?",
    re.IGNORECASE,
)
_TRIED = 20
"""Text files of a folder that are looked at to recognise the format."""
_MOST_CLASSES = 10_000
_LARGEST_YAML = 1 << 20


def undescribed_files(path: Path) -> list[Path]:
    """The folder itself if some text files in it are of YOLO and called like images in it; else nothing."""
    if not path.is_dir():
        return []
    stems: set[str] | None = None
    for folder in _folders(path):
        for file in islice(_text_files(folder), _TRIED):
            if _is_label(read_head(file, 4096).partition(b"\n")[0]):
                stems = stems or {name_key(image.stem) for image in image_files(path, recursive=True)}
                if label_name(file) in stems:
                    return [path]
    return []


def undescribed_names(folder: Path, labels: Iterable[Path]) -> tuple[str, ...]:
    """Class names of text files without a description.

    They are the lines of a file such as ``labels.txt`` or ``predefined_classes.txt``, or else the numbers from 0 to the largest
    class in the text files. Either is reported.

    Args:
        folder: of the data set.
        labels: the text files of images.

    Raises:
        InputError: two files list different names, or a YAML file names splits, but no classes.
    """
    _refuse_nameless(folder)
    files = set(labels)
    count = 1 + max((_largest_class(file) for file in files), default=-1)
    lists: dict[tuple[str, ...], Path] = {}
    for file in _lists(folder):
        if file not in files:
            names = tuple(line.strip() for line in read_text(file).splitlines() if line.strip())
            if len(names) >= count and not any(_is_label(name.encode()) for name in names):
                lists.setdefault(names, file)
    if len(lists) > 1:
        first, second, *_ = lists.values()
        raise InputError(
            f"{folder}: {first} and {second} list different class names; keep one, or write a data.yaml with names"
        )
    for names, file in lists.items():
        text = f"{folder}: has no data.yaml; {file.relative_to(folder)} is read as the list of its {plural(len(names), 'class name')}"
        report(Note("listed_names", text, str(folder), {"classes": len(names)}))
        return names
    text = (
        f"{folder}: has no data.yaml and no list of class names; the {plural(count, 'class is', 'classes are')} called 0 .. {count - 1}, up to the largest "
        f"in the text files; to name them, add a file classes.txt with a name in each line"
    )
    report(Note("made_names", text, str(folder), {"classes": count}))
    return tuple(map(str, range(count)))


def _refuse_nameless(folder: Path) -> None:
    for file in visible_files(folder, "*.y*ml"):
        refuse_binary(file)
        lines = read_head(file, _LARGEST_YAML).decode("utf-8", "replace").splitlines()
        keys = {line.partition(":")[0].strip("\"'") for line in lines if ":" in line and line[:1].isalnum()}
        splits = sorted(key for key in keys if is_purpose(key))
        if len({parse_purpose(key) for key in splits}) > 1:
            raise InputError(
                f"{file}: has {' and '.join(splits)}, but no names; add the class names, as in names: [cat, dog], or, if it describes "
                f"no data set, move it out of the folder"
            )


def _folders(path: Path) -> Iterator[Path]:
    """A folder and those at most two levels below it, those called like folders of text files first."""
    found, level = [path], [path]
    for _ in range(2):
        level = [
            folder / name
            for folder in level
            for name in os.listdir(folder)
            if not is_hidden(name) and (folder / name).is_dir()
        ]
        found += level
    yield from sorted(found, key=lambda folder: ("label" not in folder.name.lower(), folder))


def _text_files(folder: Path) -> Iterator[Path]:
    for name in sorted(os.listdir(folder)):
        if name.lower().endswith(".txt") and not is_hidden(name) and (folder / name).is_file():
            yield folder / name


def _is_label(line: bytes) -> bool:
    """Whether a line is that of an object: a class, and four relative coordinates or more than five."""
    words = line.replace(b",", b" ").split()
    try:
        label, *values = map(float, words)
    except ValueError:
        return False
    return (
        (len(values) == 4 or len(values) > 5)
        and label.is_integer()
        and 0 <= label < _MOST_CLASSES
        and all(-1.5 <= value <= 2 for value in values)
    )


def _largest_class(file: Path) -> int:
    """The largest class of a text file; -1 without objects. Lines that are none are refused when they are read."""
    words = (line.replace(",", " ").split(maxsplit=1)[:1] for line in read_text(file).splitlines())
    numbers = (float(word) for found in words for word in found if re.fullmatch(r"\d{1,5}(\.0*)?", word))
    return max((int(number) for number in numbers if number < _MOST_CLASSES), default=-1)


def _lists(folder: Path) -> list[Path]:
    texts = [
        file
        for pattern in ("*.txt", "*/*.txt", "*/*/*.txt", "*/*.names", "*/*.labels", "*.labels")
        for file in visible_files(folder, pattern)
    ]
    return [file for file in texts if _LISTS.fullmatch(file.stem)]
