"""Rows of the density compiled ahead: rows that are equal but for their response are one, where that is exact.

Equal means: the same population columns, offset, levels and columns of every group. Then the likelihood of binary or
binomial rows is that of one binomial row with their sums, that of Poisson rows depends on the sum of the counts and
on how many there are, and the coordinates of `graph.coordinates` see the sum of working weights and their mean
response. All of it is exact, up to a constant of the log density. Log-likelihoods by row stay those of the rows of
the data: nothing outside the sampler sees these rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.row_densities import CODES
from bayesglmm.graph.conditioned import ConditionedModel

_SUMS = (CODES["binomial-logit"], CODES["poisson-log"])  # likelihoods to which sums of the response are sufficient
_WORTH = 0.9  # of the rows must be left at most


@dataclass(frozen=True, eq=False)
class Rows:
    """The n' rows of the density.

    Attributes
    ----------
    first : ndarray of int, shape (n',)
        A row of the data for each, where its columns and levels are found.
    y : ndarray, shape (n',)
        Responses, or their sums.
    size : ndarray, shape (n',)
        Trials of binomial rows, how many rows each is of Poisson ones, weights of gaussian ones.
    response, weights : ndarray, shape (n',)
        Working response and weights.
    """

    first: Ints
    y: Floats
    size: Floats
    response: Floats
    weights: Floats


def density_rows(conditioned: ConditionedModel, offset: Floats, code: int) -> Rows:
    """Return the rows of a density.

    Parameters
    ----------
    conditioned : ConditionedModel
    offset : ndarray, shape (n,)
        Of the predictor.
    code : int
        Of the density of a row, see `kernels.row_densities`.
    """
    working, response = conditioned.working, conditioned.problem.response
    n = len(working.response)
    size = response.trials if response.trials is not None else response.weights
    size = np.ones(n) if size is None else np.asarray(size, dtype=float)
    y = np.asarray(response.y, dtype=float)
    plain = Rows(np.arange(n), y, size, working.response, working.weights)
    group = equal_rows(_keys(conditioned, offset), n) if code in _SUMS else None
    if group is None:
        return plain
    first = np.unique(group, return_index=True)[1]

    def summed(values: Floats) -> Floats:
        return np.bincount(group, values)

    weights = summed(plain.weights)
    return Rows(first, summed(y), summed(size), summed(plain.weights * plain.response) / weights, weights)


def _keys(conditioned: ConditionedModel, offset: Floats) -> Iterable[Any]:
    """Yield the columns in which equal rows are equal; those with most values first, so that one sees soon."""
    predictor = conditioned.problem.predictors[0]
    blocks = sorted((part.block for part in predictor.blocks), key=lambda block: -len(block.levels))
    yield from (block.index for block in blocks)
    yield offset
    yield from conditioned.working.X.T
    for block in blocks:
        yield from block.X.T


def equal_rows(columns: Iterable[Any], n: int) -> Ints | None:
    """Return the group of equal rows that each row belongs to, numbered as they appear; None where few are equal.

    Parameters
    ----------
    columns : iterable of ndarray, each (n,)
    n : int
    """
    group, groups = np.zeros(n, dtype=np.int64), 1
    for column in columns:
        codes, values = pd.factorize(column)
        if len(values) == 1:
            continue
        group = pd.factorize(group * len(values) + codes)[0].astype(np.int64)
        groups = int(group.max()) + 1
        if groups > _WORTH * n:
            return None
    return group
