"""Which runs are one model, and what models are called."""

from __future__ import annotations

import pytest

from metrics.errors import InputError
from reports.analysis.models import differences, flat, group_models, model_digest, model_labels
from reports.records.run import DataFacts, RunFolder, RunResult

DATA = DataFacts(name="d", format="coco", split="test", fingerprint="a" * 64, images=1, objects=1, classes=1)


def run(name: str, variant: str = "ssd", ap: float | None = 0.5, **changes: object) -> RunFolder:
    about = {"name": name, "variant": variant, "data": DATA, "headline": {"ap": ap}, **changes}
    return RunFolder(None, RunResult.model_validate(about))


def test_runs_that_differ_only_in_seed_and_machine_are_one_model():
    runs = [
        run("b", seed=1, config={"seed": 1, "device": "cpu", "train": {"lr": 0.1}}),
        run("a", seed=0, config={"seed": 0, "device": "cuda", "train": {"lr": 0.1}}),
    ]
    (model,) = group_models(runs)
    assert model.label == "ssd"
    assert [member.result.name for member in model.runs] == ["a", "b"]


def test_models_of_one_variant_are_distinguished_by_the_settings_that_differ():
    runs = [run(name, config={"nms": {"iou": iou, "score": 0.1}}) for name, iou in (("a", 0.4), ("b", 0.6))]
    assert [model.label for model in group_models(runs)] == ["ssd (nms.iou=0.4)", "ssd (nms.iou=0.6)"]
    assert model_labels(runs) == {"a": "ssd (nms.iou=0.4)", "b": "ssd (nms.iou=0.6)"}


def test_a_value_that_most_models_have_is_not_part_of_a_label():
    """Of eleven models ten differ from the first in one setting each, in which the labels of the others would repeat its value."""
    changed = [{}, *({f"s{number}": 1} for number in range(10))]
    runs = [
        run(f"r{at}", config={f"s{number}": 0 for number in range(10)} | own)
        for at, own in enumerate(changed)
    ]
    labels = model_labels(runs)
    assert labels == {"r0": "ssd"} | {f"r{at}": f"ssd (s{at - 1}=1)" for at in range(1, 11)}
    # Without a value of most models, each is named.
    three = [run(name, config={"lr": lr, "iou": 0.5}) for name, lr in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    assert list(model_labels(three).values()) == ["ssd (lr=0.1)", "ssd (lr=0.2)", "ssd (lr=0.3)"]


def compressed(name, source="runs/whole", epochs=6, **settings):
    return run(name, config={"compression": {"prune": 0.0, "run": source, **settings}, "epochs": epochs})


def test_compressed_networks_are_named_by_their_method():
    whole = compressed("whole", None)
    made = [
        compressed("half", prune=0.5),
        compressed("zeros", sparsity=0.25),
        compressed("rounded", quantize="int8", epochs=2),
        compressed("longer", quantize="none"),
    ]
    assert model_labels([whole, *made]) == {
        "whole": "ssd",
        "half": "ssd (pruned 50%)",
        "zeros": "ssd (25% of weights zero)",
        "rounded": "ssd (int8 rounding, epochs=2)",
        "longer": "ssd (trained further)",
    }
    # The same method of two networks is told apart by these, and of one network by other settings.
    two = [compressed("one", prune=0.5), compressed("other", "runs/wide", prune=0.5)]
    assert model_labels(two) == {"one": "ssd (pruned 50% of whole)", "other": "ssd (pruned 50% of wide)"}
    pair = [compressed("short", prune=0.5), compressed("long", prune=0.5, epochs=9)]
    assert model_labels(pair) == {"short": "ssd (epochs=6)", "long": "ssd (epochs=9)"}


def test_detections_made_elsewhere_are_distinguished_by_the_name_of_the_run():
    assert [model.label for model in group_models([run("a"), run("b")])] == ["ssd (a)", "ssd (b)"]


def test_models_come_best_first_and_undefined_last():
    runs = [run("a", "x", 0.2), run("b", "y", None), run("c", "z", 0.7)]
    assert [(model.label, model.number) for model in group_models(runs)] == [("z", 0), ("x", 1), ("y", 2)]


def test_the_order_of_runs_does_not_matter():
    runs = [run(name, variant, 0.5, seed=0) for name, variant in (("a", "x"), ("b", "y"), ("c", "z"))]
    assert [model.label for model in group_models(runs)] == [
        model.label for model in group_models(runs[::-1])
    ]


def test_fault_37_runs_on_different_truth_are_refused_by_name():
    other = DATA.model_copy(update={"fingerprint": "b" * 64})
    with pytest.raises(
        InputError, match=r"n and m: evaluated on different truth \(d test bbbbbbbb, d test aaaaaaaa\)"
    ):
        group_models([run("m"), run("n", data=other)])


def test_no_run_and_a_name_twice_are_refused():
    with pytest.raises(InputError, match="no run to report on"):
        group_models([])
    with pytest.raises(InputError, match="two runs named 'a'"):
        group_models([run("a"), run("a")])


def test_settings_by_dotted_path():
    assert flat({"a": {"b": 1, "c": {}}, "d": [1, 2]}) == {"a.b": 1, "a.c": {}, "d": [1, 2]}
    assert differences([{"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}, {"c": 2}]) == {"a.b": [1, 3, None]}


def test_runs_that_were_made_of_the_seeds_of_one_model_are_one_model():
    """Each seed of a model is pruned with a teacher of its own; the same seed of another model is another network."""
    wholes = [run(f"whole-{seed}", seed=seed, config={"epochs": 6}) for seed in (0, 1)]
    wide = run("wide", seed=1, config={"epochs": 6, "width": 9})

    def pruned(name: str, source: RunFolder, **facts: str) -> RunFolder:
        config = {
            "compression": {"prune": 0.5, "run": source.result.name},
            "distill": {"teacher": source.result.name},
            "epochs": 6,
        }
        digests = {"parent_model": model_digest(source.result), "teacher_model": model_digest(source.result)}
        about = {"seed": source.result.seed, "config": config, "parent": source.result.name}
        return run(name, **about, **digests, **facts)

    children = [pruned(f"pruned-{at}", each) for at, each in enumerate(wholes)]
    assert len({model_digest(each.result) for each in wholes}) == 1
    assert model_labels([*wholes, *children]) == {
        "whole-0": "ssd",
        "whole-1": "ssd",
        "pruned-0": "ssd (pruned 50%, distilled)",
        "pruned-1": "ssd (pruned 50%, distilled)",
    }
    other = pruned("pruned-wide", wide)
    assert len({model_digest(each.result) for each in (*children, other)}) == 2
    assert model_labels([*children, other]) == {
        "pruned-0": "ssd (pruned 50% of whole-0, distilled from whole-0)",
        "pruned-1": "ssd (pruned 50% of whole-0, distilled from whole-0)",
        "pruned-wide": "ssd (pruned 50% of wide, distilled from wide)",
    }
    # In results that were written before digests were recorded, each has a network of its own.
    old = [run(each.result.name, seed=each.result.seed, config=each.result.config) for each in children]
    assert len({model_digest(each.result) for each in old}) == 2
