"""Selection of candidates, compared with a loop over all scores."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors import candidates
from detectors.candidates import CandidatesConfig, select_candidates

LEVELS = (12, 5, 3)


def by_loop(scores: torch.Tensor, floor: float, config: CandidatesConfig) -> list[tuple[int, int, int]]:
    out = []
    for image, table in enumerate(scores.tolist()):
        groups: dict[int, list[tuple[float, int, int]]] = {}
        for prior, row in enumerate(table):
            level = 0 if prior < 12 else 1 if prior < 17 else 2
            for label, score in enumerate(row):
                group = {"level": level, "class": label, "image": 0}[config.per]
                if score > floor:
                    groups.setdefault(group, []).append((-score, prior, label))
        kept = [one for group in groups.values() for one in sorted(group)[: config.top_k]]
        out += [(image, prior, label) for _, prior, label in sorted(kept)]
    return out


def test_of_very_many_the_best_are_found_without_a_loop_over_them():
    scores = torch.rand(1, 20_000, 50, generator=torch.Generator().manual_seed(0))
    chosen = select_candidates(scores, (15_000, 5_000), 0.0, CandidatesConfig(top_k=100))
    for start, end in ((0, 15_000), (15_000, 20_000)):
        best = scores[0, start:end].flatten().topk(100).values
        own = chosen.score[(chosen.prior >= start) & (chosen.prior < end)]
        assert own.tolist() == best.tolist()


@given(
    seed=st.integers(0, 10_000),
    per=st.sampled_from(["level", "class", "image"]),
    top_k=st.sampled_from([1, 4, 1000]),
    floor=st.sampled_from([0.0, 0.5, 2.0]),
    many=st.booleans(),
)
def test_candidates_are_those_of_the_loop_few_or_many(seed, per, top_k, floor, many):
    """Scores in twentieths, so that ties are common: of equal scores the earlier prior and class goes first."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 21, (3, 20, 4), generator=draw) / 20
    config = CandidatesConfig(per=per, top_k=top_k)
    before, candidates._MAX_SORTED = candidates._MAX_SORTED, -1 if many else candidates._MAX_SORTED
    try:
        chosen = select_candidates(scores, LEVELS, floor, config)
    finally:
        candidates._MAX_SORTED = before
    found = list(zip(chosen.image.tolist(), chosen.prior.tolist(), chosen.label.tolist(), strict=True))
    assert found == by_loop(scores, floor, config)
    assert chosen.score.tolist() == [scores[place].item() for place in found]


def test_no_candidates_at_all():
    chosen = select_candidates(torch.zeros(2, 20, 4), LEVELS, 0.5, CandidatesConfig())
    assert all(len(column) == 0 for column in chosen)
