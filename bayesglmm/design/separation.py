"""Separation: directions of the coefficients along which the likelihood rises for ever, by linear programming.

A direction separates where every row's likelihood rises or stays the same along it and some row's rises (Albert and
Anderson 1984; for counts Correia, Guimaraes and Zylkin 2019). What each row asks of a direction is linear, so that a
linear programme finds one if there is any (Konis 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesglmm.blocks import Floats, Response

_LARGEST = 4_000_000  # numbers in the programme: some seconds
_NONZERO = 1e-6
_STEPS, _FAR = 12, 15.0


class Demands(NamedTuple):
    """What rows ask of a direction d of the coefficients.

    Attributes
    ----------
    rows : ndarray, shape (m, q)
        ``rows @ d`` must not be negative; the programme makes it positive where it can.
    held : ndarray, shape (h, q)
        ``held @ d`` must be zero.
    names : tuple of str, length q
    of : ndarray of int, shape (m,)
        Which row of the data each demand is of.
    """

    rows: Floats
    held: Floats
    names: tuple[str, ...]
    of: NDArray[Any]


@dataclass(frozen=True)
class Separation:
    """A direction in which the likelihood rises for ever.

    Attributes
    ----------
    columns : tuple of str
        Columns that are part of it, the largest weight first.
    weights : tuple of float
        Of these columns; the largest is 1 in size.
    rows : int
        How many rows are decided: those whose likelihood rises along the direction.
    total : int
        How many there are.
    """

    columns: tuple[str, ...]
    weights: tuple[float, ...]
    rows: int
    total: int

    @property
    def complete(self) -> bool:
        """Whether every row is decided; else separation is only quasi-complete."""
        return self.rows == self.total

    @property
    def combination(self) -> str:
        """The direction as text: ``+1 x -0.52 z``."""
        shown = " ".join(f"{w:+.3g} {name}" for name, w in list(zip(self.columns, self.weights, strict=True))[:5])
        return f"{shown} ..." if len(self.columns) > 5 else shown


def separation(
    kind: str, response: Response, X: Floats, columns: Sequence[str], zeros: bool = False
) -> Separation | None:
    """Return a direction that separates the responses, or None where there is none (or the problem is too large).

    Parameters
    ----------
    kind : {"binary", "binomial", "ordinal", "nominal", "numeric"}
        Of response, as families say it.
    response : Response
    X : ndarray, shape (n, p)
        Population columns of the main predictor.
    columns : sequence of str, length p
    zeros : bool
        Whether the response is a count whose mean falls to zero with the predictor, so that zeros can be decided.

    Returns
    -------
    Separation or None
        Of directions that separate, one that decides many rows, with few columns where it can.
    """
    if not X.size or response.censoring is not None or not np.isfinite(np.asarray(response.y, dtype=float)).all():
        return None
    scale = np.abs(X).max(axis=0)
    scale[scale == 0.0] = 1.0
    scaled = X / scale
    demands = _demands(kind, response, scaled, tuple(columns), zeros)
    if demands is None or demands.rows.size + demands.held.size > _LARGEST or not len(demands.rows):
        return None
    direction = _direction(demands.rows, demands.held)
    if direction is None:
        return None
    if not len(demands.held):
        direction = _strict(demands.rows, direction)
    decided = len(np.unique(demands.of[demands.rows @ direction > _NONZERO]))
    p = len(scale)
    own = np.array([scale[j % p] if j < len(direction) // p * p else 1.0 for j in range(len(direction))])
    natural = direction / own
    used = np.flatnonzero(direction)
    named = [j for j in used if demands.names[j].split(": ")[-1] != "Intercept"] or list(used)
    named.sort(key=lambda j: -abs(direction[j]))
    largest = np.abs(natural[named]).max()
    return Separation(
        tuple(demands.names[j] for j in named),
        tuple(float(natural[j] / largest) for j in named),
        decided,
        len(response.y),
    )


def _demands(kind: str, response: Response, X: Floats, names: tuple[str, ...], zeros: bool) -> Demands | None:
    y = np.asarray(response.y, dtype=float)
    if kind in ("binary", "binomial"):
        trials = np.ones(len(y)) if response.trials is None else response.trials
        sign = np.where(y <= 0, -1.0, np.where(y >= trials, 1.0, 0.0))
        sign[trials <= 0] = 0.0
        if _overlap(X, y, trials):
            return None
        held = X[(sign == 0.0) & (trials > 0)]
        return Demands(sign[sign != 0, None] * X[sign != 0], held, names, np.flatnonzero(sign))
    if kind == "numeric" and zeros:
        held = X[y > 0]
        if np.linalg.matrix_rank(held) == X.shape[1]:
            return None
        return Demands(-X[y <= 0], held, names, np.flatnonzero(y <= 0))
    if kind == "ordinal":
        return _ordered(y.astype(int), X, names, len(response.categories))
    if kind == "nominal":
        return _unordered(y.astype(int), X, names, response.categories)
    return None


def _ordered(y: NDArray[Any], X: Floats, names: tuple[str, ...], categories: int) -> Demands:
    """Return demands on coefficients and cutpoints: the cutpoint above a row's category minus X d must not fall."""
    cut = np.eye(categories - 1)
    above, below = y < categories - 1, y > 0
    upper = np.hstack([-X[above], cut[y[above]]])
    lower = np.hstack([X[below], -cut[y[below] - 1]])
    labels = (*names, *(f"cutpoint {j + 1}" for j in range(categories - 1)))
    of = np.concatenate([np.flatnonzero(above), np.flatnonzero(below)])
    return Demands(np.vstack([upper, lower]), np.zeros((0, len(labels))), labels, of)


def _unordered(y: NDArray[Any], X: Floats, names: tuple[str, ...], categories: tuple[str, ...]) -> Demands:
    """Return demands on the coefficients of all categories but the first: that of the row must not lose to others."""
    n, p = X.shape
    K = len(categories)
    rows = np.zeros((n, K - 1, K, p))
    for i in range(n):
        others = [k for k in range(K) if k != y[i]]
        rows[i, :, y[i]] = X[i]
        for slot, other in enumerate(others):
            rows[i, slot, other] = -X[i]
    labels = tuple(f"{category}: {name}" for category in categories[1:] for name in names)
    flat = rows[:, :, 1:].reshape(n * (K - 1), (K - 1) * p)
    return Demands(flat, np.zeros((0, flat.shape[1])), labels, np.repeat(np.arange(n), K - 1))


def _overlap(X: Floats, y: Floats, trials: Floats) -> bool:
    """Return whether Newton's method finds finite logistic estimates: then nothing separates, and no programme runs.

    Along a separating direction it gains about one unit of the predictor per step and never settles.
    """
    beta = np.zeros(X.shape[1])
    for _ in range(_STEPS):
        eta = np.clip(X @ beta, -_FAR - 1.0, _FAR + 1.0)
        p = 1.0 / (1.0 + np.exp(-eta))
        gradient = X.T @ (y - trials * p)
        try:
            step = np.linalg.solve((X * (trials * p * (1.0 - p))[:, None]).T @ X, gradient)
        except np.linalg.LinAlgError:
            return False
        beta = beta + step
        if float(gradient @ step) < 1e-8:
            return bool(np.abs(X @ beta).max() < _FAR)
    return False


def _direction(rows: Floats, held: Floats) -> Floats | None:
    """Return the direction in the unit cube that gives the rows the most, or None where all it can give is zero."""
    from scipy.optimize import linprog

    gain = rows.sum(axis=0)
    rows, held = np.unique(rows, axis=0), np.unique(held, axis=0)
    found = linprog(
        -gain,
        A_ub=-rows,
        b_ub=np.zeros(len(rows)),
        A_eq=held if len(held) else None,
        b_eq=np.zeros(len(held)) if len(held) else None,
        bounds=(-1.0, 1.0),
        method="highs",
        options={"time_limit": 10.0},
    )
    if found.status != 0 or found.x is None:
        return None
    best = np.asarray(found.x, dtype=float)
    if not _separates(rows, held, best):
        return None
    # The vertex may hold columns that the direction does not need: first all small weights go, then single ones.
    small = np.where(np.abs(best) < 0.01 * np.abs(best).max(), 0.0, best)
    best = small if _separates(rows, held, small) else best
    for j in np.argsort(np.abs(best)):
        without = np.where(np.arange(len(best)) == j, 0.0, best)
        best = without if _separates(rows, held, without) else best
    return best


def _strict(rows: Floats, direction: Floats) -> Floats:
    """Return a direction that decides every row where there is one: the first may leave rows on its border."""
    if (rows @ direction).min() > 10.0 * _NONZERO:
        return direction
    from scipy.optimize import linprog

    rows = np.unique(rows, axis=0)
    m, q = rows.shape
    found = linprog(
        -np.eye(1, q + 1, q)[0],  # the smallest gain
        A_ub=np.hstack([-rows, np.ones((m, 1))]),
        b_ub=np.zeros(m),
        bounds=[(-1.0, 1.0)] * q + [(None, 1.0)],
        method="highs",
        options={"time_limit": 10.0},
    )
    if found.status != 0 or found.x is None or found.x[-1] <= 10.0 * _NONZERO:
        return direction
    best = np.asarray(found.x[:-1], dtype=float)
    return np.where(np.abs(best) < _NONZERO, 0.0, best)


def _separates(rows: Floats, held: Floats, direction: Floats) -> bool:
    gains = rows @ direction
    still = not len(held) or bool(np.abs(held @ direction).max() < _NONZERO)
    return still and bool(gains.max(initial=0.0) > 10.0 * _NONZERO and gains.min(initial=0.0) > -_NONZERO)
