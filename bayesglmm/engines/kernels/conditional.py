"""The conditional mode of the latent Gaussian part, x-hat(theta), and Laplace's approximation of p(theta | y)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, sparse

from bayesglmm.blocks import Floats
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import DenseFactor, Factor, NotPositiveDefiniteError

_ITERATIONS = 60
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class ConditionalMode:
    """The mode of p(x | y, theta).

    Attributes
    ----------
    theta : ndarray, shape (t,)
    x : ndarray, shape (size,)
    factor : Factor
        Of H = A' W A + Q at the mode.
    log_marginal : float
        Laplace's approximation of log p(y, theta), Jacobian of theta's transforms included.
    iterations : int
        Newton steps taken.
    converged : bool
    """

    theta: Floats
    x: Floats
    factor: Factor
    log_marginal: float
    iterations: int
    converged: bool


def conditional_mode(view: LatentView, theta: Floats, start: Floats | None = None) -> ConditionalMode:
    """Find argmax_x log p(y | A x) + log N(x; m, Q^-1) by Newton's method with step halving (PIRLS).

    Parameters
    ----------
    view : LatentView
    theta : ndarray, shape (t,)
        Unconstrained.
    start : ndarray, shape (size,), optional
        Where to start: the prior mean if absent.

    Raises
    ------
    NotPositiveDefiniteError
        If no start leads to a maximum with a positive definite precision.
    """
    design, phi = view.design(theta), view.dispersions(view.natural(theta))
    Q, mean = view.precision(theta), view.mean
    x = mean.copy() if start is None else start.copy()

    def evaluate(point: Floats, order: int) -> tuple[float, Any, list[Floats]]:
        rows = view.elementwise([offset + A @ point for offset, A in design], phi, order)
        deviation = point - mean
        return float(rows.value.sum()) - 0.5 * float(deviation @ (Q @ deviation)), rows, [Q @ deviation]

    value, rows, _ = evaluate(x, 1)
    converged, step, factor = False, 0, None
    for step in range(1, _ITERATIONS + 1):  # noqa: B007 - the count is reported
        gradient = sum((A.T @ rows.d1[p] for p, (_, A) in enumerate(design)), -(Q @ (x - mean)))
        factor = DenseFactor(_hessian(design, rows.d2, Q, floor=True))
        direction = factor.solve(gradient)
        decrement = float(gradient @ direction)
        if not np.isfinite(decrement):
            raise NotPositiveDefiniteError("The search for the conditional mode met a non-finite gradient.")
        if decrement < _TOLERANCE * (1.0 + abs(value)):
            converged = True
            break
        x, value, rows, moved = _halve(evaluate, x, direction, value, decrement, rows)
        if not moved:
            break
    factor = DenseFactor(_hessian(design, rows.d2, Q, floor=False))
    log_marginal = (
        float(rows.value.sum())
        + view.log_prior_x(x, theta)
        - 0.5 * factor.logdet()
        + 0.5 * view.size * np.log(2 * np.pi)
        + view.log_prior(theta)
    )
    return ConditionalMode(np.asarray(theta, dtype=float), x, factor, log_marginal, step, converged)


def _halve(evaluate: Any, x: Floats, direction: Floats, value: float, decrement: float, rows: Any) -> Any:
    """Take the largest of the halved steps that raises the objective."""
    size = 1.0
    for _ in range(30):
        trial = x + size * direction
        new, new_rows, _ = evaluate(trial, 1)
        if np.isfinite(new) and new >= value + 1e-4 * size * decrement - 1e-12 * abs(value):
            return trial, new, new_rows, True
        size /= 2.0
    return x, value, rows, False


def _hessian(design: list[tuple[Floats, Any]], d2: Floats, Q: Any, floor: bool) -> Any:
    """Return A' W A + Q; `floor` makes negative curvatures of single predictors small and positive for the search."""
    H = Q
    for p, (_, left) in enumerate(design):
        for q, (_, right) in enumerate(design):
            weights = -d2[p, q]
            if floor and p == q:
                weights = np.maximum(weights, 1e-8 + 0.1 * np.median(np.abs(weights)) * (weights < 0))
            elif floor:
                continue
            H = H + left.T @ (sparse.diags_array(weights) @ right)
    return H


def laplace_mode(view: LatentView, start: Floats, limit: int = 60) -> tuple[ConditionalMode, Floats]:
    """Maximise Laplace's approximation of log p(theta | y) over unconstrained theta.

    Parameters
    ----------
    view : LatentView
    start : ndarray, shape (t,)
    limit : int
        Iterations of BFGS.

    Returns
    -------
    mode : ConditionalMode
        At the best theta.
    covariance : ndarray, shape (t, t)
        BFGS's approximation of the covariance of theta.
    """
    last: list[ConditionalMode] = [conditional_mode(view, start)]

    def objective(theta: Floats) -> float:
        try:
            found = conditional_mode(view, theta, last[0].x)
        except NotPositiveDefiniteError:
            return np.inf
        last[0] = found if np.isfinite(found.log_marginal) else last[0]
        return -found.log_marginal

    if not len(start):
        return last[0], np.zeros((0, 0))
    result = optimize.minimize(objective, start, method="BFGS", options={"maxiter": limit, "gtol": 1e-3})
    covariance = 0.5 * (result.hess_inv + result.hess_inv.T)
    return conditional_mode(view, result.x, last[0].x), covariance
