"""Draws of an approximation, sharpened: coefficients drawn anew at each draw's own hyperparameters.

An engine that integrates the coefficients out draws them from a few conditional distributions, at hyperparameters
near those of the draw. Means, standard deviations and intervals hardly notice; sums of many log densities do, since
single rows depend on differences of coefficients that are known much better than each of them. So, for
cross-validation, the coefficients are drawn from the normal approximation at the very hyperparameters of each draw,
and moved from there by some steps of the Metropolis engine that keep the exact conditional distribution as it is:
unlike importance weights, these do not degrade with the number of coefficients. The hyperparameters stay as drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError
from bayesglmm.results import facts
from bayesglmm.results.draws import stacked
from bayesglmm.results.evaluation.positions import hyperparameters, known_hyperparameters
from bayesglmm.results.schema import variables

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem

_MOVES, _STEPS = 3, 2  # paths per draw, and their steps; each path makes what is normal anew
_NORMAL = 1e-8  # log ratio below which the conditional distribution is normal
_ENOUGH = 0.5  # share of paths accepted below which they cannot be said to have forgotten their start


@dataclass(frozen=True, eq=False)
class Sample:
    """Draws to evaluate a model with.

    Attributes
    ----------
    draws : mapping of str to ndarray, shape (S, ...)
        Posterior variables, chains stacked.
    chains : int
    note : str
        What readers should know of them.
    """

    draws: dict[str, Floats]
    chains: int
    note: str = ""

    @property
    def size(self) -> int:
        """Number of draws."""
        return len(next(iter(self.draws.values())))


def sample(problem: Problem, posterior: xr.Dataset, attrs: Mapping[Any, Any], most: int, seed: int) -> Sample:
    """Return the draws of a fit, sharpened where they are of an approximation and where that works.

    Parameters
    ----------
    problem : Problem
    posterior : xarray.Dataset
    attrs : mapping
        Of the fit: they say how its draws came about.
    most : int
        Use at most so many draws where they are sharpened; all where not.
    seed : int
    """
    own = Sample(stacked(posterior), posterior.sizes["chain"])
    quality = facts.read(attrs, "quality")
    if quality is None or facts.effective_draws(attrs) is not None:
        return own
    what = str(quality.get("details", {}).get("approximation", "Laplace's approximation"))
    try:
        found = _redrawn(problem, stacked(posterior, min(most, own.size)), seed)
    except (BayesglmmError, np.linalg.LinAlgError):
        found = None
    if found is None:
        note = (
            f"The draws are those of {what} (verdict: {quality['verdict']}): elpd shares its error. Compare with "
            "NUTS where it matters."
        )
        return Sample(own.draws, own.chains, note)
    note = (
        f"The hyperparameters are draws of {what} (verdict: {quality['verdict']}); coefficients are exact given them."
    )
    return Sample(found, 1, note)


def _redrawn(problem: Problem, draws: dict[str, Floats], seed: int) -> dict[str, Floats] | None:
    """Return draws with other coefficients; None where a draw has no approximation, or paths are not accepted."""
    from bayesglmm.engines.kernels.block import Whitening, guided_move, state_at
    from bayesglmm.engines.kernels.centre import centre_of
    from bayesglmm.engines.kernels.newton import structure_of
    from bayesglmm.graph.latent import LatentView

    view = LatentView(problem)
    theta = hyperparameters(view, draws)
    whitening, rng = Whitening(structure_of(view), centre_of(view)), np.random.default_rng(seed)
    x, accepted = np.empty((len(theta), view.size)), []
    for s, (own, known) in enumerate(zip(theta, known_hyperparameters(view, theta), strict=True)):
        place = whitening.at(own, known)
        if place is None:
            return None
        state = state_at(place, rng.standard_normal(view.size))
        centre = place.conditional.log_density(place.centre)
        if not abs(state.log_density - centre + 0.5 * float(state.z @ state.z)) < _NORMAL:
            for _ in range(_MOVES):
                state, acceptance = guided_move(rng, state, 0.5 * np.pi / _STEPS, _STEPS)
                accepted.append(acceptance)
        x[s] = state.x
    if accepted and not np.mean(accepted) >= _ENOUGH:
        return None
    free = dict(view.natural_draws(theta))
    free |= {part.name: x[:, part.slice].reshape(-1, *part.shape) for part in view.parts}
    return stacked(variables(problem, {name: np.asarray(values)[None] for name, values in free.items()}))
