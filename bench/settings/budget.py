"""Budget of a training, which ends it in place of a number of epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from detectors.config import Config
from metrics.errors import InputError

Unit = Literal["minutes", "images", "flops"]


class Limit(NamedTuple):
    """The most that a training may spend; `str` is the setting, as in ``train.budget.images=20000``."""

    unit: Unit
    amount: float

    def __str__(self) -> str:
        return f"train.budget.{self.unit}={self.amount:.12g}"


class BudgetConfig(Config):
    """Budget that ends training instead of `train.epochs`; at most one can be given."""

    minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes of training, with loading of images, without validation and saving. The schedule follows the share of the time
    that is spent. none: no such limit."""
    images: Annotated[int, Field(ge=1)] | None = None
    """Training images, over all epochs. none: no such limit."""
    flops: Annotated[float, Field(gt=0)] | None = None
    """FLOPs of training: three times those of a prediction, for each training image. none: no such limit."""

    @property
    def limit(self) -> Limit | None:
        """The budget that is given; None for none."""
        amounts: dict[Unit, float | None] = {
            "minutes": self.minutes,
            "images": self.images,
            "flops": self.flops,
        }
        return next((Limit(unit, amount) for unit, amount in amounts.items() if amount is not None), None)

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        first, *others = [name for name, amount in self if amount is not None] or [""]
        if others:
            raise ValueError(
                f"{first} and {others[0]} are given, but a training has one budget; set train.budget.{others[0]}=none"
            )
        return self


WITHOUT_BUDGET: Mapping[str, Any] = dict.fromkeys(BudgetConfig.model_fields)
"""Settings of the section by name that end training after `train.epochs`."""


def parse_budget(text: str) -> dict[str, Any]:
    """Settings of the section, of which one is given, from the text of an option, such as ``images=20000``.

    Raises:
        InputError: it is no budget.
    """
    name, _, number = text.partition("=")
    name = name.strip()
    try:
        amount = float(number)
    except ValueError:
        amount = 0.0
    if name not in WITHOUT_BUDGET or not 0 < amount < float("inf"):
        raise InputError(
            f"--budget {text}: expected minutes, images or flops with a number above 0, as in minutes=10, images=20000 or "
            "flops=2e15"
        )
    return {**WITHOUT_BUDGET, name: int(amount) if name == "images" and amount.is_integer() else amount}
