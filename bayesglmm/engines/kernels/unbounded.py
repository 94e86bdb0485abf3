"""Likelihoods without a maximum: coefficients that grow without end where predictors separate the responses.

Under separation the log-likelihood rises along a ray of the coefficients towards a limit that it never reaches
(Albert and Anderson 1984); a search ends wherever the rise is too small to see. There the rows that the ray moves are
fitted so closely that they say nothing any more: the information about the linear predictor, X' W X with W the
curvature of the log-likelihood row by row, vanishes along the ray. At a maximum it cannot: one event in a thousand
rows or in a million is information of about one about the logarithm of its rate.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.objective import MarginalObjective

# Information about the linear predictor of the row that a direction moves most. A search ends where 1e-6 are to be
# gained, which under separation is half of that information.
_NOTHING = 1e-5
_LITTLE = 1e-3  # of every row: a logit beyond 6.9
_PART = 0.05  # of the square of a coefficient's axis that lies in such directions


@dataclass(frozen=True, eq=False)
class Silence:
    """What the rows say about one predictor.

    Attributes
    ----------
    coefficients : ndarray of bool, shape (p,)
        Which population coefficients take part in directions about which they say nothing.
    largest : float
        The largest information of a row about the predictor.
    """

    coefficients: NDArray[np.bool_]
    largest: float


def unbounded(objective: MarginalObjective, mode: ConditionalMode, loose: Collection[str] = ()) -> tuple[str, ...]:
    """Return the labels of parameters without a finite estimate.

    Beside population coefficients these are standard deviations of groups whose responses are all alike inside: the
    likelihood rises as they are let differ more.

    Parameters
    ----------
    objective : MarginalObjective
    mode : ConditionalMode
        Where the search for the maximum ended.
    loose : collection of str
        Labels of standard deviations that are as good as unknown. They grow without end where no row says anything
        any more; else they are near zero.
    """
    view, found = objective.view, list[str]()
    problem, silences = view.problem, objective.silence(mode)
    known = problem.labels()
    fixed = {part.predictor: part for part in view.parts if part.role == "fixed"}
    for p, predictor in enumerate(problem.predictors):
        # An identity link has the unit of the response, in which no number is large; and nothing saturates there.
        if problem.links[predictor.names.parameter].domain == "real":
            continue
        if p in fixed:
            without = silences[p].coefficients
            found += [label for label, gone in zip(known[fixed[p].name], without, strict=True) if gone]
        if silences[p].largest < _LITTLE:
            names = [
                scale.name for block in predictor.blocks for scale in block.of_kind("scale").values() if scale.is_free
            ]
            found += [label for name in names for label in known[name] if label in loose]
    return tuple(found)


def row_silence(X: Floats, weights: Floats) -> Silence:
    """Return what rows with free columns X, shape (n, p), and such information say."""
    return Silence(silent(X, weights), float(weights.max()))


def silent(X: Floats, weights: Floats) -> NDArray[np.bool_]:
    """Return which coefficients take part in directions about which the rows say nothing.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    weights : ndarray, shape (n,)
        Information of every row about its linear predictor, not negative.
    """
    if not X.size or not little(float(weights.min())):
        return np.zeros(X.shape[1], dtype=bool)
    top = np.maximum(np.abs(X).max(axis=0), 1e-300)
    values, vectors = np.linalg.eigh(scaled_gram(X, weights, top))
    return lost_coefficients(values, vectors, moved_most(X, top, vectors))


def little(least: float) -> bool:
    """Return whether rows may say nothing, of which the one that says least has such information."""
    return least <= _NOTHING  # else the row moved most alone is enough


def scaled_gram(X: Floats, weights: Floats, top: Floats) -> Floats:
    """Return X' W X of columns divided by `top`."""
    unit = X / top
    return np.asarray(unit.T @ (unit * weights[:, None]))


def moved_most(X: Floats, top: Floats, vectors: Floats) -> Floats:
    """Return how far each direction moves the row that it moves most."""
    return np.asarray(np.abs((X / top) @ vectors).max(axis=0))


def lost_coefficients(values: Floats, vectors: Floats, moved: Floats) -> NDArray[np.bool_]:
    """Return which coefficients take part in directions with next to no information where they move rows most."""
    lost = values < _NOTHING * moved**2
    return np.asarray(np.sum(vectors[:, lost] ** 2, axis=1) > _PART)
