"""Studies as `bench tune` records them, drawn from a seed; trials and ranges can be given instead."""

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


def sample(number, rng, space=SPACE):
    """A value for each setting; trial 0 has the defaults."""
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
    """One trial of two seconds."""
    start = START + timedelta(seconds=2 * number)
    values = value if isinstance(value, tuple | list) else (value,)
    return {
        "number": number,
        "state": state,
        "values": values if state == "complete" else (),
        "started": start,
        "finished": start + timedelta(seconds=2),
        "default": number == 0,
        **more,
    }


def trials_of(count, seed=0, space=SPACE, value=None):
    """Complete trials, best where nms.iou is 0.7; `value` of the settings replaces that."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        params = sample(number, rng, space)
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
            "objectives": [{"text": "ap"}],
            "space": SPACE,
            "trials": trials,
            "requested": len(trials),
            "sampler": "TPE",
            "seed": 0,
            "storage": "journal file",
            "command": "python -m bench tune --variant ssd --space nms --trials 20",
            **changes,
        }
    )


def finished(result, **changes):
    """The same with a final evaluation: default 0.40, 0.38 on test; trial 3 0.50, retrained 0.46, 0.45 on test."""
    evaluation = {
        "objective": result.objectives[0].model_dump(),
        "finalists": [
            {"tuned": 0.4, "retrained": [0.39, 0.41], "test": [0.37, 0.39]},
            {
                "trial": 3,
                "values": {"nms.iou": 0.7, "nms.method": "diou"},
                "tuned": 0.5,
                "retrained": [0.45, 0.47],
                "test": [0.44, 0.46],
                "test_interval": [0.4, 0.5],
            },
        ],
        "chosen": 3,
        "gain": gain(),
        **changes,
    }
    return StudyResult.model_validate(result.model_dump() | {"final_evaluation": evaluation})


def gain(*interval, **more):
    """The gain of trial 3, by default with the interval [0.02, 0.12]."""
    return {"delta": 0.07, "interval": interval or (0.02, 0.12), "seeds": 2, **more}
