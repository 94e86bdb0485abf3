"""A problem whose rows come in parts: what is known of it without any, and the problem of one part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bayesglmm.blocks import FixedBlock, Floats, OffsetBlock, Predictor, RandomBlock, Response
from bayesglmm.errors import SettingsError
from bayesglmm.graph.hyperparameters import Hyperparameters
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.problem import PredictorParts, Problem
from bayesglmm.linalg import GroupColumns
from bayesglmm.linalg.chain import index_sets, nested_chain
from bayesglmm.linalg.rows import unknown_to_zero
from bayesglmm.parts import PartRows, Parts, RandomRows

_BY_ROW = ("y", "trials", "weights", "likelihood_weights", "censoring", "y_upper", "lower", "upper", "rows")
_FEW = 4  # levels per part: a factor with fewer is no factor to split by if another is nested in it


class PartedView(LatentView):
    """The structured view of a problem with parts, which has no rows itself: sums over rows are those of the parts.

    Parameters
    ----------
    problem : Problem
        With `parts`.

    Attributes
    ----------
    row_parts : Parts

    Raises
    ------
    SettingsError
        If the model cannot be computed by parts.
    """

    def __init__(self, problem: Problem) -> None:
        if problem.parts is None:
            raise TypeError("A view of parts needs a problem that has some.")
        require_parts_possible(problem)
        self.row_parts: Parts = problem.parts
        self._given = problem
        super().__init__(without_rows(problem))

    @cached_property
    def initial_theta(self) -> Floats:
        """Where searches start, by the rows that the problem itself has."""
        return Hyperparameters(self._given).initial_theta

    def column_means(self, predictor: PredictorParts) -> Floats:
        """Return the means of the fixed columns over all rows, shape (p,)."""
        return self.row_parts.means[next(p for p, own in enumerate(self.problem.predictors) if own is predictor)]


def require_parts_possible(problem: Problem) -> None:
    """Refuse models whose rows or effects are coupled in ways that parts cannot be independent of.

    Raises
    ------
    SettingsError
    """
    whole = "Fit it in memory, without parts."
    if problem.residual is not None:
        raise SettingsError(
            f"Correlated residuals, {problem.residual.block.label}, cannot be computed by parts of the rows. {whole}"
        )
    for part in problem.blocks:
        block = part.block
        if block.latent == "precision" or part.latent is not part:
            raise SettingsError(
                f"`{block.label}` relates its levels to each other, which cannot be computed by parts of the rows. "
                f"{whole}"
            )
        if block.shares is not None:
            raise SettingsError(
                f"Rows belong to several levels of `{block.label}`, which cannot be computed by parts. {whole}"
            )


def without_rows(problem: Problem) -> Problem:
    """Return the problem with no rows in its blocks and response."""
    empty = slice(0, 0)
    predictors = []
    for part in problem.predictors:
        own = part.predictor
        predictor = Predictor(
            own.parameter,
            0,
            tuple(replace(block, X=block.X[empty]) for block in own.fixed),
            tuple(block.rows(empty) for block in own.random),
            tuple(replace(block, values=block.values[empty]) for block in own.offsets),
        )
        predictors.append(_parts_of(part, predictor))
    response = response_rows(problem.response, empty)
    return replace(problem, response=response, predictors=tuple(predictors), workspace={})


def of_part(problem: Problem, rows: PartRows, levels: Sequence[Sequence[int] | None]) -> Problem:
    """Return the problem of one part.

    Parameters
    ----------
    problem : Problem
        Without rows.
    rows : PartRows
    levels : sequence of (sequence of int, or None)
        As `Part.levels`.
    """
    n, at, predictors = len(rows.response.y), 0, []
    for part, X, offset in zip(problem.predictors, rows.fixed, rows.offsets, strict=True):
        own = part.predictor
        fixed = FixedBlock("fixed", own.columns, own.column_terms, X, own.intercept)
        random: list[RandomBlock] = []
        for block in own.random:
            found, inside = rows.random[at], levels[at]
            names = block.levels if inside is None else ("",) * len(inside)
            random.append(replace(block, index=found.index, X=found.X, levels=names, column=None))
            at += 1
        offsets = () if offset is None else (OffsetBlock("offset", offset),)
        predictor = Predictor(own.parameter, n, (fixed,) if own.fixed else (), tuple(random), offsets)
        predictors.append(_parts_of(part, predictor))
    return replace(problem, response=rows.response, predictors=tuple(predictors), workspace={}, shared={})


def _parts_of(part: PredictorParts, predictor: Predictor) -> PredictorParts:
    blocks = tuple(replace(own, block=block) for own, block in zip(part.blocks, predictor.random, strict=True))
    return replace(part, predictor=predictor, blocks=blocks)


def response_rows(response: Response, at: Any) -> Response:
    """Return the response of some rows, a slice or positions."""
    given = {name: getattr(response, name) for name in _BY_ROW}
    taken: dict[str, Any] = {name: None if values is None else values[at] for name, values in given.items()}
    covariates = {name: values[at] for name, values in response.covariates.items()}
    return replace(response, covariates=covariates, **taken)


# parts of rows that are in memory -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MemoryPart:
    """A `Part` whose rows are in memory."""

    levels: tuple[Sequence[int] | None, ...]
    held: PartRows

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.held.response.y)

    def load(self) -> PartRows:
        """Return the rows."""
        return self.held


def split(problem: Problem, count: int) -> Parts:
    """Split the rows by the levels of the largest grouping factor, or of one that it is nested in.

    Parameters
    ----------
    problem : Problem
    count : int
        Parts, at most: no more than the factor has levels.

    Raises
    ------
    SettingsError
        If the model cannot be computed by parts.
    """
    require_parts_possible(problem)
    blocks = [part.block for part in problem.blocks]
    candidates = [b for b, block in enumerate(blocks) if len(block.levels) > 1]
    known = {b: unknown_to_zero(np.asarray(blocks[b].index), blocks[b].X.T) for b in candidates}
    groups = [GroupColumns(0, len(blocks[b].levels), blocks[b].X.shape[1], known[b][0]) for b in candidates]
    corners, parents = nested_chain(groups, index_sets(groups), (), smallest=1)
    if not corners:
        raise SettingsError("Rows are split by a grouping factor, and this model has none. Fit it without parts.")
    last = len(corners) - 1
    while last and corners[last].levels < _FEW * count:
        last -= 1
    outer = corners[last]
    part_of_level = _balanced(np.bincount(outer.index, minlength=outer.levels), count)
    part_of_row = part_of_level[outer.index]
    inside: list[Any] = [None] * len(blocks)  # for own blocks: part of every level
    for c, corner in enumerate(corners[: last + 1]):
        own = part_of_level if c == last else part_of_level[parents[c, last]]
        for g in corner.groups:
            inside[candidates[g]] = own
    order = np.argsort(part_of_row, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(part_of_row, minlength=int(part_of_level.max()) + 1))[:-1])
    found = tuple(_memory_part(problem, p, rows, inside, known) for p, rows in enumerate(pieces))
    means = tuple(np.asarray(part.predictor.X.mean(axis=0)) for part in problem.predictors)
    chain = tuple(tuple(candidates[g] for g in corner.groups) for corner in corners[: last + 1])
    return Parts(found, means, chain)


def _balanced(sizes: Any, count: int) -> Any:
    """Return which part each level belongs to: consecutive levels, with about as many rows in every part."""
    middle = np.cumsum(sizes) - 0.5 * sizes
    part = np.minimum((middle * count / max(float(sizes.sum()), 1.0)).astype(np.intp), count - 1)
    return np.unique(part, return_inverse=True)[1]


def _memory_part(problem: Problem, p: int, rows: Any, inside: Sequence[Any], known: Any) -> MemoryPart:
    levels: list[Any] = []
    random = []
    for b, part in enumerate(problem.blocks):
        own = None if inside[b] is None else np.flatnonzero(inside[b] == p)
        index, X = known[b] if b in known else (np.asarray(part.block.index), part.block.X.T)
        index = index[rows]
        if own is not None:
            place = np.zeros(len(inside[b]), dtype=np.intp)
            place[own] = np.arange(len(own))
            index = place[index]
        levels.append(own)
        random.append(RandomRows(index, np.ascontiguousarray(X.T[rows])))
    held = PartRows(
        response_rows(problem.response, rows),
        tuple(np.ascontiguousarray(part.predictor.X[rows]) for part in problem.predictors),
        tuple(None if (offset := part.predictor.offset) is None else offset[rows] for part in problem.predictors),
        tuple(random),
    )
    return MemoryPart(tuple(levels), held)
