"""Results have a repr of one short line, and an HTML form in which names are escaped."""

from __future__ import annotations

import html5lib
import numpy as np
import pytest
from scene_runs import run, scene_of
from strategies import Scene

from metrics.compare import MeasureLimit, apply_gate, compare, curve_bands, influence
from metrics.matching import Matches, match
from metrics.measures.average_precision import precision_recall
from metrics.measures.confusion import confusion_matrix
from metrics.measures.error_types import classify_errors
from metrics.measures.localization_recall_precision import lrp_curve, optimal_lrp
from metrics.measures.operating_point import score_curve
from metrics.reliability import reliability
from metrics.resampling import RunRankings, image_weights, named_statistic, replicate
from metrics.resampling.rankings import rank_detections
from metrics.segmentation import LabelMaps
from metrics.slices import make_axis, measure_slices


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


@pytest.fixture(scope="module")
def matches(scene: Scene) -> Matches:
    return match(scene.truth, scene.detections)


@pytest.fixture(scope="module")
def results(scene: Scene, matches: Matches) -> list[object]:
    runs = {"<a>": run(scene), "b": run(scene, 0.5)}
    comparison = compare(runs, resamples=50, permutations=0)
    bands = curve_bands(runs, resamples=20)
    rankings = RunRankings(matches)
    return [
        comparison,
        comparison.verdict,
        *apply_gate(comparison, [("<a>", "b")], [MeasureLimit("ap", 0.5)]),
        influence(runs, "<a>", "b"),
        bands,
        bands.precision(0.5)["b"],
        precision_recall(matches),
        score_curve(matches.at(0.5)),
        optimal_lrp(matches),
        lrp_curve(matches, 0),
        classify_errors(matches),
        confusion_matrix(matches),
        reliability(matches),
        measure_slices(matches, [make_axis("size", scene.truth)]),
        LabelMaps(2).update(np.zeros((2, 2), int), np.ones((2, 2), int)).compute(),
        rank_detections(matches),
        *replicate(rankings, image_weights(60, 5), [named_statistic("ap", matches.rule)]),
    ]


def test_reprs_are_one_short_line(results: list[object]) -> None:
    for result in results:
        text = repr(result)
        assert text.startswith(f"{type(result).__name__}("), text
        assert "\n" not in text
        assert "array(" not in text
        assert len(text) < 400, text


def test_html_is_escaped(results: list[object]) -> None:
    pages = [result._repr_html_() for result in results if hasattr(result, "_repr_html_")]
    assert len(pages) >= 6
    for page in pages:
        html5lib.HTMLParser(strict=True).parseFragment(page)
    assert not any("<a>" in page for page in pages)
    assert sum("&lt;a&gt;" in page for page in pages) == 2  # the comparison and the gate
