"""Importance resampling: draws of the approximation become draws of the posterior, as far as the weights allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.engines.kernels.blockwise import BlockRatio, Ratios
from bayesglmm.engines.kernels.nested import Draws, Exploration
from bayesglmm.engines.kernels.pareto import TRUSTED, smoothed

_PILOT = 32  # pairs that decide whether the rest is worth its time
_HOPELESS = 1.6  # standard deviation of log weights: one draw in seven effective


@dataclass(frozen=True, eq=False)
class Resampled:
    """Draws in proportion to their weights.

    Attributes
    ----------
    draws : Draws
        Equal ones follow each other, so that effective sample sizes, which read autocorrelation, count them as what
        they are.
    khat : float
        Pareto k of the weights.
    effective : float
        Independent draws that they are worth: 1 / sum of squared weights.
    """

    draws: Draws
    khat: float
    effective: float


def resample(exploration: Exploration, draws: int, candidates: int) -> Resampled | None:
    """Draw theta and the shared coefficients by smoothed importance weights, and every level by its own.

    Parameters
    ----------
    exploration : Exploration
    draws : int
    candidates : int
        From which they are taken.

    Returns
    -------
    Resampled or None
        None where Pareto k says that the weights cannot be trusted.
    """
    ratio = BlockRatio(exploration, exploration.quadrature)
    pilot = _candidates(exploration, ratio, _PILOT)
    if not np.all(np.isfinite(pilot[1].shared)) or pilot[1].shared.std() > _HOPELESS:
        return None
    drawn, ratios = _candidates(exploration, ratio, max(_PILOT, candidates // 2))
    weights, khat = smoothed(ratios.shared)
    if not khat < TRUSTED:
        return None
    random = exploration.random
    order = random.permutation(len(weights))
    position = (np.arange(draws) + random.random()) / draws
    chosen = order[np.minimum(np.searchsorted(np.cumsum(weights[order]), position), len(weights) - 1)]
    return Resampled(Draws(drawn.psi[chosen], ratios.x[chosen]), khat, float(1.0 / np.sum(weights**2)))


def _candidates(exploration: Exploration, ratio: BlockRatio, pairs: int) -> tuple[Draws, Ratios]:
    psi, log_theta = exploration.hyperparameters(pairs, exploration.random)
    return ratio.draw(psi, log_theta, exploration.nearest(psi), exploration.random, redraw=True)
