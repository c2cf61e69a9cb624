"""Detections from connected components of label maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.components import ComponentsConfig, find_components


def probabilities_of(label_map: list[list[int]], certainty: float = 0.8, classes: int = 3) -> torch.Tensor:
    """Probabilities in which each pixel has its label with `certainty`, the others share the rest."""
    labels = torch.tensor(label_map)
    rest = (1 - certainty) / classes
    return torch.stack([torch.where(labels == k, certainty, rest) for k in range(classes + 1)])


def plain_components(labels: np.ndarray, connectivity: int) -> list[tuple[int, set[tuple[int, int]]]]:
    """Label and pixels of each component, by flood fill."""
    near = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    near += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if connectivity == 8 else []
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(labels), strict=True)}
    found = []
    while left:
        start = left.pop()
        component, edge = {start}, [start]
        while edge:
            y, x = edge.pop()
            for dy, dx in near:
                other = (y + dy, x + dx)
                if other in left and labels[other] == labels[start]:
                    left.remove(other)
                    component.add(other)
                    edge.append(other)
        found.append((int(labels[start]), component))
    return found


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), connectivity=st.sampled_from([4, 8]), min_area=st.integers(1, 5))
def test_they_are_those_of_a_flood_fill(seed, connectivity, min_area):
    drawn = torch.rand(4, 7, 9, generator=torch.Generator().manual_seed(seed))
    probabilities = drawn / drawn.sum(dim=0)
    labels = probabilities.argmax(dim=0).numpy()
    expected = set()
    for label, pixels in plain_components(labels, connectivity):
        if len(pixels) >= min_area:
            ys, xs = zip(*pixels, strict=True)
            box = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
            score = sum(float(probabilities[label, y, x]) for y, x in pixels) / len(pixels)
            expected.add((label - 1, *box, round(score, 5)))
    found = find_components(probabilities, ComponentsConfig(connectivity=connectivity, min_area=min_area))
    rows = zip(found.labels.tolist(), found.boxes.tolist(), found.scores.tolist(), strict=True)
    assert {(label, *box, round(score, 5)) for label, box, score in rows} == expected
    assert (found.scores.diff() <= 0).all()


def test_diagonal_pixels_are_one_object_or_two():
    label_map = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    for connectivity, objects in ((4, 2), (8, 1)):
        config = ComponentsConfig(connectivity=connectivity, min_area=1)
        assert len(find_components(probabilities_of(label_map), config).scores) == objects


def test_touching_objects_of_different_classes_are_separate():
    found = find_components(probabilities_of([[1, 1, 2, 2]]), ComponentsConfig(min_area=2))
    assert found.labels.tolist() == [0, 1]
    assert found.boxes.tolist() == [[0, 0, 2, 1], [2, 0, 4, 1]]
    assert found.scores.tolist() == pytest.approx([0.8, 0.8])


def test_an_image_of_background_has_no_objects():
    found = find_components(probabilities_of([[0, 0], [0, 0]]), ComponentsConfig())
    assert found.boxes.shape == (0, 4)
    assert found.labels.dtype == torch.int64
