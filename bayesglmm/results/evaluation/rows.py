"""The pointwise log density: by blocks of rows, so that no array has a value for every draw and row at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from bayesglmm.blocks import FixedBlock, Floats, Ints, OffsetBlock, Predictor, RandomBlock, Response
from bayesglmm.results.draws import pieces
from bayesglmm.results.schema import row_labels

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem

_MODIFIERS = ("trials", "weights", "likelihood_weights", "censoring", "y_upper", "lower", "upper")


def rows_at(predictor: Predictor, rows: Ints) -> Predictor:
    """Return some rows of a predictor, by their positions.

    Parameters
    ----------
    predictor : Predictor
    rows : ndarray of int, shape (m,)
    """
    return Predictor(
        predictor.parameter,
        len(rows),
        tuple(_fixed(block, rows) for block in predictor.fixed),
        tuple(block_at(block, rows) for block in predictor.random),
        tuple(_offset(block, rows) for block in predictor.offsets),
    )


def _fixed(block: FixedBlock, rows: Ints) -> FixedBlock:
    return replace(block, X=block.X[rows])


def _offset(block: OffsetBlock, rows: Ints) -> OffsetBlock:
    return replace(block, values=block.values[rows])


def block_at(block: RandomBlock, rows: Ints) -> RandomBlock:
    """Return some rows of a random block."""
    changes: dict[str, Any] = {"X": block.X[rows], "index": block.index[rows]}
    for name in ("column", "shares"):
        if getattr(block, name, None) is not None:
            changes[name] = getattr(block, name)[rows]
    return replace(block, **changes)


def log_densities(evaluator: Evaluator, draws: Mapping[str, Floats], rows: Ints) -> Floats:
    """Return the log density of some observed rows under every draw, shape (S, m).

    Parameters
    ----------
    evaluator : Evaluator
    draws : mapping of str to ndarray, shape (S, ...)
        Posterior variables with chains stacked.
    rows : ndarray of int, shape (m,)
    """
    parts = {part.names.parameter: rows_at(part.predictor, rows) for part in evaluator.problem.predictors}
    return evaluator.log_likelihood(draws, evaluator.predictors(draws, evaluator.arrays(parts)), rows)


def in_blocks(evaluator: Evaluator, draws: Mapping[str, Floats]) -> Iterator[tuple[Ints, Floats]]:
    """Yield positions of rows and their log densities, shape (S, m), a block of rows at a time."""
    n = len(evaluator.problem.response.y)
    for part in pieces(n, len(next(iter(draws.values())))):
        rows = np.arange(n)[part]
        yield rows, log_densities(evaluator, draws, rows)


def log_mean_exp(values: Floats) -> Floats:
    """Return the logarithm of the mean over the first axis of what the logarithms are given of."""
    return np.asarray(special.logsumexp(values, axis=0) - np.log(len(values)))


def row_table(problem: Problem) -> pd.DataFrame:
    """Return what identifies rows: index their labels, one column of level names per grouping factor."""
    columns: dict[str, Any] = {}
    for part in problem.blocks:
        block = part.block
        if block.kind == "group" and block.index.ndim == 1 and len(block.levels) > 1:
            levels = np.array([*block.levels, ""], dtype=object)  # an index of -1 is a level that is not known
            columns.setdefault(block.group, levels[block.index])
    return pd.DataFrame(columns, index=pd.Index(row_labels(problem), name="row"))


@dataclass(frozen=True)
class Observed:
    """What was observed, as far as two models must agree on it to be compared.

    Attributes
    ----------
    response : str
        The left side of the formula.
    family : str
    discrete : bool
        Whether the family gives probabilities, not densities.
    rows : tuple of str
        Labels of the rows.
    values, modifiers : str
        SHA-256 of the responses, and of what goes with them: trials, weights, censoring, bounds.
    """

    response: str
    family: str
    discrete: bool
    rows: tuple[str, ...]
    values: str
    modifiers: str


def observed(problem: Problem) -> Observed:
    """Return what was observed."""
    response = problem.response
    return Observed(
        response.name,
        problem.family.name,
        bool(problem.family.discrete),
        tuple(map(str, row_labels(problem))),
        _hash({"y": response.y}),
        _hash({name: getattr(response, name) for name in _MODIFIERS if not _trivial(response, name)}),
    )


def _trivial(response: Response, name: str) -> bool:
    """Whether a modifier says nothing: one trial in every row, as of a 0/1 response, or weights of one."""
    values = getattr(response, name)
    return values is None or (name in ("trials", "weights", "likelihood_weights") and bool(np.all(values == 1.0)))


def _hash(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, values in arrays.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(np.asarray(values, dtype=np.float64)).tobytes())
    return digest.hexdigest()
