"""Second reading: all rows as numbers, in chunks that are sorted by the levels of a grouping factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Ints, Predictor, RandomBlock, Response
from bayesglmm.design.bind import load
from bayesglmm.design.predictors import PredictorPart
from bayesglmm.design.response import ResponseCoder
from bayesglmm.design.stored.moments import BY_ROW, RowMoments
from bayesglmm.design.stored.spool import Layout, write
from bayesglmm.formula import FormulaSpec
from bayesglmm.sources import Piece


@dataclass(frozen=True, eq=False)
class Nesting:
    """Which level of one factor goes with each level of another.

    Attributes
    ----------
    above : ndarray of int, shape (levels,)
        -1 where the level was not met.
    single : bool
        Whether none went with several.
    """

    above: Ints
    single: bool

    @classmethod
    def of(cls, levels: int, index: Ints, other: Ints) -> Nesting:
        """Return it for some rows."""
        above = np.full(levels, -1, dtype=np.int64)
        above[index] = other
        return cls(above, bool(np.array_equal(above[index], other)))

    def joined(self, more: Nesting) -> Nesting:
        """Return it for these rows and others."""
        both = (self.above >= 0) & (more.above >= 0)
        same = bool(np.array_equal(self.above[both], more.above[both]))
        return Nesting(np.where(self.above >= 0, self.above, more.above), self.single and more.single and same)


@dataclass(frozen=True, eq=False)
class Chunks:
    """What is known of the chunks of a stretch of the table.

    Attributes
    ----------
    files : tuple of (str, int)
        Names and rows, in the order of the table.
    moments : RowMoments
    sizes : ndarray of int, shape (levels,)
        Rows of each level of the factor that sorts them; empty without one.
    above, below : mapping of (int, int) to Nesting
        By predictor and block: which of its levels goes with each level of that factor, and the reverse.
    """

    files: tuple[tuple[str, int], ...]
    moments: RowMoments
    sizes: Ints
    above: Mapping[tuple[int, int], Nesting]
    below: Mapping[tuple[int, int], Nesting]


def merge(one: Chunks | None, two: Chunks | None) -> Chunks | None:
    """Return what is known of two stretches, the earlier one first."""
    if one is None or two is None:
        return two if one is None else one
    return Chunks(
        one.files + two.files,
        one.moments.joined(two.moments),
        one.sizes + two.sizes,
        {key: own.joined(two.above[key]) for key, own in one.above.items()},
        {key: own.joined(two.below[key]) for key, own in one.below.items()},
    )


@dataclass(frozen=True, eq=False)
class Writer:
    """Codes pieces of the table and writes them as chunks.

    Attributes
    ----------
    spec : FormulaSpec
    parts : tuple of PredictorPart
        The distinct ones, with what was learned.
    coder : ResponseCoder
    weights, likelihood_weights : str or None
        Columns.
    examples : Response
        Different responses: a piece may hold equal ones only, all rows may not.
    layout : Layout
    folder : Path
    """

    spec: FormulaSpec
    parts: tuple[PredictorPart, ...]
    coder: ResponseCoder
    weights: str | None
    likelihood_weights: str | None
    examples: Response
    layout: Layout
    folder: Path

    def __call__(self, piece: Piece) -> Chunks | None:
        total: Chunks | None = None
        for number, frame in enumerate(piece.frames):
            total = merge(total, self.frame(frame, f"chunk-{piece.number:06d}-{number:04d}.arrow"))
        return total

    def frame(self, frame: pd.DataFrame, name: str) -> Chunks | None:
        """Write the rows of a frame; None if every one has a missing value."""
        loaded = load(self.spec, frame, self.weights, self.likelihood_weights, empty=True)
        columns = loaded.columns
        if not columns.n:
            return None
        response = self.coder.code(columns, loaded.weights, loaded.likelihood_weights, [])
        self.coder.family.check(stacked(response, self.examples))
        predictors = tuple(part.predictor("", columns) for part in self.parts)
        table = self.layout.table(response, predictors)
        if self.layout.order is not None:
            table = table.take(np.argsort(table.column(0).to_numpy(), kind="stable"))
        write(table, self.folder / name)
        moments = RowMoments.of(predictors, response, self.coder.family)
        return Chunks(((name, columns.n),), moments, *self._levels(predictors))

    def _levels(self, predictors: Sequence[Predictor]) -> tuple[Ints, dict[Any, Nesting], dict[Any, Nesting]]:
        if self.layout.order is None:
            return np.zeros(0, dtype=np.int64), {}, {}
        p, b = self.layout.order
        order = predictors[p].random[b]
        J = len(order.levels)
        others = {key: block for key, block in group_blocks(predictors).items() if key != (p, b)}
        return (
            np.bincount(order.index, minlength=J),
            {key: Nesting.of(J, order.index, block.index) for key, block in others.items()},
            {key: Nesting.of(len(block.levels), block.index, order.index) for key, block in others.items()},
        )


def group_blocks(predictors: Sequence[Predictor]) -> dict[tuple[int, int], RandomBlock]:
    """Return the blocks of grouping factors, by predictor and position."""
    return {
        (p, b): block
        for p, predictor in enumerate(predictors)
        for b, block in enumerate(predictor.random)
        if block.kind == "group" and len(block.levels) > 1
    }


def stacked(one: Response, two: Response) -> Response:
    """Return the rows of both."""
    changes: dict[str, Any] = {}
    for name in BY_ROW:
        values, more = getattr(one, name), getattr(two, name)
        if values is not None and more is not None:
            joined = (
                np.concatenate([values.astype(object), more]) if name == "rows" else np.concatenate([values, more])
            )
            changes[name] = joined
    return replace(one, **changes)
