"""Studies as `bench tune` would record them, drawn from a seed; every trial and range can be given instead."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

from reports.records.study import StudyResult

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

SPACE = (
    {"path": "nms.iou", "default": 0.5, "low": 0.1, "high": 0.9},
    {"path": "nms.score", "default": 0.05, "low": 0.001, "high": 0.5, "log": True},
    {"path": "nms.method", "default": "hard", "options": ("hard", "linear", "diou")},
    {"path": "nms.top_k", "default": 1000, "low": 100, "high": 5000, "whole": True, "log": True},
)


def drawn(number, rng, space=SPACE):
    """A value for each setting; trial 0 has the untuned ones."""
    if number == 0:
        return {each["path"]: each["default"] for each in space}
    return {each["path"]: _value(each, rng) for each in space}


def _value(setting, rng):
    if "options" in setting:
        return rng.choice(setting["options"])
    low, high = setting["low"], setting["high"]
    value = (
        math.exp(rng.uniform(math.log(low), math.log(high))) if setting.get("log") else rng.uniform(low, high)
    )
    return round(value) if setting.get("whole") else value


def trial(number, value=None, state="complete", **more):
    """One trial of two seconds; a value makes it complete."""
    start = START + timedelta(seconds=2 * number)
    values = value if isinstance(value, tuple | list) else (value,)
    return {
        "number": number,
        "state": state,
        "values": values if state == "complete" else (),
        "start": start,
        "end": start + timedelta(seconds=2),
        "default": number == 0,
        **more,
    }


def trials_of(count, seed=0, space=SPACE, value=None):
    """Complete trials, best where nms.iou is 0.7; `value` of the settings replaces that."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        params = drawn(number, rng, space)
        hill = 0.5 - (params.get("nms.iou", 0.5) - 0.7) ** 2 if value is None else value(params)
        made.append(trial(number, hill, params=params))
    return made


def study_of(trials, **changes):
    """A study of post-processing with these trials."""
    return StudyResult.model_validate(
        {
            "name": "ssd-shapes-nms-0",
            "variant": "ssd",
            "stage": "nms",
            "data": "shapes",
            "fingerprint": "0123456789abcdef",
            "images": 40,
            "goals": [{"text": "ap"}],
            "space": SPACE,
            "trials": trials,
            "asked": len(trials),
            "sampler": "TPE",
            "seed": 0,
            "storage": "journal file",
            "command": "python -m bench tune --variant ssd --space nms --trials 20",
            **changes,
        }
    )


def ended(result, **changes):
    """The same with an ending: untuned 0.40 -> 0.38 on test, the chosen trial 0.50 -> 0.46 again -> 0.45 on test."""
    ending = {
        "finalists": [
            {"name": "default", "tuned": 0.4, "again": [0.39, 0.41], "test": [0.37, 0.39]},
            {
                "name": "trial 3",
                "values": {"nms.iou": 0.7, "nms.method": "diou"},
                "tuned": 0.5,
                "again": [0.45, 0.47],
                "test": [0.44, 0.46],
                "test_interval": [0.4, 0.5],
            },
        ],
        "chosen": "trial 3",
        "gain_interval": [0.02, 0.12],
        **changes,
    }
    return StudyResult.model_validate(result.model_dump() | {"ending": ending})
