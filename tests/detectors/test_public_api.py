"""The public names of the package, and the example in its docstring."""

from __future__ import annotations

import re

import pytest

import detectors


def test_every_public_name_can_be_imported():
    for name in detectors.__all__:
        assert getattr(detectors, name) is not None
    assert sorted(detectors.__all__) == sorted(
        name for names in detectors._MODULES.values() for name in names
    )


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'detectors' has no attribute 'Detecter'"):
        _ = detectors.Detecter


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", detectors.__doc__, re.S)
    names = {}
    exec(code, names)
    assert set(names["losses"]) == {"class", "box"}
    assert capsys.readouterr().out.startswith("torch.Size(")
