"""Settings of a run: precedence of sources, origins, errors and descriptions."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, create_model
from tiny_data import pictures, write_coco

from bench.cli import main
from bench.settings import presets as presets_module
from bench.settings.config import RunConfig, setting_fields
from bench.settings.descriptions import describe
from bench.settings.errors import SettingsError
from bench.settings.presets import presets, read_preset
from bench.settings.resolution import open_entries, resolve
from detectors.config import Config
from detectors.registry import VARIANTS, Variant
from detectors.search_range import Choice, Range
from metrics.errors import InputError
from metrics.formats import coco, layouts


def mistake(*sets: str, variant: str = "ssd", **more) -> str:
    with pytest.raises(InputError) as caught:
        resolve(variant, sets=sets, **more)
    return str(caught.value)


def test_fault_55_an_unknown_key_names_the_nearest_one():
    assert mistake("nms.iuo=0.5") == "nms.iuo: no such setting; did you mean 'iou'?"


def test_fault_55_a_key_of_a_section_given_without_it_names_its_path():
    assert mistake("iou=0.5") == "iou: no such setting; did you mean 'nms.iou'?"


def test_fault_55_a_key_without_a_similar_one_lists_the_known_keys():
    assert mistake("evaluate.xyzzy=1").startswith(
        "evaluate.xyzzy: no such setting; known in evaluate: split, batch"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("train.lr=fast", "train.lr: expected a number, got 'fast'"),
        ("train.epochs=1.5", "train.epochs: expected a whole number, got 1.5"),
        ("train.epochs=true", "train.epochs: expected a whole number, got True"),
        ('train.lr="0.1"', "train.lr: expected a number, got '0.1'"),
        ("deterministic=1", "deterministic: expected true or false, got 1"),
        ("train.epochs=-1", "train.epochs: expected at least 0, got -1"),
        ("train.lr=0", "train.lr: expected a number above 0.0, got 0"),
        (
            "train.optimizer=adam",
            "train.optimizer: expected one of 'adamw', 'sgd' or 'lion', got 'adam'; did you mean 'adamw'?",
        ),
        ("nms=3", "nms: a section, not a value; set what is in it, as in nms.score=3"),
        ("data.size=3", "data.size: expected a list, as in [1, 2], got 3"),
        ("train.lr=nan", "train.lr: expected a finite number, got nan"),
        ("class_weights.each=3", "class_weights.each: expected a table, as in {name = 1}, got 3"),
    ],
)
def test_fault_55_an_invalid_value_is_reported_with_path_expected_and_given(given, message):
    assert mistake(given) == message


def test_each_mistake_is_one_line():
    lines = mistake("train.epochs=-1", "nms.iuo=1")
    assert set(lines.split("\n")) == {
        "nms.iuo: no such setting; did you mean 'iou'?",
        "train.epochs: expected at least 0, got -1",
    }


def test_fault_55_a_mistake_in_a_file_names_the_file(tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text("[nms]\niuo = 0.5\n")
    assert mistake(file=file) == "mine.toml: nms.iuo: no such setting; did you mean 'iou'?"


def test_fault_55_conflicting_sources_are_resolved_in_their_order(tmp_path: Path, monkeypatch):
    shelf = tmp_path / "presets"
    shelf.mkdir()
    monkeypatch.setattr(presets_module, "_FOLDER", shelf)
    (shelf / "calm.toml").write_text("# Slow and calm\n[train]\nlr = 0.1\nepochs = 3\nbatch = 2\nclip = 1\n")
    file = tmp_path / "file.toml"
    file.write_text("[train]\nlr = 0.2\nepochs = 4\nbatch = 4\n")
    made = resolve(
        "ssd",
        preset="calm",
        file=file,
        options={"train.epochs": 5, "train.batch": 6},
        sets=["train.batch=7", "train.batch=8"],
        data_defaults={"train.clip": 9.0, "train.momentum": 0.5, "image.size": (96, 96)},
    )
    train = made.train
    assert (train.batch, train.epochs, train.lr, train.clip, train.momentum) == (8, 5, 0.2, 1.0, 0.5)
    assert made.image.size == (96, 96)
    origins = {
        name: made.origin(f"train.{name}") for name in ("batch", "epochs", "lr", "clip", "momentum", "decay")
    }
    assert origins == {
        "batch": "--set",
        "epochs": "--epochs",
        "lr": "file.toml",
        "clip": "preset calm",
        "momentum": "data set shapes",
        "decay": "default",
    }
    assert presets() == {"calm": "Slow and calm"}


def test_setting_one_value_of_a_section_leaves_the_variant_s_other_defaults():
    default = resolve("ssd").get("nms")
    changed = resolve("ssd", sets=["nms.iou=0.3"]).get("nms")
    assert changed == default.model_copy(update={"iou": 0.3})


@pytest.mark.parametrize("variant", VARIANTS.names())
def test_printed_settings_give_the_same_configuration(variant: str, tmp_path: Path):
    made = resolve(variant, sets=["nms.iou=0.4", "backbone.weights=none", "data.classes=[disk,ring]"])
    file = tmp_path / "printed.toml"
    file.write_text(made.toml(described=True))
    again = resolve(variant, file=file)
    assert again.tree() == made.tree()
    assert again.toml() == made.toml()


def test_a_file_made_for_another_variant_is_refused(tmp_path: Path):
    file = tmp_path / "ssd.toml"
    file.write_text(resolve("ssd").toml())
    assert mistake(variant="fcos", file=file).startswith(
        f"{file}: made for variant 'ssd', not for fcos; run it with"
    )


def test_a_setting_can_be_given_to_one_of_several_variants():
    both = ("ssd", "fcos")
    sets = ["nms.iou=0.4", "fcos.nms.iou=0.7"]
    assert resolve("ssd", sets=sets, variants=both).get("nms.iou") == 0.4
    assert resolve("fcos", sets=sets, variants=both).get("nms.iou") == 0.7


def test_a_file_can_have_settings_for_one_of_several_variants(tmp_path: Path):
    file = tmp_path / "both.toml"
    file.write_text("[train]\nlr = 0.1\n[fcos.train]\nlr = 0.2\n")
    both = ("ssd", "fcos")
    assert [resolve(name, file=file, variants=both).train.lr for name in both] == [0.1, 0.2]


def test_an_unknown_setting_of_one_of_several_variants_names_that_variant():
    lines = mistake("radius=2", variants=("ssd", "fcos"))
    assert lines.startswith("radius: no such setting of variant 'ssd'")


def test_a_setting_for_a_variant_that_does_not_run_is_refused():
    assert mistake("fcos.nms.iou=1") == (
        "--set fcos.nms.iou=1: 'fcos' is not part of this command, only ssd; add --variant fcos, or remove the setting"
    )


def test_unknown_names_are_reported_with_the_nearest():
    assert mistake(variant="retinet") == "unknown variant 'retinet'; did you mean 'retinanet'?"
    assert "unknown preset 'nope'" in mistake(preset="nope")
    assert "shpes" in mistake(data="shpes")


def test_text_that_looks_like_a_number_stays_text_for_a_text_setting():
    assert resolve("ssd", sets=["backbone.weights=123"]).get("backbone.weights") == "123"


def test_numbers_with_commas_are_a_list_for_a_list_setting():
    assert resolve("ssd", sets=["image.size=64,96"]).image.size == (64, 96)


def test_a_list_without_brackets_is_valid_beside_other_mistakes():
    with pytest.raises(InputError) as error:
        resolve("ssd", sets=["image.size=64,96", "train.epochs=many", "data.size=1,x"])
    assert str(error.value).splitlines() == [
        "data.size: expected a list, as in [1, 2], got '1,x'",
        "train.epochs: expected a whole number, got 'many'",
    ]


def test_fault_55_an_empty_text_for_a_name_is_refused():
    assert mistake('train.schedule=""').startswith("train.schedule: expected one of 'cosine'")


def test_detector_has_the_settings_for_the_variant_s_build():
    made = resolve("fcos", sets=["radius=2.5"])
    assert isinstance(made, RunConfig)
    assert type(made.detector) is VARIANTS["fcos"].config
    assert made.detector.radius == 2.5


def test_a_variant_may_not_take_the_name_of_a_section(monkeypatch):
    class Clashing(Config):
        train: int = Field(default=1)

    monkeypatch.setitem(
        VARIANTS._entries, "clashing", Variant("clashing", Clashing, lambda config, classes: None, "", "")
    )
    assert "setting 'train' has the name of one of the run's settings; rename it" in mistake(
        variant="clashing"
    )


def test_setting_fields_lists_every_setting_by_path():
    known = setting_fields(type(resolve("ssd")))
    assert {"seed", "nms.iou", "train.lr", "image.size", "data.occlusion", "backbone.weights"} <= set(known)
    assert "nms" not in known


def test_get_refuses_an_unknown_path():
    with pytest.raises(InputError, match=r"nms\.iuo: no such setting; did you mean 'iou'"):
        resolve("ssd").get("nms.iuo")


def test_another_seed_changes_nothing_else():
    made = resolve("ssd", sets=["nms.iou=0.4"])
    other = made.with_seed(7)
    assert other.tree() == made.tree() | {"seed": 7}
    assert other.origin("nms.iou") == "--set"


def test_entries_open_each_annotation_file_once(tmp_path: Path, monkeypatch):
    for name, start in (("train", 0), ("val", 10), ("test", 20)):
        write_coco(tmp_path / f"instances_{name}.json", pictures(10, start))
    parsed, detected, opened = Counter[str](), Counter[str](), Counter[str]()

    def count(owner: object, name: str, counter: Counter[str]) -> None:
        original = getattr(owner, name)

        def counting(file: Path, *args, **more):
            counter[file.name] += 1
            return original(file, *args, **more)

        monkeypatch.setattr(owner, name, counting)

    count(coco, "read_truth", parsed)
    count(layouts, "_has_coco_keys", detected)
    count(Path, "open", opened)
    dataset, configs = open_entries(
        [("ssd", None), ("retinanet", None), ("fcos", None)], {"data": str(tmp_path)}
    )
    files = {f"instances_{name}.json": 1 for name in ("train", "val", "test")}
    assert parsed == detected == files
    assert {name: opened[name] for name in files} == dict.fromkeys(
        files, 3
    )  # to detect, to parse, and for masks
    assert [config.variant for config in configs] == ["ssd", "retinanet", "fcos"]
    assert {len(split) for split in dataset.splits.values()} == {10}


@pytest.mark.parametrize("sets", [["fcos.data.path=x"], ["fcos.data.train=5"]])
def test_entries_with_different_data_are_refused(sets):
    with pytest.raises(InputError, match="entries are compared on one data set"):
        open_entries([("ssd", None), ("fcos", None)], {"sets": sets})


def test_only_presets_of_papers_keep_detections_by_other_rules():
    other = {name for name in presets() if {"score", "max_dets"} & read_preset(name).get("nms", {}).keys()}
    assert other == {
        "faster-rcnn-r50-fpn",
        "fcos-r50-fpn",
        "retinanet-r50-fpn",
        "ssd-face-320",
        "ssd300-vgg16",
        "ssdlite320-mobilenet",
    }


def test_two_presets_of_one_variant_can_be_run_together():
    dataset, configs = open_entries([("ssd", None), ("ssd", "ssd-face-320")], {"sets": ["data.train=4"]})
    assert dataset.format == "shapes"
    assert [config.image.size for config in configs] == [(128, 128), (240, 320)]
    assert configs[1].origin("image.size") == "preset ssd-face-320"


def test_post_processing_settings_are_declared_by_their_section():
    config = resolve("ssd")
    assert config.is_post_processing("nms.iou")
    assert config.is_post_processing("nms")
    assert not any(map(config.is_post_processing, ("train.lr", "positive", "image.size", "nope.iou")))


def test_mistakes_carry_their_facts_as_fields():
    with pytest.raises(SettingsError) as caught:
        resolve("ssd", sets=["nms.iuo=0.5", "train.optimizer=adam", "train.epochs=-1"])
    facts = {m.path: (m.expected, m.given, m.nearest) for m in caught.value.mistakes}
    assert facts == {
        "nms.iuo": ("", None, "iou"),
        "train.optimizer": ("one of 'adamw', 'sgd' or 'lion'", "adam", "adamw"),
        "train.epochs": ("at least 0", -1, None),
    }


@pytest.mark.parametrize("text", ["none", "None", '"none"', "null"])
def test_the_text_none_is_none_for_a_setting_that_may_be_none(text):
    assert resolve("ssd", sets=[f"evaluate.tile={text}"]).evaluate.tile is None
    assert resolve("ssd", sets=[f"backbone.weights={text}"]).get("backbone.weights") is None
    assert mistake(f"train.lr={text}") == f"train.lr: expected a number, got {text.strip(chr(34))!r}"


def test_an_inline_table_of_the_command_line_keeps_the_section_s_other_values():
    default = resolve("ssd").get("nms")
    assert resolve("ssd", sets=["nms={iou=0.3}"]).get("nms") == default.model_copy(update={"iou": 0.3})


def test_printed_settings_have_their_meaning_range_and_origin(capsys):
    assert main(["config", "--variant", "ssd", "--set", "nms.iou=0.4", "image.size=64,96"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert "iou = 0.4  # --set" in lines
    assert "size = [64, 96]  # --set" in lines
    above = lines[lines.index("lr = 0.005  # variant ssd") - 1]
    assert above.endswith("[above 0; searched from 0.0001 to 0.01, log scale]")
    assert max(len(line) for line in lines if line.startswith("#")) <= 80
    assert tomllib.loads(printed)["nms"]["iou"] == 0.4


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Annotated[int, Field(ge=1, le=8)], "1 to 8"),
        (Annotated[int, Field(ge=0, lt=2**31)], "at least 0 and below 2147483648"),
        (
            Annotated[float, Field(gt=0), Range(1e-4, 1e-2, log=True)],
            "above 0; searched from 0.0001 to 0.01, log scale",
        ),
        (Literal["a", "b"], "one of a, b"),
        (Annotated[Literal["a", "b"], Choice("a", "b")], "one of a, b; searched"),
        (Annotated[Literal["a", "b", "c"], Choice("a", "b")], "one of a, b, c; searched among a, b"),
        (tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]], "each at least 8"),
        (tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1, le=9)]], "(at least 0), (1 to 9)"),
        (Annotated[tuple[int, ...], Field(min_length=1)], "1 or more items"),
        (Annotated[str, Field(min_length=1)] | None, "1 or more characters; may be none"),
        (Annotated[int, Field(ge=0)] | None, "at least 0; may be none"),
    ],
)
def test_a_description_names_what_a_setting_allows(annotation, text):
    model = create_model("Model", x=(annotation, Field(description="Meaning.")))
    assert describe(model.model_fields["x"]) == f"Meaning. [{text}]"


def test_every_setting_of_a_run_has_a_docstring():
    fields = setting_fields(RunConfig)
    assert [path for path, field in fields.items() if not field.description] == []


def test_several_presets_are_printed_in_one_command(capsys):
    assert main(["config", "--preset", "ssd300-vgg16", "fcos-r50-fpn", "--set", "data.train=4"]) == 0
    first, second = capsys.readouterr().out.split("# Settings of fcos-r50-fpn\n")
    assert tomllib.loads(first)["variant"] == "ssd"
    assert tomllib.loads(second)["variant"] == "fcos"
