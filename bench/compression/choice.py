"""Choice among compressed candidates by their numbers on validation images."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.errors import InputWarning
from metrics.notes import Note, report
from reports.records.compression import ORIGINAL, CandidateFacts


def choose(candidates: Sequence[CandidateFacts], tolerance: float, max_drop: float) -> CandidateFacts:
    """The candidate with the highest AP among those that are nearly as fast as the fastest.

    A candidate that loses too much AP is out before the fastest is determined: it would be fast for nothing. If all of them
    lose too much, the one with the highest AP is chosen, with a warning. Of equal AP, the faster one is chosen.

    Args:
        candidates: measured on validation images, with the network itself, which is not chosen.
        tolerance: share by which a candidate may be slower than the fastest.
        max_drop: AP, as a fraction, that a candidate may lose.
    """
    original = next(each for each in candidates if each.name == ORIGINAL)
    compressed = [each for each in candidates if each.name != ORIGINAL]
    good = [each for each in compressed if _ap(each) >= _ap(original) - max_drop]
    if not good:
        best = max(compressed, key=lambda each: (_ap(each), -each.latency_ms))
        text = (
            f"every candidate loses more than {100 * max_drop:g} points of AP on validation images; {best.name} loses least "
            f"({100 * _ap(original):.1f} to {100 * _ap(best):.1f})"
        )
        report(Note("compression_loses_ap", text, best.name), InputWarning)
        return best
    limit = (1 + tolerance) * min(each.latency_ms for each in good)
    return max(
        (each for each in good if each.latency_ms <= limit), key=lambda each: (_ap(each), -each.latency_ms)
    )


def _ap(candidate: CandidateFacts) -> float:
    return 0.0 if candidate.ap is None else candidate.ap
