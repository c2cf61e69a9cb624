"""Values of another type than expected, in JSON and YAML, are read or refused; `tests/benchmarks/json_types.py` tries all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzed import Target, targets
from retyped import failures, places, replaced

EVERY = 12


@pytest.mark.parametrize("target", targets().values(), ids=lambda target: target.name)
def test_fault_133_values_of_another_type_are_read_or_refused(target: Target, tmp_path: Path) -> None:
    failed = failures(target, tmp_path, EVERY)
    assert not failed, "\n".join(failed[:20])


def test_every_value_is_replaced() -> None:
    document = {"a": [1, {"b": 2}, 3], "c": None}
    found = list(places(document))
    assert found == [(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b"), ("c",)]
    assert replaced(document, ("a", 1, "b"), []) == {"a": [1, {"b": []}, 3], "c": None}
    assert replaced(document, (), 4) == 4
    assert document == {"a": [1, {"b": 2}, 3], "c": None}
