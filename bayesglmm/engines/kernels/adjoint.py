"""Sums over rows that derivatives of a marginal density are made of; each is one of sums over parts of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import Work
from bayesglmm.engines.kernels.structure import Block, Structure
from bayesglmm.engines.kernels.whitened import whitening_pull
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.linalg import Leverage, Rows, SelectedInverse

DIFFERENCE = 1e-5  # half the step of difference quotients of natural quantities

# Natural values and outer coefficients on both sides of a point.
type Ends = tuple[Mapping[str, Any], Floats, Mapping[str, Any], Floats]


@dataclass(frozen=True, eq=False)
class Expansion:
    """What of the likelihood moves a normal approximation and its log marginal density.

    Attributes
    ----------
    d1, d2, d3 : ndarray, shapes (P, n), (P, P, n) and (P, P, P, n)
        In the predictors. `d3` says how the curvature moves with the centre; where the approximation is stationary
        in its curvature, as that of expectation propagation is, it does not count.
    dphi, d1phi, d2phi : ndarray, shapes (F, n), (F, P, n) and (F, P, P, n)
        In the dispersions.
    """

    d1: Floats
    d2: Floats
    d3: Floats
    dphi: Floats
    d1phi: Floats
    d2phi: Floats


def third_order(found: RowDerivatives) -> Expansion:
    """Return the expansion at a mode.

    Raises
    ------
    TypeError
        If the derivatives are of a lower order.
    """
    parts = (found.d1, found.d2, found.d3, found.dphi, found.d1phi, found.d2phi)
    if any(part is None for part in parts):
        raise TypeError("The elementwise likelihood came without third derivatives.")
    return Expansion(*parts)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Pull:
    """Derivatives of L in the natural quantities.

    Attributes
    ----------
    factors : list of ndarray, each (k, k)
        In Lambda of every block.
    flat_phi : ndarray, shape (F,)
        In the dispersions.
    beta : list of ndarray
        In the free population coefficients of every predictor.
    whitening : tuple of ndarray
        In the entries of T~, where residuals are correlated.
    """

    factors: list[Any]
    flat_phi: Floats
    beta: list[Floats]
    whitening: tuple[Floats, ...] = ()


@dataclass(frozen=True, eq=False)
class NaturalJacobian:
    """Derivatives in psi_j, by j: of Lambda (by block first), of the flat dispersions, of Q and T~.

    Attributes
    ----------
    ends : list of Ends or None
        From which the derivative of eta at fixed x follows; None where that is zero.
    """

    factors: list[Floats]
    phi: Floats
    ends: Sequence[Ends | None]
    precisions: list[list[Floats]]
    whitening: list[Any]


def curvature_slope(work: Work, found: Expansion, inverse: SelectedInverse) -> tuple[Leverage, Floats]:
    """Return the leverage of every row and s, the derivative of -log |H| / 2 in the predictors, shape (P, n)."""
    leverage = work.rows.leverage(inverse, -work.d2)
    return leverage, 0.5 * np.einsum("pqrn,pqn->rn", found.d3, leverage.h)


def pulled(
    structure: Structure,
    work: Work,
    found: Expansion,
    leverage: Leverage,
    s: Floats,
    v: Floats,
    raw: tuple[Rows, Floats] | None = None,
) -> Pull:
    """Return the derivatives of L in the natural quantities, summed over the rows.

    Parameters
    ----------
    structure : Structure
    work : Work
    found : Expansion
    leverage : Leverage
    s : ndarray, shape (P, n)
        As from `curvature_slope`.
    v : ndarray, shape (inner,)
        H^-1 A' s.
    raw : (Rows, ndarray), optional
        As from `unwhitened`, where residuals are correlated.
    """
    view = structure.view
    w = work.rows.eta(v)
    t = found.d1 + s + np.einsum("pqn,qn->pn", found.d2, w)
    flat_phi = (
        found.dphi.sum(axis=1)
        + 0.5 * np.einsum("fpqn,pqn->f", found.d2phi, leverage.h)
        + np.einsum("fpn,pn->f", found.d1phi, w)
    )
    whitening = () if raw is None else whitening_pull(structure, raw, leverage, t, found.d1, v, work)
    # Rows were whitened after everything else, so derivatives pass through that first.
    back = np.asarray if work.whitening is None else work.whitening.back
    t, d1 = back(t), back(found.d1)
    order = {id(part): position for position, part in enumerate(view.problem.blocks)}
    factors: list[Any] = [0.0] * len(order)
    for b, block in enumerate(structure.blocks):
        p = block.latent.predictor
        if block.group is not None:
            own = leverage.groups[block.group]
        else:
            own = leverage.dense[p].T[_dense_rows(structure, block)]
        if p == 0 and work.whitening is not None:
            own = (work.whitening.matrix.T @ own.T).T
        M = structure.contract(b, t[p], work.inner) + structure.contract(b, d1[p], v) - block.Z @ own.T
        factors[order[id(block.part)]] = factors[order[id(block.part)]] + M
    beta = [
        np.zeros(0) if part.beta is None else view.free_columns(part).T @ t[p]
        for p, part in enumerate(view.problem.predictors)
    ]
    return Pull(factors, flat_phi, beta, whitening)


def _dense_rows(structure: Structure, block: Block) -> slice:
    """Return where a block lies among the dense columns of its predictor."""
    before = [
        part.width for part in structure.pattern.dense[: block.dense] if part.predictor == block.latent.predictor
    ]
    return slice(sum(before), sum(before) + len(block.Z))


def right_sides(
    structure: Structure,
    work: Work,
    found: Expansion,
    natural: NaturalJacobian,
    raw: tuple[Rows, Floats] | None = None,
) -> Floats:
    """Return H dx-hat / d psi without what the entries of precisions add, shape (inner, size).

    x-hat solves A' l'(A x) = Q (x - m), so H dx = dA' l' + A' (l'' deta + d l'/d phi dphi), where deta is the
    change of eta at fixed x.

    Parameters
    ----------
    structure : Structure
    work : Work
    found : Expansion
    natural : NaturalJacobian
    raw : (Rows, ndarray), optional
        As from `unwhitened`, where residuals are correlated.
    """
    right = np.zeros((structure.pattern.size, len(natural.phi)))
    whitening = work.whitening
    d1 = found.d1 if whitening is None else whitening.back(found.d1)
    rows, left = (work.rows, np.zeros(0)) if raw is None else raw
    order = {id(part): position for position, part in enumerate(structure.view.problem.blocks)}
    for j in range(right.shape[1]):
        deta = _offset_slope(structure, natural.ends[j])
        column = np.zeros(structure.pattern.size)
        for b, block in enumerate(structure.blocks):
            Lambda = natural.factors[order[id(block.part)]][j]
            if np.any(Lambda):
                p = block.latent.predictor
                deta[p] += structure.effect(b, work.inner, Lambda)
                column += structure.scatter(b, d1[p], Lambda)
        if whitening is not None:
            deta, moved = whitening.first(deta), natural.whitening[j]
            deta[0] -= moved @ left
            column += rows.transpose(np.concatenate([(moved.T @ found.d1[0])[None], np.zeros_like(deta[1:])]))
        change = np.einsum("pqn,qn->pn", found.d2, deta) + np.einsum("fpn,f->pn", found.d1phi, natural.phi[j])
        right[:, j] = column + work.rows.transpose(change)
    return right


def _offset_slope(structure: Structure, ends: Ends | None) -> Floats:
    """Return the derivative of eta at fixed x, shape (P, n)."""
    if ends is None:
        return np.zeros((structure.predictors, structure.pattern.n))
    up, beta_up, down, beta_down = ends
    return (structure.offset(up, beta_up) - structure.offset(down, beta_down)) / (2 * DIFFERENCE)
