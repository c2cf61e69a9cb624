"""Groups of images that stay together in a split, equal images, and leakage between splits."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import Picture, pictures, write_coco

from bench.data.splits import hash_split, join_units, nearest_seed
from bench.data.types import Dataset
from bench.datasets import open_dataset
from bench.settings.resolution import resolve
from metrics.errors import InputError, InputWarning

GROUPED = st.lists(st.integers(0, 11), min_size=1, max_size=60)


def notes(data: Dataset, kind: str) -> list[str]:
    return [str(note) for note in data.notes if note.kind == kind]


def groups(data: Dataset) -> dict[str, set[object]]:
    return {
        name: set(split.truth.catalog.image_columns["data.groups"]) for name, split in data.splits.items()
    }


def warned(caught: pytest.WarningsRecorder) -> list[str]:
    return [str(one.message) for one in caught if issubclass(one.category, InputWarning)]


def names(data: Dataset) -> dict[str, set[str]]:
    return {name: set(split.truth.catalog.file_names) for name, split in data.splits.items()}


def videos(root: Path, count: int = 12, frames: int = 5, **extra: object) -> Path:
    """A COCO file of videos, each in its folder and with a field; file names have the video, too."""
    shown = [
        Picture(f"v{video:02d}/v{video:02d}_{frame}", objects=[(frame % 2, (8, 8, 32, 24))])
        for video in range(count)
        for frame in range(frames)
    ]
    file = write_coco(root / "videos.json", shown)
    document = json.loads(file.read_text())
    for image, picture in zip(document["images"], shown, strict=True):
        image |= {"file_name": f"{picture.name}.png", "clip": picture.name[:3], **extra}
    file.write_text(json.dumps(document))
    return file


@given(GROUPED, st.lists(st.floats(0.05, 1), min_size=2, max_size=3), st.integers(0, 2**32))
def test_a_group_is_never_divided_and_no_part_is_empty(labels, shares, seed):
    texts = [f"g{label}" for label in labels]
    units = join_units(texts)
    if len(set(texts)) < len(shares):
        return
    parts = hash_split(texts, shares, seed, units)
    found = [{texts[i] for i in part} for part in parts]
    assert all(found)
    assert sum(map(len, found)) == len(set(texts))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(texts)))


@given(GROUPED, GROUPED, st.integers(0, 2**32))
def test_added_images_do_not_move_groups_unless_a_part_was_empty(labels, more, seed):
    shares = (0.7, 0.15, 0.15)
    texts = [f"g{label}" for label in labels]
    both = texts + [f"g{label}" for label in more]
    before = hash_split(texts, shares, seed, join_units(texts), required=False)
    after = hash_split(both, shares, seed, join_units(both), required=False)
    for old, new in zip(before, after, strict=True):
        assert set(old.tolist()) == {index for index in new.tolist() if index < len(texts)}
    if all(map(len, before)):  # then the parts that must not be empty are the same
        again = hash_split(texts, shares, seed, join_units(texts))
        assert [part.tolist() for part in again] == [part.tolist() for part in before]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=20))
def test_units_are_the_connected_components_of_equal_keys(pairs):
    units = join_units([a for a, _ in pairs], [f"b{b}" for _, b in pairs])
    component = list(range(len(pairs)))  # brute force: relabel until nothing changes
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(pairs):
            for j, other in enumerate(pairs):
                if (one[0] == other[0] or one[1] == other[1]) and component[i] != component[j]:
                    component[i] = component[j] = min(component[i], component[j])
                    changed = True
    assert [[u == v for v in units] for u in units] == [[a == b for b in component] for a in component]
    assert list(dict.fromkeys(units.tolist())) == list(range(units.max() + 1))


@pytest.mark.parametrize(
    ("setting", "source"),
    [
        ("clip", "by the field 'clip'"),
        ("folder", "by folder"),
        (r"^(v\d+)_", r"by '^(v\\d+)_' in their names"),
        ("^v..", "by '^v..' in their names"),
        ("clips.csv", "by clips.csv"),
    ],
)
def test_images_of_a_group_are_in_one_split(tmp_path, monkeypatch, setting, source):
    monkeypatch.chdir(tmp_path)
    file = videos(tmp_path)
    rows = [f"v{k // 5:02d}/v{k // 5:02d}_{k % 5}.png,clip{k // 5}" for k in range(60)]
    Path("clips.csv").write_text("image,group\n" + "\n".join(rows))
    config = resolve("ssd", data=str(file), sets=[f"data.groups={setting}"])
    data = open_dataset(file, **config.data_options)
    assert sum(map(len, groups(data).values())) == 12
    assert not set.intersection(*groups(data).values())
    frames = {name: {Path(file).name[:3] for file in of} for name, of in names(data).items()}
    assert sum(map(len, frames.values())) == 12
    assert notes(data, "image_groups") == [f"60 images are in 12 groups {source}, with up to 5 images"]
    assert "split by a hash of their 12 groups and seed 0" in notes(data, "made_splits")[0]
    assert not notes(data, "divided_groups")


def test_groupings_that_are_equal_have_equal_fingerprints_and_others_differ(tmp_path):
    file = videos(tmp_path)
    field, name = open_dataset(file, groups="clip"), open_dataset(file, groups=r"^(v\d+)_")
    assert field.fingerprint == name.fingerprint
    with pytest.warns(InputWarning, match="the images are in several of"):
        assert open_dataset(file).fingerprint != field.fingerprint


def test_the_fingerprint_covers_groups_that_do_not_change_the_splits(tmp_path):
    root = given_splits(tmp_path / "mine", train=pictures(20), valid=pictures(10, 20), test=pictures(10, 30))
    plain, tens, same = (open_dataset(root, groups=groups) for groups in (None, "^img(0.)", "^(img0.)"))
    assert plain.splits["test"].fingerprint == tens.splits["test"].fingerprint  # runs can be compared
    assert plain.fingerprint != tens.fingerprint == same.fingerprint


def test_a_field_that_seems_to_group_images_is_suggested_and_the_suggestion_works(tmp_path):
    file = videos(tmp_path)
    with pytest.warns(InputWarning, match="in several of train, val, test") as caught:
        open_dataset(file)
    (advice,) = [fix for text in warned(caught) for fix in re.findall(r"--set (\S+)", text)]
    config = resolve("ssd", data=str(file), sets=[advice])
    assert not notes(open_dataset(file, **config.data_options), "divided_groups")


def test_any_field_of_the_images_may_group_them_and_images_without_it_are_alone(tmp_path):
    file = videos(tmp_path)
    document = json.loads(file.read_text())
    for image in document["images"]:
        image["weather"] = image.pop("clip") if image["id"] > 10 else None
    file.write_text(json.dumps(document))
    data = open_dataset(file, groups="weather")
    assert notes(data, "image_groups")[0].endswith("10 images without a group are each on their own")
    assert sum(map(len, groups(data).values())) == 20


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "patient",
            r"'patient' gives no image of .* a group; fields of the images: clip; a regular expression",
        ),
        ("(zzz)", "gives no image of"),
        ("(v", r"'\(v' is not a regular expression: missing \)"),
        ("none.csv", r"none\.csv: cannot be read as a table"),
        (
            r"(v)\d",
            "are in 1 group .*, too few for train, val, test; use a finer grouping, or give the splits",
        ),
    ],
)
def test_fault_96_groups_that_cannot_be_used_are_refused(tmp_path, setting, message):
    with pytest.raises(InputError, match=message):
        open_dataset(videos(tmp_path), groups=setting)


def test_uneven_groups_are_reported_with_a_seed_that_is_nearer(tmp_path):
    file = videos(tmp_path)
    opened = (open_dataset(file, groups="clip", seed=seed) for seed in range(20))
    data = next(data for data in opened if notes(data, "uneven_groups"))
    (note,) = notes(data, "uneven_groups")
    advice = re.search(r"\(train 42, val 9, test 9\); --set data\.seed=(\d+) gives (.*)", note)
    assert advice
    better = open_dataset(file, groups="clip", seed=int(advice[1]))
    sizes = {name: len(split) for name, split in better.splits.items()}
    assert ", ".join(f"{name} {size}" for name, size in sizes.items()) == advice[2]
    assert sizes in (
        {"train": 40, "val": 10, "test": 10},
        {"train": 45, "val": 10, "test": 5},
        {"train": 45, "val": 5, "test": 10},
    )
    assert not notes(better, "uneven_groups")


def test_the_nearest_seed_is_the_nearest():
    texts = [f"g{k}" for k in range(12)]
    units = np.arange(12)
    seed, sizes = nearest_seed(texts, (0.5, 0.5), 0, units, tries=30)
    all_sizes = [[len(p) for p in hash_split(texts, (0.5, 0.5), s, units)] for s in range(1, 31)]
    assert sizes == all_sizes[seed - 1]
    assert abs(sizes[0] - 6) == min(abs(one[0] - 6) for one in all_sizes)


def given_splits(root: Path, **parts: list[Picture]) -> Path:
    for name, content in parts.items():
        write_coco(root / name / "_annotations.coco.json", content)
    return root


def test_fault_97_leaking_images_are_counted_and_both_fixes_work(tmp_path):
    root = given_splits(tmp_path / "mine", train=pictures(20), valid=pictures(8, 18), test=pictures(8, 24))
    with pytest.warns(InputWarning, match="leakage") as caught:
        data = open_dataset(root)
    assert data.leaked == {"val": 2, "test": 2}
    texts = warned(caught)
    assert [re.sub(", so results.*", "", text) for text in texts] == [
        "leakage: train and val share 2 images",
        "leakage: val and test share 2 images",
    ]
    fixes = re.findall(r"--set (\S+?)(?:,|$)", texts[0])
    assert len(fixes) == 2
    for fix in fixes:
        config = resolve("ssd", data=str(root), sets=[fix])
        fixed = open_dataset(root, **config.data_options)  # a warning would be an error
        assert fixed.leaked == {"val": 0, "test": 0}
    dropped = open_dataset(root, leaks="dropped")
    assert {name: len(split) for name, split in dropped.splits.items()} == {"train": 18, "val": 6, "test": 8}
    assert notes(dropped, "dropped_leaks") == [
        "train: 2 of 20 images are dropped, because val or test has the same image or another one of its group "
        "(data.leaks=dropped)",
        "val: 2 of 8 images are dropped, because test has the same image or another one of its group (data.leaks=dropped)",
    ]


def test_fault_97_given_splits_that_divide_groups_are_leakage_and_the_fixes_work(tmp_path):
    root = given_splits(tmp_path / "mine", train=pictures(20), valid=pictures(8, 30), test=pictures(15, 45))
    pattern = "img0(.)"  # tens: 0 1 | 3 | 4 5
    assert open_dataset(root, groups=pattern).leaked == {"val": 0, "test": 0}
    pattern = r"img0.(\d)"  # units: in all
    with pytest.warns(InputWarning, match=r"share \d+ groups of images") as caught:
        data = open_dataset(root, groups=pattern)
    assert data.leaked == {"val": 8, "test": 15}
    assert warned(caught)[0].startswith(
        "leakage: train and val share 8 groups of images (data.groups), with 8 images"
    )
    for fix in re.findall(r"--set (\S+?)(?:,|$)", warned(caught)[0]):
        config = resolve("ssd", data=str(root), sets=[fix])
        options = {**config.data_options, "groups": pattern}
        if fix == "data.leaks=dropped":
            with pytest.raises(InputError, match="train: the split has no images"):
                open_dataset(root, **options)  # every group is in the test split here
        else:
            assert open_dataset(root, **options).leaked == {"val": 0, "test": 0}


def test_equal_images_are_drawn_into_one_split_and_added_copies_are_counted(tmp_path):
    file = write_coco(tmp_path / "a.json", pictures(60))
    plain = names(open_dataset(file))
    document = json.loads(file.read_text())
    for k in range(60, 90):  # a copy of each of the first thirty
        image = document["images"][k - 60]
        shutil.copy(tmp_path / image["file_name"], tmp_path / f"zcopy{k}.png")
        document["images"].append(image | {"id": k + 1, "file_name": f"zcopy{k}.png"})
        document["annotations"].append(document["annotations"][k - 60] | {"id": k + 1, "image_id": k + 1})
    file.write_text(json.dumps(document))
    data = open_dataset(file)
    assert notes(data, "equal_images") == [
        "30 of these images have the same content as another one, and are in the split of the other one"
    ]
    assert not notes(data, "leakage")
    for name, of in names(data).items():
        # the older names are first in the alphabet, so that nothing moved
        assert {file for file in of if file.startswith("img")} == plain[name]
        assert {f"img{int(file[5:7]) - 60:03d}.png" for file in of if file.startswith("z")} < plain[name]


def test_too_few_images_are_in_all_splits_and_count_as_leaked(tmp_path):
    file = write_coco(tmp_path / "a.json", pictures(2))
    with pytest.warns(InputWarning, match="too few to split"):
        assert open_dataset(file).leaked == {"val": 2, "test": 2}


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=6, max_size=25), st.integers(0, 5))
def test_drawn_splits_tear_neither_groups_nor_equal_images(tmp_path_factory, rows, seed):
    """Images that share a group or their bytes, in any combination."""
    root = tmp_path_factory.mktemp("groups")
    shown = [Picture(f"g{group}n{k}") for k, (group, _) in enumerate(rows)]
    file = write_coco(root / "a.json", shown)
    for picture, (_, content) in zip(shown, rows, strict=True):
        Picture(f"content{content}").save(root).rename(root / f"{picture.name}.png")
    if max(join_units([group for group, _ in rows], [f"c{content}" for _, content in rows])) < 2:
        with pytest.raises(InputError, match="too few for train, val, test"):
            open_dataset(file, groups="g(.)", seed=seed)
        return
    data = open_dataset(file, groups="g(.)", seed=seed)
    shutil.rmtree(root)
    assert data.leaked == {"val": 0, "test": 0}
    together = {}
    for name, split in data.splits.items():
        for file_name in split.truth.catalog.file_names:
            group, content = rows[int(file_name[3:-4])]
            assert together.setdefault(("g", group), name) == name
            assert together.setdefault(("c", content), name) == name
