"""Names of devices, checked before anything is computed; whether this machine has the device is seen later."""

from __future__ import annotations

import re

DEVICES = ("cpu", "cuda", "mps", "xpu", "npu", "hpu", "mtia")
"""Kinds of devices that training supports."""


def check_device_name(name: str) -> str:
    """`name`, if it is ``auto`` or a kind of device with an optional number.

    Raises:
        ValueError: it is neither.
    """
    if name != "auto" and not re.fullmatch(rf"({'|'.join(DEVICES)})(:\d{{1,4}})?", name, re.ASCII):
        raise ValueError(
            f"expected auto, {', '.join(DEVICES)}, or one with a number such as cuda:1, got {name!r}"
        )
    return name
