"""The rankings of a run, cached, and of two runs whose detections are swapped by image."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from metrics.match_rule import MatchRule
from metrics.matching import Matches
from metrics.measures.error_types import ErrorTypes, Fixable, classify_errors
from metrics.resampling.rankings import Ranking, merge_rankings, rank_detections, rank_outcome


class RunRankings:
    """The rankings of one run, each made on first use and cached.

    Args:
        matches: the matched detections.
    """

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        self._rankings: dict[Hashable, Ranking] = {}
        self._errors: dict[Hashable, ErrorTypes] = {}

    @property
    def rule(self) -> MatchRule:
        """Match rule of the run."""
        return self.matches.rule

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        return self.matches.classes

    def over_thresholds(self, area: str, max_dets: int) -> Ranking:
        """Return the ranking at all thresholds; see `metrics.resampling.rankings.rank_detections`."""
        return self._cached(
            ("thresholds", area, max_dets), lambda: rank_detections(self.matches, area, max_dets)
        )

    def at(self, iou: float, area: str, max_dets: int) -> Ranking:
        """Return the ranking at one threshold, with the IoU of true positives."""
        return self._cached(
            ("at", iou, area, max_dets),
            lambda: rank_outcome(self.matches.at(iou, area, max_dets), self.matches),
        )

    def fixed(self, kind: Fixable, iou: float, background: float, area: str, max_dets: int) -> Ranking:
        """Return the ranking at one threshold with a type of error fixed; see `metrics.measures.error_types`."""
        settings = (iou, background, area, max_dets)

        def make() -> Ranking:
            if settings not in self._errors:
                self._errors[settings] = classify_errors(self.matches, *settings)
            return rank_outcome(self._errors[settings].fixed(kind), self.matches)

        return self._cached(("fixed", kind, *settings), make)

    def _cached(self, key: Hashable, make: Callable[[], Ranking]) -> Ranking:
        if key not in self._rankings:
            self._rankings[key] = make()
        return self._rankings[key]


class SwappedRankings(RunRankings):
    """Two runs as one with twice the images: image i has the detections of `one`, image I + i those of `other`.

    Args:
        one: a run.
        other: another run on the same ground truth.
    """

    def __init__(self, one: RunRankings, other: RunRankings) -> None:
        super().__init__(one.matches)
        self.one, self.other = one, other

    def over_thresholds(self, area: str, max_dets: int) -> Ranking:
        """Merge both runs' rankings at all thresholds."""
        return self._merged("thresholds", lambda run: run.over_thresholds(area, max_dets), area, max_dets)

    def at(self, iou: float, area: str, max_dets: int) -> Ranking:
        """Merge both runs' rankings at one threshold."""
        return self._merged("at", lambda run: run.at(iou, area, max_dets), iou, area, max_dets)

    def fixed(self, kind: Fixable, iou: float, background: float, area: str, max_dets: int) -> Ranking:
        """Merge both runs' rankings with a type of error fixed."""
        settings = (kind, iou, background, area, max_dets)
        return self._merged("fixed", lambda run: run.fixed(*settings), *settings)

    def _merged(self, name: str, ranking: Callable[[RunRankings], Ranking], *settings: Hashable) -> Ranking:
        return self._cached((name, *settings), lambda: merge_rankings(ranking(self.one), ranking(self.other)))
