"""Sums of log-likelihoods over the rows of every level, at several values of the coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.correction import row_nodes
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import ArrowBlocks, Rows

ROW_NODES = {1: 7, 2: 5, 3: 3}  # by number of predictors


def level_nodes(rows: Rows, conditional: ArrowBlocks) -> tuple[list[Floats], Floats]:
    """Return nodes for the predictors of every row given the shared coefficients, and their weights."""
    return row_nodes(rows.covariances(conditional, border=False), ROW_NODES)


def sums_by_level(
    view: LatentView,
    rows: Rows,
    offset: Floats,
    phi: Mapping[str, Any],
    index: Ints,
    levels: int,
    x: Floats,
    first: int,
    nodes: tuple[list[Floats], Floats] | None = None,
) -> Floats:
    """Return log-likelihoods by level, shape (draws, candidates, levels), from candidate `first` on.

    Parameters
    ----------
    view : LatentView
    rows : Rows
    offset : ndarray, shape (P, n)
    phi : mapping
    index : ndarray of int, shape (n,)
        Level of each row.
    levels : int
    x : ndarray, shape (size, draws, candidates)
        All candidates of a draw have the same shared coefficients.
    first : int
    nodes : (list of ndarray, ndarray), optional
        Over which means are taken, of the rows' predictors.
    """
    elementwise = view.elementwise
    shifts, weights = ([np.zeros((1, 1))], np.ones(1)) if nodes is None else nodes
    _, draws, candidates = x.shape
    inner = min(elementwise.together, len(shifts))
    wide = max(1, min(candidates - first, elementwise.together // inner))
    step = max(1, elementwise.together // (inner * wide))
    out = np.empty((draws, candidates - first, levels))
    for start in range(0, draws, step):
        own = x[:, start : start + step]
        shared = np.asarray(offset[:, None] + rows.etas(own[:, :, 0]))
        for c in range(first, candidates, wide):
            moves = own[:, :, c : c + wide] - own[:, :, :1]
            etas = rows.etas(moves.reshape(len(x), -1), border=False)
            etas += np.repeat(shared, moves.shape[2], axis=1)
            value = _mean(view, phi, etas, shifts, weights, inner)
            found = sums(index, value, levels).reshape(*moves.shape[1:], levels)
            out[start : start + step, c - first : c - first + wide] = found
    return out


def _mean(
    view: LatentView, phi: Mapping[str, Any], etas: Floats, shifts: list[Floats], weights: Floats, inner: int
) -> Floats:
    """Return the mean of the rows' log-likelihood over shifts of the predictors, so many of them at once."""
    if len(shifts) == 1 and not np.any(shifts[0]):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return view.elementwise.many(etas, phi).value
    value = np.zeros(etas.shape[1:])
    for at in range(0, len(shifts), inner):
        moved = etas[:, None] + np.array(shifts[at : at + inner]).swapaxes(0, 1)[:, :, None]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = view.elementwise.many(moved.reshape(len(etas), -1, etas.shape[2]), phi).value
        value += np.tensordot(weights[at : at + inner], found.reshape(-1, *value.shape), 1)
    return value


def sums(index: Ints, values: Floats, levels: int) -> Floats:
    """Return sums by level of every row of values, shape (m, levels), for values of shape (m, n)."""
    m = len(values)
    places = index + levels * np.arange(m)[:, None]
    return np.bincount(places.ravel(), values.ravel(), m * levels).reshape(m, levels)
