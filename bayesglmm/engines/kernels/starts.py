"""Other modes: a normal approximation knows one mode, and a likelihood that is not log-concave may have several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.nested import Exploration
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.linalg import NotPositiveDefiniteError

_SHIFTS = (-1.5, 1.5)  # of the hyperparameters: standard deviations a fifth and five times as large
_JUMPS = 4  # random starts of the coefficients
_FAR = 1.5  # how far out the group effects start, in their own standard deviations
_APART = 0.5  # modes closer than so many posterior standard deviations in every direction are the same
_DEEP = 5.0  # a mode lower by more than this holds less than one percent of the mass


@dataclass(frozen=True)
class OtherMode:
    """A second mode.

    Attributes
    ----------
    where : {"coefficients", "hyperparameters"}
        What another start was taken for.
    height : float
        Its log posterior mass relative to the mode in use, by Laplace's approximation at both.
    """

    where: str
    height: float


def other_modes(exploration: Exploration, random: np.random.Generator) -> tuple[OtherMode, ...]:
    """Search from other starts where the likelihood is not log-concave.

    Parameters
    ----------
    exploration : Exploration
    random : numpy.random.Generator

    Returns
    -------
    tuple of OtherMode
        Those that hold mass enough to matter.
    """
    if not any(exploration.objective.convex(support.mode) for support in exploration.support):
        return ()
    coefficients = _of_coefficients(exploration, random) if exploration.objective.single else ()
    found = [*coefficients, *_of_hyperparameters(exploration)]
    return tuple(mode for mode in found if mode.height > -_DEEP)


def _of_coefficients(exploration: Exploration, random: np.random.Generator) -> Iterator[OtherMode]:
    """Start the search for x at the prior mean, and with group effects drawn from their prior, at the best theta."""
    objective, here = exploration.objective, exploration.optimum.mode
    structure = objective.structure
    jumps = np.tile(here.work.inner, (_JUMPS, 1))
    for group in structure.pattern.groups:
        jumps[:, group.columns.ravel()] = _FAR * random.standard_normal((_JUMPS, group.columns.size))
    prior_log = objective.view.log_prior(here.theta)
    for start in [None, *jumps]:
        try:
            mode = objective.mode(here.theta, start, prior_log)
        except NotPositiveDefiniteError:
            continue
        step = mode.work.inner - here.work.inner
        if mode.converged and _length(here, step) > _APART:
            yield OtherMode("coefficients", mode.log_marginal - here.log_marginal)


def _length(mode: ConditionalMode, step: Floats) -> float:
    """Return the largest component of a step in standard deviations."""
    sds = np.sqrt(np.maximum(mode.factor.inverse_diagonal(), 1e-300))
    return float(np.abs(step / sds).max(initial=0.0))


def _of_hyperparameters(exploration: Exploration) -> Iterator[OtherMode]:
    """Climb from smaller and from larger hyperparameters."""
    optimum, objective = exploration.optimum, exploration.objective
    if not objective.size:
        return
    scale = np.sqrt(np.maximum(np.diag(optimum.curvature), 1e-2))
    for shift in _SHIFTS:
        try:
            found = maximise(objective.view, start=optimum.psi + shift, limit=40, make=lambda *_: objective)
        except NotPositiveDefiniteError:
            continue
        apart = float(np.abs((found.psi - optimum.psi) * scale).max())
        if found.converged and apart > _APART:
            mass = 0.5 * (np.linalg.slogdet(optimum.curvature)[1] - np.linalg.slogdet(found.curvature)[1])
            yield OtherMode("hyperparameters", float(found.value - optimum.value + mass))
