"""``python -m metrics --masks``: folders of label maps against counts pixel by pixel and pycocotools."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from metrics.command_line import main
from metrics.errors import InputWarning
from metrics.evaluation import TABLE_COLUMNS
from metrics.mask_files import score_masks

CLASSES = ("background", "cat", "dog")
VOID = 255


def write(folder: Path, maps: dict[str, NDArray[np.uint8]]) -> Path:
    for name, labels in maps.items():
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(file)
    return folder


def drawn(seed: int, void: bool) -> dict[str, NDArray[np.uint8]]:
    """Three label maps of different sizes."""
    rng = np.random.default_rng(seed)
    labels = [0, 1, 2, VOID] if void else [0, 1, 2]
    return {
        name: rng.choice(labels, size).astype(np.uint8)
        for name, size in (("a", (5, 7)), ("b", (4, 4)), ("sub/c", (3, 9)))
    }


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "truth", drawn(1, void=True)), write(tmp_path / "found", drawn(2, void=False))


def brute_force(truth: dict[str, NDArray[np.uint8]], found: dict[str, NDArray[np.uint8]]) -> dict[str, float]:
    """IoU, Dice, precision, recall and specificity of each class, and pixel accuracy, by a loop over pixels."""
    pairs = [
        (int(t), int(f))
        for name in truth
        for t, f in zip(truth[name].ravel(), found[name].ravel(), strict=True)
        if t != VOID
    ]
    values = {"pixel_accuracy": sum(t == f for t, f in pairs) / len(pairs)}
    for label, name in enumerate(CLASSES):
        tp = sum(t == f == label for t, f in pairs)
        fp = sum(f == label != t for t, f in pairs)
        fn = sum(t == label != f for t, f in pairs)
        tn = len(pairs) - tp - fp - fn
        values[f"miou:{name}"] = tp / (tp + fp + fn)
        values[f"mdice:{name}"] = 2 * tp / (2 * tp + fp + fn)
        values[f"pixel_precision:{name}"] = tp / (tp + fp)
        values[f"pixel_recall:{name}"] = tp / (tp + fn)
        values[f"pixel_specificity:{name}"] = tn / (tn + fp)
        values[f"pixel_accuracy:{name}"] = (tp + tn) / len(pairs)
    return values


def test_every_number_equals_a_count_pixel_by_pixel(maps: tuple[Path, Path]) -> None:
    evaluation = score_masks(*maps, CLASSES)
    assert evaluation.images == ("a", "b", "sub/c")
    expected = brute_force(drawn(1, void=True), drawn(2, void=False))
    for key, value in expected.items():
        name, _, class_name = key.partition(":")
        assert evaluation.value(name, class_name) == pytest.approx(value, abs=1e-15), key
    ious = [expected[f"miou:{name}"] for name in CLASSES]
    assert evaluation.value("miou") == pytest.approx(sum(ious) / 3)


def test_areas_and_iou_of_one_image_equal_those_of_pycocotools(tmp_path: Path) -> None:
    truth, found = ({"a": drawn(seed, void=False)["a"]} for seed in (1, 2))
    evaluation = score_masks(write(tmp_path / "t", truth), write(tmp_path / "f", found), CLASSES)
    counts = evaluation.counts
    for label, name in enumerate(CLASSES):
        one, other = (
            coco_mask.encode(np.asfortranarray(each["a"] == label, np.uint8)) for each in (truth, found)
        )
        assert counts.truth[0, label] == coco_mask.area(one)
        assert counts.predicted[0, label] == coco_mask.area(other)
        assert evaluation.value("miou", name) == pytest.approx(
            float(coco_mask.iou([one], [other], [False])[0, 0])
        )


def test_the_command_prints_and_writes_the_same_numbers(
    maps: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ",".join(CLASSES)
    files = [tmp_path / "m.csv", tmp_path / "m.json"]
    options = ["--masks", "--classes", names, "--csv", str(files[0]), "--json", str(files[1])]
    assert main([*map(str, maps), *options]) == 0
    printed = capsys.readouterr().out
    assert "3 images" in printed
    evaluation = score_masks(*maps, CLASSES)
    assert f"miou               {evaluation.value('miou'):.3f}" in printed
    rows = list(csv.DictReader(files[0].read_text().splitlines()))
    assert tuple(rows[0]) == TABLE_COLUMNS
    by_name = {(row["metric"], row["class_name"]): float(row["value"]) for row in rows}
    assert by_name["miou", "cat"] == evaluation.value("miou", "cat")
    document = json.loads(files[1].read_text())
    assert document["headline"]["miou"] == evaluation.value("miou")
    assert document["areas"][1]["class"] == "cat"
    assert main([*map(str, maps), "--masks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["headline"]["miou"] == evaluation.value("miou")


def test_a_limit_fails_the_command(maps: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*map(str, maps), "--masks", "--fail-below", "miou=0.9"]) == 1
    assert "miou is 0.2" in capsys.readouterr().err
    assert main([*map(str, maps), "--masks", "--fail-below", "miou:1=0.1"]) == 0


def test_palette_and_one_bit_images_are_read_by_index(tmp_path: Path) -> None:
    labels = drawn(1, void=True)["a"]
    image = Image.fromarray(labels, "L")
    write(tmp_path / "found", {"a": np.where(labels == VOID, 0, labels).astype(np.uint8)})
    palette = image.copy()
    palette.putpalette([value for k in range(256) for value in (k, 255 - k, 7)])
    assert palette.mode == "P"
    (tmp_path / "truth").mkdir()
    palette.save(tmp_path / "truth" / "a.png")
    assert score_masks(tmp_path / "truth", tmp_path / "found").value("miou") == 1
    Image.fromarray(labels == 1).save(tmp_path / "truth" / "a.png")
    write(tmp_path / "found", {"a": (labels == 1).astype(np.uint8)})
    assert score_masks(tmp_path / "truth", tmp_path / "found").value("miou") == 1


def test_without_an_ignored_label_every_pixel_counts(maps: tuple[Path, Path]) -> None:
    whole = sum(labels.size for labels in drawn(2, void=False).values())
    assert score_masks(maps[1], maps[1], ignore=None).overlap.pixels == whole
    assert score_masks(*maps).overlap.pixels < whole


WRONG = {
    "size": ({"a": np.zeros((2, 3), np.uint8)}, r"a.png: 3 x 2 pixels, and .*truth/a.png has 7 x 5; resize the label map"),
    "label": (
        {"a": np.full((5, 7), 9, np.uint8)},
        r"a.png: label 9 in 35 pixels; there are 3 classes, with labels from 0, and 255 is ignored; give the names of all",
    ),
    "missing": ({"z": np.zeros((2, 2), np.uint8)}, r"found: no label map for 3 of the 3 in .*truth: a, b, sub/c; files are matched"),
    "colour": ({"a": np.zeros((5, 7, 3), np.uint8)}, r"a.png: an image in RGB; a label map has one channel"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_fault_111_wrong_label_maps_are_errors_of_one_line(
    name: str, maps: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files, message = WRONG[name]
    if name == "missing":
        for file in maps[1].rglob("*.png"):
            file.unlink()
    write(maps[1], files)
    assert main([*map(str, maps), "--masks", "--classes", ",".join(CLASSES)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error


def test_fault_111_a_damaged_file_and_wrong_options_are_errors_of_one_line(
    maps: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (["--masks", "--ignore", "1", "--classes", "a,b,c"], "--ignore 1: is the label of class 'b'"),
        (["--masks", "--ignore", "x"], "--ignore x: expected a label such as 255, or none"),
        (["--masks", "--iou", "0.5", "--verify"], "--masks: --iou, --verify are for boxes; leave them out"),
        (["--ignore", "3"], "--ignore: is for label maps; give --masks, too"),
        (["--masks", "--fail-below", "mio=0.5"], "--fail-below: no measure 'mio'; did you mean 'miou'"),
    ):
        assert main([*map(str, maps), *options]) == 2
        assert message in capsys.readouterr().err
    (maps[1] / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main([*map(str, maps), "--masks"]) == 2
    assert "a.png: cannot be read as a PNG image" in capsys.readouterr().err
    assert main([str(maps[0] / "none"), str(maps[1]), "--masks"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_fault_111_label_maps_without_truth_are_left_out_with_a_warning(maps: tuple[Path, Path]) -> None:
    expected = score_masks(*maps).value("miou")
    write(maps[1], {"more": np.zeros((2, 2), np.uint8)})
    with pytest.warns(InputWarning, match=r"1 label map is not in .*truth and left out: more"):
        assert score_masks(*maps).value("miou") == expected


def test_torch_is_not_needed(maps: tuple[Path, Path]) -> None:
    code = f"import sys; sys.modules['torch'] = None; from metrics.command_line import main; sys.exit(main({[*map(str, maps), '--masks']!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
