"""The anchors stage: how well a variant's priors fit the boxes that the network sees, without training anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import Trial

from bench.anchors.fit import boxes_seen, drawn_from, fit_anchors, positive_iou, rule_of, variants_to_fit
from bench.data.types import Dataset
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig, setting_fields
from bench.tune.objectives import Objective, Objectives
from bench.tune.spaces import Mark, as_text, configured, marks
from detectors.anchor_fit import SIZES, Fit, Grids, grids_of, sides_of
from detectors.priors import GridPriors
from detectors.search_range import Choice
from metrics.errors import InputError
from metrics.matching import MatchRule

FIT = Objectives(
    (Objective("recall + mean_iou", (("recall", 1.0), ("mean_iou", 1.0)), True),), (), MatchRule()
)
"""What the stage seeks: recall is what the assigner needs, and the mean of the best IoUs leads the way there."""

MOST_BOXES = 20_000
"""Where there are more boxes, trials look at so many that are drawn at random."""

_STEPS = 300
"""Changes of explicit shapes that are tried before the study begins."""

_SPREADS = (0.6, 0.8, 1.25, 1.6)
"""Powers to which all ratios are raised: narrower and wider families of as many priors."""

_STRUCTURE = ("levels",)
"""What `make_priors` reads too, but decides on the network."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """How some settings' priors fit the boxes of a split.

    Attributes:
        name: whose settings: ``default``, ``trial 17``.
        split: whose boxes.
        group: ``all``, or a size of objects by their area in the network's input; see `detectors.anchor_fit.SIZES`.
        objects: how many.
        recall: share of them that some prior overlaps at the assigner's threshold or more; NaN without objects.
        mean_iou: mean of each object's best IoU; NaN without objects.
    """

    name: str
    split: str
    group: str
    objects: int
    recall: float
    mean_iou: float


class Anchors:
    """The priors that settings describe, held against boxes; a trial takes milliseconds.

    Built once: feature maps and boxes stay the same whatever the priors are.

    Args:
        config: the settings that tuning starts from.
        dataset: its training boxes are fitted, and of its validation boxes is told. Boxes are those of the images as they
            are, not augmented.

    Attributes:
        threshold: IoU from which on the variant's assigner gives a prior to an object; 0.5 where it has none.

    Raises:
        InputError: the variant has no priors with a shape, or there is no box to fit them to.
    """

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        self.config = config
        self._dataset = dataset
        make = rule_of(config.variant)
        if make is None:
            raise InputError(
                f"--space anchors: variant {config.variant!r} has no shapes of priors to fit; "
                f"variants that have: {', '.join(variants_to_fit())}"
            )
        self._make = make
        detector: Any = build_detector(config, len(dataset.classes))
        self._strides: tuple[int, ...] = tuple(detector.neck.strides)
        self._grids = grids_of(detector, config.image.size)
        self.threshold = positive_iou(detector)
        boxes = {name: boxes_seen(dataset.splits[name], config.image).boxes for name in ("train", "val")}
        train = boxes["train"]
        if not len(train):
            raise InputError("--space anchors: the training split has no box to fit priors to")
        now = self.priors({})
        self._held = {name: self._grids_for(of, now) for name, of in boxes.items()}
        self._some = self._grids_for(drawn_from(train, MOST_BOXES, 0), now)

    def __call__(self, trial: Trial, values: Mapping[str, Any]) -> tuple[float]:
        """Recall plus mean best IoU on the training boxes; both stay on the trial."""
        fit = self._fit(self._some, values)
        trial.set_user_attr("recall", fit.recall)
        trial.set_user_attr("mean_iou", fit.mean)
        return (fit.recall + fit.mean,)

    def priors(self, values: Mapping[str, Any]) -> GridPriors:
        """The priors under some settings, given by dotted path.

        Raises:
            InputError: the settings make none: a count of levels that does not fit, for example.
        """
        try:
            return self._make(configured(self.config, values).detector, self._strides)
        except ValueError as error:
            raise InputError(str(error)) from None

    def fitted(self, name: str, values: Mapping[str, Any]) -> list[Fitted]:
        """How some settings fit, on every split, of all objects and by size."""
        return [
            Fitted(name, split, row["group"], row["objects"], row["recall"], row["mean_iou"])
            for split, held in self._held.items()
            for row in self._fit(held, values).rows()
            if row["group"] in {"all", *SIZES}
        ]

    def settings(self) -> dict[str, Mark | None]:
        """The variant's settings of priors, by dotted path, and where to look: for `bench.tune.spaces.space_of`.

        Beside what the variant's author marked: ratios drawn together and apart, and explicit shapes, clustered from the
        training boxes and refined, as many as the rule gives.
        """
        read = _read_by(self._make, self.config.detector, self._strides)
        known, marked = setting_fields(type(self.config)), marks(self.config)
        found: dict[str, Mark | None] = {
            path: marked.get(path) for path in known if path in read and path not in _STRUCTURE
        }
        if "ratios" in found and found["ratios"] is None:
            options = [as_text(self.config.get("ratios"))]
            options += [as_text(_spread(self.config.get("ratios"), power)) for power in _SPREADS]
            found["ratios"] = Choice(*dict.fromkeys(options)) if len(set(options)) > 1 else None
        if "shapes" in found and not self.config.get("shapes") and (shapes := self._shapes()):
            found["shapes"] = Choice("", shapes)
        return found

    def _shapes(self) -> str:
        """Explicit shapes for each level that fit the training boxes; none where there are too few to tell."""
        try:
            return as_text(fit_anchors(self.config, self._dataset, "shapes", _STEPS).found["shapes"])
        except InputError:
            return ""

    def _grids_for(self, boxes: Any, priors: GridPriors) -> Grids:
        return Grids(boxes, priors, self._grids, self.config.image.size, self.threshold)

    def _fit(self, held: Grids, values: Mapping[str, Any]) -> Fit:
        return held(sides_of(self.priors(values), self._grids, self.config.image.size))


def _spread(ratios: Sequence[Any], power: float) -> list[Any]:
    """Ratios, or lists of them, raised to a power: 1 stays 1, and pairs r and 1/r stay pairs."""
    return [
        _spread(ratio, power) if isinstance(ratio, Sequence) else round(ratio**power, 3) for ratio in ratios
    ]


def _read_by(make: Any, config: Any, strides: Sequence[int]) -> set[str]:
    """Names of the settings that `make_priors` looks at."""
    read: set[str] = set()

    class Watched:
        def __getattr__(self, name: str) -> Any:
            read.add(name)
            return getattr(config, name)

    make(Watched(), strides)
    return read
