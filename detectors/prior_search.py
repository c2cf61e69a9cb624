"""Search for priors that fit better: clusters of box shapes, refined shapes, and settings of a variant's own rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from detectors.anchor_fit import Floats
from detectors.search_range import Choice, Range
from metrics.errors import InputError
from metrics.plurals import plural


def shape_iou(a: Floats, b: Floats) -> Floats:
    """(N, M) IoU of concentric boxes from their (width, height): (N, 2) and (M, 2), all positive."""
    shared = np.minimum(a[:, None], b[None]).prod(axis=2)
    union = a.prod(axis=1)[:, None] + b.prod(axis=1)[None] - shared
    ratio: Floats = shared / union
    return ratio


def cluster(shapes: Floats, k: int, seed: int = 0, rounds: int = 100) -> Floats:
    """k-means of box shapes with the distance 1 - IoU (Redmon and Farhadi 2017, section 2, dimension clusters).

    Initialised by k-means++ (each next centre is drawn with a probability proportional to its distance from the
    previous ones), so that it converges in a few rounds.

    Args:
        shapes: (G, 2) width and height of the objects, positive.
        k: number of clusters, at most the number of different shapes.
        seed: of the initialisation.
        rounds: largest number of rounds.

    Returns:
        (k, 2) width and height in order of increasing area; each is the geometric mean of a cluster.

    Raises:
        InputError: fewer than k different shapes, or a shape without width or height.
    """
    shapes = np.asarray(shapes, dtype=np.float64)
    if not (shapes > 0).all():
        raise InputError("shapes: widths and heights must be above 0; leave out boxes without area")
    different = len(np.unique(shapes, axis=0))
    if different < k:
        raise InputError(
            f"k: {plural(k, 'cluster')} of {plural(different, 'different shape')}; use at most {different}"
        )
    draw = np.random.default_rng(seed)
    centres = shapes[draw.integers(len(shapes))][None]
    while len(centres) < k:
        distance = (1 - shape_iou(shapes, centres).max(axis=1)).clip(min=0)
        chosen = draw.choice(len(shapes), p=distance / distance.sum())
        centres = np.concatenate([centres, shapes[chosen][None]])
    owner = np.full(len(shapes), -1)
    for _ in range(rounds):
        nearest = shape_iou(shapes, centres).argmax(axis=1)
        if (nearest == owner).all():
            break
        owner = nearest
        logs = [
            np.log(shapes[owner == c]).mean(axis=0) if (owner == c).any() else np.log(centres[c])
            for c in range(k)
        ]
        centres = np.exp(np.stack(logs))
    return _by_area(centres)


def refine(
    objective: Callable[[Floats], float], start: Floats, shapes: Floats, seed: int = 0, steps: int = 1000
) -> Floats:
    """Improve prior shapes by random changes; a change is kept if it raises the objective.

    Four of five changes scale a few sides, by less and less; the others replace a prior by the shape of an object, so
    that priors that fit no object are used again.

    Args:
        objective: value of (k, 2) shapes, for example `Fit.objective`; higher is better.
        start: (k, 2) initial shapes, for example from `cluster`.
        shapes: (G, 2) width and height of the objects, positive.
        seed: of the changes.
        steps: number of changes.

    Returns:
        (k, 2) in order of increasing area; the objective is at least that of `start`.
    """
    draw = np.random.default_rng(seed)
    best, value = start.copy(), objective(start)
    fraction = min(0.5, 4 / start.size)  # of many simultaneous changes some always lower the objective
    for step in range(steps):
        if draw.random() < 0.2:
            changed = best.copy()
            changed[draw.integers(len(best))] = shapes[draw.integers(len(shapes))]
        else:
            spread = 0.6 * (1 - step / steps) + 0.01
            chosen = draw.random(best.shape) < fraction
            changed = best * np.exp(draw.normal(scale=spread, size=best.shape) * chosen)
        if (new := objective(changed)) > value:
            best, value = changed, new
    return _by_area(best)


def split_by_level(
    shapes: Floats,
    strides: Sequence[int],
    image_size: tuple[int, int],
    counts: Sequence[int] = (),
) -> list[list[tuple[float, float]]]:
    """Distribute prior shapes over feature levels, small ones to fine levels.

    Args:
        shapes: (k, 2) width and height in pixels, in any order.
        strides: of the levels.
        image_size: (height, width); larger shapes are cut to it.
        counts: number of shapes of each level, k in total; empty: the same number at every level.

    Returns:
        For each level its (width, height), rounded to 0.1 pixels and at least 0.1: a value of the setting `shapes`.

    Raises:
        InputError: no `counts`, and k is not a multiple of the number of levels.
    """
    if not counts:
        each, left = divmod(len(shapes), len(strides))
        if left or not each:
            raise InputError(
                f"{plural(len(shapes), 'shape')} for {plural(len(strides), 'level')}; use a multiple, "
                f"such as {len(strides) * max(1, each)}"
            )
        counts = [each] * len(strides)
    height, width = image_size
    limited = np.minimum(_by_area(shapes), [width, height]).round(1).clip(min=0.1)
    levels = np.split(limited, np.cumsum(counts)[:-1])
    return [[(float(w), float(h)) for w, h in level] for level in levels]


def search_rule(
    objective: Callable[[dict[str, Any]], float],
    space: Mapping[str, Range | Choice],
    start: Mapping[str, Any],
    trials: int = 200,
    seed: int = 0,
) -> tuple[dict[str, Any], float]:
    """Random search over the settings of a rule for priors: first in the whole space, then ever closer to the best.

    Args:
        objective: value of the settings; higher is better.
        space: search range of each setting, by name.
        start: current settings; the first trial, so that the result is never worse.
        trials: number of trials.
        seed: of the samples.

    Returns:
        The best settings and their objective; of equal ones the earliest.
    """
    draw = np.random.default_rng(seed)
    best, value = dict(start), objective(dict(start))
    for trial in range(1, trials):
        radius = 1.0 if trial < trials // 2 else 0.25 * (1 - trial / trials) + 0.02
        tried = {name: _sample(part, best[name], radius, draw) for name, part in space.items()}
        if (new := objective({**start, **tried})) > value:
            best, value = {**start, **tried}, new
    return best, value


def _sample(space: Range | Choice, current: Any, radius: float, draw: np.random.Generator) -> Any:
    """A value within `radius` of `current`, as a fraction of the range; 1 is the whole range."""
    if isinstance(space, Choice):
        change = draw.random() < max(radius, 0.2)
        return space.options[draw.integers(len(space.options))] if change else current
    low, high = (math.log(space.low), math.log(space.high)) if space.log else (space.low, space.high)
    middle = math.log(current) if space.log else current
    half = (high - low) * radius
    value = draw.uniform(max(low, middle - half), min(high, middle + half))
    return float(min(space.high, max(space.low, math.exp(value) if space.log else value)))


def _by_area(shapes: Floats) -> Floats:
    ordered: Floats = shapes[np.argsort(shapes.prod(axis=1), kind="stable")]
    return ordered
