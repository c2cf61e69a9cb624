"""The result of a comparison: leaderboard, pairwise differences, values per class, verdict and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.compare.rows import ALL, ClassValue, Method, PairDifference, Standing, Subject
from metrics.compare.verdict import Verdict
from metrics.errors import InputError
from metrics.notes import Note
from metrics.plurals import plural
from metrics.registry import did_you_mean

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Models compared on the same images.

    Attributes:
        models: names, best first by the deciding measure.
        measure: short name of the deciding measure.
        measures: the deciding measure, then the additional ones.
        verdict: which model leads, which models it beats and which are tied with it; ``str(verdict)`` is the text.
        notes: remarks on how reliable the numbers are: too few images or objects, seeds, groups.
        compared: ``training recipes`` where every model has several seeds; otherwise ``single runs``.
        leaderboard: by measure; within a measure in the order of `models`.
        pairwise: all pairs by all measures over all classes, then the permutation tests.
        class_values: each model by the deciding measure on each class.
        class_pairs: all pairs on each class.
        method: how it was computed.
        replicates: measure to model to (B,) bootstrap replicates; NaN where undefined.
    """

    models: tuple[str, ...]
    measure: str
    measures: tuple[str, ...]
    verdict: Verdict
    notes: tuple[Note, ...]
    compared: Subject
    leaderboard: tuple[Standing, ...]
    pairwise: tuple[PairDifference, ...]
    class_values: tuple[ClassValue, ...]
    class_pairs: tuple[PairDifference, ...]
    method: Method
    replicates: Mapping[str, Mapping[str, NDArray[np.float64]]]

    def standing(self, model: str, measure: str | None = None) -> Standing:
        """Return a model's row of the leaderboard.

        Args:
            model: name of the model.
            measure: by default the deciding one.

        Raises:
            InputError: no such model or measure.
        """
        self._check(model, measure)
        key = (model, measure or self.measure)
        return next(row for row in self.leaderboard if (row.model, row.measure) == key)

    def difference(
        self, one: str, other: str, measure: str | None = None, scope: str = ALL
    ) -> PairDifference:
        """Return the bootstrap row of a pair, whichever order the models are given in.

        Args:
            one: a model.
            other: another model.
            measure: by default the deciding one.
            scope: ``all``, or a class.

        Raises:
            InputError: no such model, measure, pair or class.
        """
        for model in (one, other):
            self._check(model, measure)
        key = ({one, other}, "bootstrap", measure or self.measure, scope)
        for row in (*self.pairwise, *self.class_pairs):
            if ({row.model_a, row.model_b}, row.test, row.metric, row.scope) == key:
                return row
        raise InputError(f"comparison: no row for {one!r} and {other!r} in scope {scope!r}")

    def to_frame(self) -> pandas.DataFrame:
        """Return the leaderboard with the columns of `Standing`; `seeds` is their number, `seed_values` text."""
        return _frame(Standing, self.leaderboard)

    def pairwise_to_frame(self) -> pandas.DataFrame:
        """Return all pairs, over all classes and then per class, with the columns of `PairDifference`."""
        return _frame(PairDifference, (*self.pairwise, *self.class_pairs))

    def classes_to_frame(self) -> pandas.DataFrame:
        """Return each model on each class with the columns of `ClassValue`; `seeds` is their number, `seed_values` text."""
        return _frame(ClassValue, self.class_values)

    def __str__(self) -> str:
        """The verdict and its notes."""
        return "\n".join([str(self.verdict), *(f"- {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.models)}; {self.measure}; {plural(self.method.resamples, 'resample')})"

    def _repr_html_(self) -> str:
        """The verdict and the leaderboard of the deciding measure, for notebooks."""
        import html

        frame = self.to_frame()
        columns = ["rank", "model", "value", "ci_low", "ci_high", "letters"]
        table = frame.loc[frame["measure"] == self.measure, columns]
        return f"<p>{html.escape(str(self.verdict))}</p>{table.round(4).to_html(index=False)}"

    def _check(self, model: str, measure: str | None) -> None:
        if model not in self.models:
            raise InputError(f"comparison: no model {model!r}{did_you_mean(model, self.models)}")
        if measure is not None and measure not in self.measures:
            raise InputError(f"comparison: no measure {measure!r}{did_you_mean(measure, self.measures)}")


def _frame(row_type: type[Any], rows: Sequence[Any]) -> pandas.DataFrame:
    import pandas

    columns = [field.name for field in fields(row_type)]
    records = [asdict(row) for row in rows]
    if "seeds" in columns:
        columns.insert(columns.index("seeds") + 1, "seed_values")
        for record in records:
            values = record["seeds"]
            record["seeds"] = len(values)
            record["seed_values"] = " ".join(repr(float(value)) for value in values if math.isfinite(value))
    return pandas.DataFrame(records, columns=columns)
