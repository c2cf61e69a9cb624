"""Pages of parts, variants and presets: the example is a working variant, and tables match the settings."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import get_args

import pytest
import torch

from bench.settings.config import RunConfig, setting_fields
from bench.settings.resolution import resolve
from detectors.losses.box import BoxLossName
from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics import registry

DOCS = Path(__file__).resolve().parents[2] / "docs"
PARTS, VARIANTS_PAGE, PRESETS = (
    (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("parts", "variants", "presets")
)


@pytest.fixture
def aligned(tmp_path, monkeypatch):
    """The page's variant, in a package of its own, found by its entry point."""
    (code,) = re.findall(r"```python\n(.*?)```", PARTS, re.S)
    (table,) = re.findall(r"```toml\n\[project.entry-points.\"(.*?)\"\]\n(\w+) = \"(.*?)\"\n```", PARTS, re.S)
    group, name, module = table
    package, file = module.split(".")
    (tmp_path / package).mkdir()
    (tmp_path / package / f"{file}.py").write_text(code, encoding="utf-8")
    (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint(name, module, group)
    real = registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda of: [entry] if of == group else real(of))
    yield name
    VARIANTS._entries.pop(name, None)
    for loaded in (package, module):
        sys.modules.pop(loaded, None)


def test_the_pages_variant_learns_by_its_name(aligned):
    config = resolve(aligned, sets=["power=3", "backbone.base_channel=4"])
    assert config.detector.power == 3
    detector = VARIANTS[aligned].build(config.detector, 2)
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, 10:40, 12:50] = 1
    target = [Targets(torch.tensor([[12.0, 10, 50, 40]]), torch.tensor([1]))]
    optimizer = torch.optim.AdamW(detector.parameters(), lr=5e-3)
    costs = []
    for _ in range(40):
        optimizer.zero_grad()
        cost = sum(detector.losses(detector(image), target).values())
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[-1] < 0.75 * costs[0]
    assert all(p.grad is not None for p in detector.parameters())
    (found,) = detector.predict(image)
    assert found.labels[0] == 1
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= 64


def test_every_variant_and_every_setting_that_the_pages_name_is_there():
    headers = " ".join(re.findall(r"^\| \| (`.*`) \|$", VARIANTS_PAGE, re.M))
    others = re.search(r"## Variants with other networks\n.*?\| --- .*?\n(.*?)\n\n", VARIANTS_PAGE, re.S)
    assert others is not None
    names = [*re.findall(r"`(\w+)`", headers), *re.findall(r"^\| `(\w+)` \|", others[1], re.M)]
    assert sorted(names) == VARIANTS.names()
    known = {name: set(setting_fields(VARIANTS[name].config)) for name in VARIANTS.names()}
    everywhere = set.union(*known.values()) | set(setting_fields(RunConfig))
    sections = {path.rpartition(".")[0] for path in everywhere}
    pages = PARTS + VARIANTS_PAGE + PRESETS
    for path in re.findall(r"`([a-z_]+\.[a-z_.]+)`", pages):
        if not path.startswith(("detectors.", "torchvision.", "timm.", "torch.")) and not path.endswith(
            (".toml", ".safetensors")
        ):
            assert path in everywhere or path.removesuffix(".") in sections, path
    for line in re.findall(r"^python -m bench run (.*?)(?:#.*)?$", pages, re.M):
        variant, *sets = re.findall(r"--(?:variant|set) (\S+)", line)
        if variant in known:
            resolve(variant, sets=sets)


def test_the_tables_columns_are_the_variants_settings():
    rows = {
        row.split("|")[1].strip(): row.split("|")[2:-1]
        for row in VARIANTS_PAGE.splitlines()
        if row.startswith("|")
    }
    columns = ["ssd", "retinanet", "fcos", "atss", "gfl", "dual"]
    for row in ("`assigner`", "`box_loss`", "`quality`"):
        setting = row.strip("`")
        for name, cell in zip(columns, rows[row], strict=True):
            field = VARIANTS[name].config.model_fields.get(setting)
            default = re.findall(r"^`(\w+)`", cell.strip())
            assert default == ([] if field is None else [field.default]), (row, name)
            if field is not None and setting != "box_loss":
                choices = set(re.findall(r"\w+", re.sub(r" with `\w+` and `\w+`", "", cell)))
                assert choices == set(get_args(field.annotation)), (row, name)
    listed = re.search(r"`box_loss` is any of\s+(.*?)\.", VARIANTS_PAGE, re.S)
    assert listed is not None
    assert set(listed[1].split(", ")) == set(get_args(BoxLossName))
