"""Class maps and YAML descriptions that are wrong, or made to exhaust their reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.errors import InputError, InputWarning
from metrics.formats.identity import parse_class_map
from metrics.formats.yolo_description import read_yaml

BOUND = 2**63


@pytest.mark.parametrize(
    "text",
    [
        '{"0": Infinity, "1": 2}', '{"0": NaN}', '{"0": 1.5}', '{"0": true}', '{"0": null}', '{"0": [1]}', '{"0": {}}',
        '{"0": "x"}', '{"a": 1}', '{"1e3": 1}', '{" 0": 1}', '{"0x1": 1}', '{"1_0": 1}', '{"\\u0663": 1}', '{"": 1}',
        f'{{"{BOUND}": 1}}', f'{{"0": {BOUND}}}', f'{{"{"9" * 5000}": 1}}', '{"0": 1e300}', '{"0": 1, "0": 2}',
        '{"0": 1, "00": 2}', "[]", "[[0, 1]]", "null", "3", '"a"',
    ],
)  # fmt: skip
def test_fault_74_a_class_map_that_is_not_pairs_of_ids_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "map.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"map\.json: expected pairs of class ids such as") as caught:
        parse_class_map(str(file))
    assert len(str(caught.value)) < len(str(file)) + 200


@given(st.dictionaries(st.integers(-BOUND, BOUND - 1), st.integers(-BOUND, BOUND - 1), max_size=5))
def test_class_maps_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, pairs: dict[int, int]
) -> None:
    file = tmp_path_factory.mktemp("map") / "map.json"
    file.write_text(json.dumps(pairs))
    assert parse_class_map(str(file)) == pairs


def yaml_in(folder: Path, text: str) -> Path:
    for split in ("train", "val"):
        (folder / "data" / split).mkdir(parents=True, exist_ok=True)
        (folder / "data" / split / "a.png").touch()
    path = folder / "data" / "data.yaml"
    path.write_text(f"train: train\nval: val\n{text}\n")
    return path


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}]}}\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BOMB}names: *i", "names: expected a name for class 0, got a list"),
        ("names: &n [*n]", "names: expected a name for class 0, got a list"),
        ("names: [[a], b]", "names: expected a name for class 0, got a list"),
        ("names: {0: {a: b}}", "names: expected a name for class 0, got a dict"),
        ("names: abc", "names: expected a list of class names"),
        ("nc: -1", "nc: expected the number of classes, 1 to 100,000, got -1"),
        ("nc: 4000000000", "nc: expected the number of classes, 1 to 100,000, got 4000000000"),
        ("nc: 4000000000\nnames: [a]", "nc: expected the number of classes, 1 to 100,000, got 4000000000"),
        ("nc: many\nnames: [a]", "nc: expected the number of classes, 1 to 100,000, got many"),
        ("nc: [1]\nnames: [a]", "nc: expected the number of classes, 1 to 100,000, got a list"),
        ("nc: 0\nnames: [a]", "nc: expected the number of classes, 1 to 100,000, got 0"),
        ("path: [a]\nnames: [a]", "path: expected a folder, got a list"),
        (f"names: {'[' * 5000}{']' * 5000}", "is nested too deeply"),
    ],
)
def test_fault_74_a_description_that_is_no_description_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=r"data\.yaml: ") as caught:
        read_yaml(yaml_in(tmp_path, text))
    assert message in str(caught.value)


def test_fault_74_merged_keys_are_not_multiplied(tmp_path: Path) -> None:
    assert read_yaml(yaml_in(tmp_path, f"{MERGES}names: [a]")).names == ("a",)


@pytest.mark.parametrize("outside", ["../elsewhere", "{absolute}"])
def test_fault_75_a_path_that_leads_out_of_the_folder_is_a_warning(tmp_path: Path, outside: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    for split in ("train", "val"):
        (elsewhere / split).mkdir(parents=True)
        (elsewhere / split / "b.png").touch()
    path = yaml_in(tmp_path, f"path: {outside.format(absolute=elsewhere)}\nnames: [a]")
    with pytest.warns(
        InputWarning, match=r"path: leads out of its folder, to .*elsewhere, whose images are read"
    ):
        described = read_yaml(path)
    assert described.splits["train"] == [elsewhere / "train" / "b.png"]
