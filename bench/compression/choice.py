"""Choice among compressed candidates by their numbers on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metrics.errors import InputWarning
from metrics.notes import Note, report
from metrics.plurals import agree
from reports.records.compression import ORIGINAL, CandidateFacts


class Scored(NamedTuple):
    """A compressed candidate.

    Attributes:
        name: unique.
        ap: on validation images.
        cost: latency or size; lower is better.
    """

    name: str
    ap: float
    cost: float


def choose(candidates: Sequence[CandidateFacts], tolerance: float, max_drop: float) -> CandidateFacts:
    """The chosen candidate by latency; see `choose_by_cost`.

    Args:
        candidates: measured on validation images, with the network itself, which is not chosen.
        tolerance: share by which a candidate may be slower than the fastest.
        max_drop: AP, as a fraction, that a candidate may lose.
    """
    by_name = {each.name: each for each in candidates}
    scored = [
        Scored(each.name, 0.0 if each.ap is None else each.ap, each.latency_ms)
        for each in candidates
        if each.name != ORIGINAL
    ]
    original = by_name[ORIGINAL].ap
    return by_name[choose_by_cost(scored, 0.0 if original is None else original, tolerance, max_drop).name]


def choose_by_cost(
    candidates: Sequence[Scored], original: float, tolerance: float, max_drop: float
) -> Scored:
    """The candidate with the highest AP among those that cost nearly as little as the cheapest.

    A candidate that loses too much AP is out before the cheapest is determined: it would be cheap for nothing. If all of them
    lose too much, the one with the highest AP is chosen, with a warning. Of equal AP, the cheaper one is chosen.

    Args:
        candidates: at least one, without the network itself.
        original: AP of the network itself.
        tolerance: share by which a candidate may cost more than the cheapest.
        max_drop: AP, as a fraction, that a candidate may lose.
    """
    good = [each for each in candidates if each.ap >= original - max_drop]
    if not good:
        best = max(candidates, key=_best_first)
        text = (
            f"every candidate loses more than {100 * max_drop:g} {agree(100 * max_drop, 'point')} of AP on validation images; {best.name} loses least "
            f"({100 * original:.1f} to {100 * best.ap:.1f})"
        )
        report(Note("compression_loses_ap", text, best.name), InputWarning)
        return best
    limit = (1 + tolerance) * min(each.cost for each in good)
    return max((each for each in good if each.cost <= limit), key=_best_first)


def _best_first(candidate: Scored) -> tuple[float, float]:
    return candidate.ap, -candidate.cost
