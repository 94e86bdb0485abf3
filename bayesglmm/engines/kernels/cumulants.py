"""How far means would move under the exact posterior, where importance weights are too uneven: by cumulants.

With hundreds of shared coefficients the ratio exp(r) of exact and approximate density varies so much that a few draws
hold all the weight, even where every mean is right. The cumulants of r are stable in any dimension. At a support
point theta, with expectations over the normal approximation of x given theta,

    log E exp r = E r + Var r / 2 + ...                     corrects the density of theta,
    Cov(x, r) + Cov(x, (r - E r)^2) / 2 + ...               moves the mean of x given theta.

E r and Cov(x, r) are sums of one-dimensional integrals row by row, and known; the rest are means over antithetic
pairs, centre + e and centre - e. Over support points the means of parameters then move by Cov(p, c) + Cov(p, (c -
mean c)^2) / 2, where c is the correction of log p(theta | y).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.nested import Exploration, Support

_PAIRS = 6000  # over all support points
_FEWEST = 4
_WORK = 3e7  # rows of the data times evaluations of the likelihood, at most


@dataclass(frozen=True, eq=False)
class Correction:
    """What the exact density changes, by support point.

    Attributes
    ----------
    at : ndarray of int, shape (points,)
        Support points that carry weight.
    weights : ndarray, shape (points,)
        Sum to one.
    log_mean : ndarray, shape (points,)
        log of exact over drawn-from density of theta, to second order, up to a constant.
    moves : ndarray, shape (points, size)
        Change of the mean of x given theta, to second order; in the layout of the view.
    """

    at: Ints
    weights: Floats
    log_mean: Floats
    moves: Floats

    def shifts(self, values: Floats, moves: Floats) -> tuple[Floats, Floats]:
        """Return how far means move, and Monte Carlo errors.

        Parameters
        ----------
        values : ndarray, shape (points, q)
            Means of parameters at the support points.
        moves : ndarray, shape (points, q)
            Their changes given theta.
        """
        w = self.weights[:, None]
        c = (self.log_mean - self.weights @ self.log_mean)[:, None]
        square = c**2 - (w * c**2).sum(axis=0)
        terms = moves + (values - (w * values).sum(axis=0)) * (c + 0.5 * square)
        shifts = (w * terms).sum(axis=0)
        return shifts, np.sqrt((w**2 * (terms - shifts) ** 2).sum(axis=0))


def correct(exploration: Exploration, random: np.random.Generator) -> Correction:
    """Measure the cumulants of the log ratio at every support point that carries weight.

    Parameters
    ----------
    exploration : Exploration
    random : numpy.random.Generator
    """
    structure = exploration.objective.structure
    at = np.flatnonzero(exploration.weights > 0)
    pairs = max(_FEWEST, int(min(_WORK / (2.0 * structure.n), _PAIRS) / len(at)))
    log_mean, moves = np.empty(len(at)), np.zeros((len(at), exploration.objective.view.size))
    for i, k in enumerate(at):
        mean, first, r, e = _ratios(exploration, exploration.support[k], pairs, random)
        square = (r - mean) ** 2
        log_mean[i] = mean + 0.5 * square.mean()
        moves[i, structure.inner] = first + 0.25 * (e * (square[0] - square[1])).mean(axis=1)
    if exploration.even:
        # theta was drawn from q, not from Laplace's approximation.
        log_mean += exploration.log_ratio[at]
    return Correction(at, exploration.weights[at], log_mean, moves)


def _ratios(
    exploration: Exploration, here: Support, pairs: int, random: np.random.Generator
) -> tuple[float, Floats, Floats, Floats]:
    """Return E r, Cov(x, r), r at centre + e and centre - e, shape (2, pairs), and e, shape (size, pairs)."""
    objective, mode = exploration.objective, here.mode
    structure, work = objective.structure, mode.work
    inner = here.centre[structure.inner]

    def prior(x: Floats) -> float:
        return float(-0.5 * (x - work.prior.mean) @ work.prior.times(x))

    # r is log p(y, x, theta) - log N(x; centre, H^-1) less the approximation of log p(y, theta).
    constant = work.prior.constant + objective.view.log_prior(mode.theta) - here.height
    constant += 0.5 * (structure.pattern.size * np.log(2.0 * np.pi) - mode.factor.logdet())
    z = random.standard_normal((structure.pattern.size, pairs))
    e = mode.factor.half_solve(z)
    half = 0.5 * (z**2).sum(axis=0)
    r = objective.antithetic(mode, inner, e) + half + constant
    for j in range(pairs):
        r[0, j] += prior(inner + e[:, j])
        r[1, j] += prior(inner - e[:, j])
    found = objective.averages(mode, inner)
    # Stein: Cov(x, r) = H^-1 E grad r.
    first = mode.factor.solve(found.slope - work.prior.times(inner))
    # E of the prior's and the approximation's quadratic forms: tr(Q H^-1) = size - sum of h W.
    trace = structure.pattern.size + found.trace
    mean = found.value + prior(inner) - 0.5 * trace + 0.5 * structure.pattern.size + constant
    return mean, first, r, e
