"""Every reader reads each damaged file, or refuses it as invalid; `tests/benchmarks/fuzz.py` does so for hours."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from fuzzed import damaged, inputs, limited, targets

from metrics.errors import InputError, MachineError, exit_code

TARGETS = targets()
INPUTS = 6


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    read = 0
    for file, content in islice(inputs(TARGETS[name], tmp_path, seed=1), INPUTS):
        try:
            with limited():
                TARGETS[name].read(tmp_path)
            read += 1
        except Exception as error:
            if exit_code(error) in (InputError.exit_code, MachineError.exit_code):
                continue
            (tmp_path.parent / f"failing{file.suffix}").write_bytes(content)
            error.add_note(f"reading {tmp_path.parent / f'failing{file.suffix}'} in place of {file.name}")
            raise


def test_damage_changes_most_files() -> None:
    import random

    rng = random.Random(0)
    content = b'{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}\n'
    changed = [damaged(content, rng) for _ in range(200)]
    assert sum(each != content for each in changed) > 180
    assert len(set(changed)) > 150
