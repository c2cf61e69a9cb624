"""The anchors stage: fit of a variant's priors to the boxes in the network's input, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import Trial

from bench.anchors.boxes import sample_boxes
from bench.anchors.fit import PriorFitter
from bench.data.types import Dataset
from bench.settings.config import RunConfig, setting_fields
from bench.tune.objectives import Objective, Objectives
from bench.tune.search_space import SearchRange, as_text, declared_ranges, with_values
from detectors.priors import GridPriors
from detectors.registry import VARIANTS
from detectors.search_range import Choice
from metrics.errors import InputError
from metrics.match_rule import MatchRule
from reports.records.final_evaluation import PriorFit

FIT = Objectives(
    (Objective("recall + mean_iou", (("recall", 1.0), ("mean_iou", 1.0)), True),), (), MatchRule()
)
"""Objective of the stage; see `detectors.anchor_fit.Fit.objective`."""

MAX_BOXES = 20_000
"""Trials use a random sample of this many training boxes."""

_STEPS = 300
"""Number of changed shapes that are tried before the study begins."""

_POWERS = (0.6, 0.8, 1.25, 1.6)
"""Exponents of all aspect ratios: narrower and wider sets with the same number of priors."""


class Anchors:
    """Objective of the anchors stage; a trial takes milliseconds.

    Args:
        config: settings that tuning starts from.
        dataset: priors are fitted to its training boxes; the fit to its validation boxes is reported. Images are not
            augmented.

    Raises:
        InputError: the variant's priors have no shapes, or the training split has no boxes.
    """

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        self.config = config
        try:
            self.fitter = PriorFitter(config, dataset)
        except InputError as error:
            raise InputError(f"--space anchors: {error}") from None
        train = self.fitter.splits["train"][1].boxes
        if not len(train):
            raise InputError("--space anchors: the training split has no boxes to fit priors to")
        self._sample = self.fitter.on(sample_boxes(train, MAX_BOXES, 0))

    def __call__(self, trial: Trial, values: Mapping[str, Any]) -> tuple[float]:
        """Recall plus mean best IoU on the training boxes; both are stored in the trial."""
        fit = self._sample(self.fitter.sizes_of(self._detector(values)))
        trial.set_user_attr("recall", fit.recall)
        trial.set_user_attr("mean_iou", fit.mean)
        return (fit.objective,)

    def priors(self, values: Mapping[str, Any]) -> GridPriors:
        """The priors under some settings, given by dotted path.

        Raises:
            InputError: the settings do not fit together, for example the number of levels.
        """
        try:
            return self.fitter.priors(self._detector(values))
        except ValueError as error:
            raise InputError(str(error)) from None

    def measure(self, trial: int | None, values: Mapping[str, Any]) -> list[PriorFit]:
        """Fit of a trial's settings (None: the default settings) on every split, for all objects and by size."""
        sizes = self.fitter.sizes_of(self._detector(values))
        return [
            PriorFit(
                trial=trial,
                split=split,
                group=row.group,
                objects=row.objects,
                recall=row.recall,
                mean_iou=row.mean_iou,
            )
            for split, fit in self.fitter.fits.items()
            for row in fit(sizes).rows()
            if row.kind in {"all", "size"}
        ]

    def ranges(self) -> dict[str, SearchRange | None]:
        """Search ranges of the settings of the priors by dotted path, for `bench.tune.search_space.parse_space`.

        Besides the ranges in the variant's file: aspect ratios that are narrower or wider together, and explicit shapes
        that were fitted to the training boxes, as many as the variant's rule gives.
        """
        known, declared = setting_fields(type(self.config)), declared_ranges(self.config)
        names = VARIANTS[self.config.variant].prior_settings
        found: dict[str, SearchRange | None] = {path: declared.get(path) for path in known if path in names}
        if "ratios" in found and found["ratios"] is None:
            options = [as_text(self.config.get("ratios"))]
            options += [as_text(_raised(self.config.get("ratios"), power)) for power in _POWERS]
            found["ratios"] = Choice(*dict.fromkeys(options)) if len(set(options)) > 1 else None
        if "shapes" in found and not self.config.get("shapes") and (shapes := self._shapes()):
            found["shapes"] = Choice("", shapes)
        return found

    def _detector(self, values: Mapping[str, Any]) -> Any:
        return with_values(self.config, values).detector

    def _shapes(self) -> str:
        """Explicit shapes that fit the training boxes; empty if there are too few boxes."""
        try:
            return as_text(self.fitter.search("shapes", _STEPS)["shapes"])
        except InputError:
            return ""


def _raised(ratios: Sequence[Any], power: float) -> list[Any]:
    """Aspect ratios, or lists of them, raised to a power: 1 stays 1, and pairs r and 1/r stay pairs."""
    return [
        _raised(ratio, power) if isinstance(ratio, Sequence) else round(ratio**power, 3) for ratio in ratios
    ]
