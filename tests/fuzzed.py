"""Random damage to valid files, and every reader that gets files from outside: each input is read, or refused as invalid."""

from __future__ import annotations

import random
import re
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layouts import DETECTIONS, TRUTH
from layouts.registry import Found, Scene
from tiny_data import Picture

from metrics.errors import InputError

SECONDS = 20
"""Processor time; no input of a few kilobytes takes longer to read."""

_TOKEN = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\"[^\"\n]{0,40}\"|[A-Za-z_]\w*|[\[\]{}<>,:;=/\n]")
_INTERESTING = (
    b"", b"0", b"-1", b"1", b"1e999", b"-1e-999", b"NaN", b"nan", b"Infinity", b"-0.0", b"9" * 30, b"1" * 400,
    b"2147483648", b"9223372036854775808", b"18446744073709551616", b"0x10", b"1_000", b"1e3", b"1.5", b"null", b"true",
    b'""', b'"\\u0000"', b'"\\ud800"', b'"../../etc/passwd"', b'"/etc/passwd"', b"[]", b"{}", b"[[]]", b"\x00", b"\xff",
    b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"\t", "é".encode(), "\u202e".encode(), b"=1+1", b"&a;", b"<!DOCTYPE a>", b"*a",
    b"!!python/object:os.system", b"\x1b[31m", b"%s", b"[" * 2000,
)  # fmt: skip


def damaged(content: bytes, rng: random.Random) -> bytes:
    """`content` with one to four random changes of bytes, tokens or lines."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_CHANGES)(content, rng)
    return content


def _replace_token(content: bytes, rng: random.Random) -> bytes:
    tokens = list(_TOKEN.finditer(content))
    if not tokens:
        return content + rng.choice(_INTERESTING)
    token = rng.choice(tokens)
    new = rng.choice((*_INTERESTING, rng.choice(tokens)[0], rng.choice(tokens)[0]))
    return content[: token.start()] + new + content[token.end() :]


def _change_number(content: bytes, rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", content))
    if not numbers:
        return _flip(content, rng)
    number = rng.choice(numbers)
    value = float(number[0])
    new = rng.choice((value + 1, value - 1, -value, value * 1000, value / 1000, value + 0.5, 0.0))
    whole = abs(new) < 1e15 and new == int(new)
    text = str(int(new) if whole and rng.random() < 0.7 else new).encode()
    return content[: number.start()] + text + content[number.end() :]


def _flip(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return bytes([rng.randrange(256)])
    at = rng.randrange(len(content))
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[min(end, start + rng.choice((1, 8, 200, 10**6))) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:end] + content[start:end] * rng.choice((1, 2, 20)) + content[end:]


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(_INTERESTING) + content[at:]


def _truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _move_line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def _recode(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-16-le", "latin-1", "utf-8-sig", "utf-32")), "replace")


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _replace_token, _replace_token, _replace_token, _change_number, _change_number, _flip, _cut, _repeat, _insert, _truncate,
    _move_line, _recode,
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A reader and a valid input of it.

    Attributes:
        name: of reader and input.
        make: writes the valid input into an empty folder.
        read: reads it from the folder.
        spared: suffixes of files that stay as they are.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    spared: frozenset[str] = field(default=frozenset({".png", ".jpg"}))


def targets() -> dict[str, Target]:
    """Every reader, by name."""
    return {
        target.name: target for target in (*_truth(), *_detections(), *_records(), *_settings(), *_binary())
    }


def inputs(target: Target, folder: Path, seed: int) -> Iterator[tuple[Path, bytes]]:
    """Endless damaged inputs: each is in `folder` while the loop's body runs; the file that was changed, and its content.

    Raises:
        InputError: the undamaged input is refused.
    """
    rng = random.Random(f"{target.name} {seed}")
    target.make(folder)
    with limited():
        target.read(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in target.spared)
    while True:
        file = rng.choice(files)
        original = file.read_bytes()
        content = damaged(original, rng)
        file.write_bytes(content)
        try:
            yield file, content
        finally:
            file.write_bytes(original)


@contextmanager
def limited(seconds: int = SECONDS) -> Iterator[None]:
    """Raise `TimeoutError` if the block takes longer; warnings are shown to nobody."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(
        signal.ITIMER_PROF, seconds
    )  # of this process, so that other work on the machine does not count
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _scene() -> Scene:
    pictures = [
        Picture(f"{n:03}", objects=[(n % 2, (2.0 + n, 4, 20 + n, 30)), (0, (30, 10, 50, 40))])
        for n in range(1, 7)
    ]
    return Scene({"train": pictures[:3], "val": pictures[3:5], "test": pictures[5:]})


def _truth() -> Iterator[Target]:
    from bench.data.opening import open_dataset
    from metrics import read_truth

    def both(root: Path, options: Mapping[str, Any], format: str) -> None:
        with suppress(InputError):  # some layouts have no images that it could measure
            read_truth(root)
        dataset = open_dataset(str(root), format, **options)
        for split in dataset.splits.values():
            if len(split):
                split.load(0)

    for name, layout in TRUTH.items():
        yield Target(
            f"truth {name}",
            lambda folder, layout=layout: layout.write(folder, _scene()),
            lambda folder, layout=layout: both(folder, layout.options, layout.format),
        )


def _detections() -> Iterator[Target]:
    from metrics import read_detections
    from metrics.tables import AnnotationTable, Catalog

    pictures = _scene().pictures
    found = [Found(picture, 0, (30.0, 10.0, 50.0, 40.0), 0.5) for picture in pictures]
    catalog = Catalog.of(
        range(1, len(pictures) + 1),
        _scene().classes,
        [picture.size for picture in pictures],
        file_names=[f"{picture.name}.png" for picture in pictures],
    )
    truth = AnnotationTable.builder(catalog).build()
    for name, layout in DETECTIONS.items():
        paths: dict[str, Path] = {}

        def make(folder: Path, layout: Any = layout, paths: dict[str, Path] = paths) -> None:
            paths["to read"] = layout.write(folder, pictures, found)

        yield Target(
            f"detections {name}",
            make,
            lambda folder, paths=paths: read_detections(paths["to read"], truth),
            frozenset(),
        )


def _records() -> Iterator[Target]:
    from metrics import AnnotationTable, DetectionTable, evaluate
    from metrics.compare import groups_from_csv
    from metrics.formats.identity import parse_class_map
    from metrics.slices.manifest import read_manifest
    from reports.records.run import DataFacts, RunFolder, RunResult, save_result
    from reports.records.study import StudyFolder, StudyResult

    boxes = [[[1.0, 2.0, 20.0, 30.0]], [[4.0, 4.0, 40.0, 20.0]]]
    truth = AnnotationTable.from_images(boxes, [[0], [1]], classes=["cat", "dog"])
    found = DetectionTable.from_images(truth.catalog, boxes, [[0.5], [0.25]], [[0], [0]])

    def write_run(folder: Path) -> None:
        facts = DataFacts(
            name="d", format="coco", split="test", fingerprint=truth.fingerprint, images=2, objects=2, classes=2
        )  # fmt: skip
        headline = evaluate(truth, found).headline
        save_result(folder, RunResult(name="r", variant="ssd", data=facts, headline=headline), truth, found)
        (folder / RunFolder.HISTORY).write_text("epoch,loss,lr,val_ap\n1,2.5,0.01,0.1\n2,1.5,0.01,\n")

    def read_run(folder: Path) -> None:
        run = RunFolder.open(folder)
        _ = run.history
        run.matches()

    def write_study(folder: Path) -> None:
        study = {
            "name": "s", "variant": "ssd", "stage": "nms", "data": "shapes", "objectives": [{"text": "ap"}],
            "space": [{"path": "nms.iou", "low": 0.3, "high": 0.9, "default": 0.5}],
            "trials": [{"number": 0, "state": "complete", "values": [0.5], "params": {"nms.iou": 0.5}}],
        }  # fmt: skip
        StudyFolder.save(folder, StudyResult.model_validate(study))

    yield Target("run folder", write_run, read_run, frozenset())
    yield Target("study folder", write_study, StudyFolder.open, frozenset({".csv"}))
    yield Target(
        "class map",
        lambda folder: (folder / "map.json").write_text('{"1": 0, "3": 1}'),
        lambda folder: parse_class_map(str(folder / "map.json")),
    )
    yield Target(
        "groups",
        lambda folder: (folder / "g.csv").write_text("image,group\n0,ward 1\n1,ward 2\n"),
        lambda folder: groups_from_csv(folder / "g.csv", truth.catalog),
    )
    yield Target(
        "manifest",
        lambda folder: (folder / "m.csv").write_text("key,weather,hour\n0,rain,5\n1,sun,12\n"),
        lambda folder: read_manifest(folder / "m.csv", truth.catalog),
    )


def _settings() -> Iterator[Target]:
    from bench.settings.resolution import resolve

    toml = (
        'variant = "ssd"\nseed = 3\n[data]\ntrain = 12\nsize = [64, 64]\n[image]\nsize = [64, 96]\nresize = "stretch"\n'
        '[nms]\niou = 0.5\nmethod = "hard"\n[train]\nepochs = 2\nlr = 1e-3\n[backbone]\nname = "mb_tiny"\nweights = "none"\n'
    )
    yield Target(
        "settings file",
        lambda folder: (folder / "run.toml").write_text(toml),
        lambda folder: resolve("ssd", file=folder / "run.toml"),
    )
    sets = "nms.iou=0.4\nimage.size=64,96\ntrain.lr=1e-3\nbackbone.weights=none\ndata.objects=1,3\nseed=5\n"
    yield Target(
        "--set",
        lambda folder: (folder / "sets.txt").write_text(sets),
        lambda folder: resolve("ssd", sets=(folder / "sets.txt").read_text(errors="replace").splitlines()),
    )


def _binary() -> Iterator[Target]:
    import numpy as np
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    from bench.data.images import read_image
    from detectors.weights import read_weights

    tensors = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3)}
    for suffix, save in {"safetensors": save_file, "pth": torch.save}.items():
        yield Target(
            f"weights {suffix}",
            lambda folder, suffix=suffix, save=save: save(tensors, folder / f"w.{suffix}"),
            lambda folder, suffix=suffix: read_weights(folder / f"w.{suffix}"),
        )
    pixels = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint8)
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm"):
        yield Target(
            f"image {suffix}",
            lambda folder, suffix=suffix: Image.fromarray(np.stack([pixels] * 3, -1)).save(
                folder / f"i.{suffix}"
            ),
            lambda folder, suffix=suffix: read_image(folder / f"i.{suffix}"),
            frozenset(),
        )
