"""The marginal likelihood from posterior draws, by bridge sampling (Meng and Wong 1996; Gronau et al. 2017).

The bridge is built in the coordinates (theta, z) of the Metropolis engine: x = c(theta) + L(theta)^-T z, with c near
the conditional mode of all coefficients and L L' their conditional precision. There z is standard normal as far as
Laplace's approximation is right, whatever theta, and the proposal is N(0, I) for z and, for theta, a normal
distribution fitted to the first half of the draws. With a gaussian response z is exactly normal: the coefficients
cancel, and what is left is a bridge in the few hyperparameters. The density is the exact one throughout; how good c
and L are decides the error alone, and the error is estimated.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError, PriorError
from bayesglmm.results.draws import require_count, stacked
from bayesglmm.results.evaluation.positions import known_hyperparameters, positions
from bayesglmm.results.evaluation.rows import Observed, observed

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.engines.kernels.block import Whitening
    from bayesglmm.graph.problem import Problem

_TOLERANCE = 1e-10
_ITERATIONS = 1000
_ROUGH = 0.25  # standard error of the log evidence above which a Bayes factor is off by a quarter and more


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """The marginal likelihood of a model: the probability of its data, averaged over the priors.

    Attributes
    ----------
    log_evidence : float
        Natural logarithm.
    se : float
        Its standard error: the relative root mean squared error of the marginal likelihood (Fruehwirth-Schnatter
        2004), with the effective, not the actual, number of draws. NaN where it is not known.
    method : str
    draws : int
        Posterior draws of the second half; as many were drawn from the proposal.
    notes : tuple of str
    observed : Observed or None
        The data that it is of.
    """

    log_evidence: float
    se: float
    method: str
    draws: int = 0
    notes: tuple[str, ...] = field(default=())
    observed: Observed | None = None

    def __float__(self) -> float:
        return self.log_evidence

    def __repr__(self) -> str:
        error = "" if np.isnan(self.se) else f" (standard error {self.se:.2g})"
        return "\n".join([f"Log evidence {self.log_evidence:.2f}{error}, by {self.method}", *self.notes])


def require_proper(problem: Problem, name: str) -> None:
    """Raise where a prior is flat: the evidence is then not defined.

    Parameters
    ----------
    problem : Problem
    name : str
        Of the method, for the message.
    """
    flat = [slot.label for slot in problem.priors if slot.prior.distribution == "Flat"]
    if flat:
        shown = ", ".join(flat[:5]) + (f" and {len(flat) - 5} more" if len(flat) > 5 else "")
        raise PriorError(
            f"{name} needs proper priors, and those of {shown} are flat. The evidence averages the likelihood over "
            "the priors; over a flat one, which does not integrate to one, the average is not defined, and a Bayes "
            "factor could be any number. Leave out priors= for the defaults, or give bg.Prior(...)."
        )


def bridge(problem: Problem, posterior: xr.Dataset, draws: int, seed: int, iterations: int = _ITERATIONS) -> Evidence:
    """Estimate the marginal likelihood; see `Fit.bridge`.

    Parameters
    ----------
    problem : Problem
    posterior : xarray.Dataset
    draws : int
        Use at most so many posterior draws, evenly spaced.
    seed : int
    iterations : int
        Most of the fixed-point iteration.
    """
    require_count("draws", draws)
    require_proper(problem, "bridge")
    first, second, chains = _halves(posterior, draws)
    whitening, x, theta = _whitened(problem, {name: np.concatenate([first[name], second[name]]) for name in first})
    count = len(next(iter(first.values())))
    proposal = _Normal(theta[:count])
    rng = np.random.default_rng(seed)
    view = whitening.structure.view
    own = _log_ratios(whitening, proposal, theta[count:], x=x[count:])
    size = len(own)
    drawn = proposal.draw(rng, size)
    theirs = _log_ratios(whitening, proposal, drawn, z=rng.standard_normal((size, view.size)))
    if not np.isfinite(own).all():
        raise BayesglmmError("The joint density is not finite at some posterior draws; bridge sampling cannot go on.")
    log_evidence, converged = _fixed_point(own, theirs, iterations)
    se = _error(own, theirs, log_evidence, chains)
    notes = []
    if not converged:
        notes.append(f"The iteration did not converge in {iterations} steps.")
    if se > _ROUGH:
        notes.append("The error is large: use more draws, or check the fit's verdict.")
    method = f"bridge sampling, {size:,} posterior draws"
    return Evidence(log_evidence, se, method, size, tuple(notes), observed(problem))


def _halves(posterior: xr.Dataset, draws: int) -> tuple[dict[str, Floats], dict[str, Floats], int]:
    """Return the first and the second half of every chain, thinned and stacked, and the number of chains."""
    chains, length = posterior.sizes["chain"], posterior.sizes["draw"]
    kept = max(4, min(length, draws // chains))
    if length < 4:
        raise BayesglmmError("Bridge sampling needs at least 4 draws per chain; a few hundred are better.")
    at = (np.arange(kept) * length) // kept
    middle = kept // 2
    halves = [stacked(posterior.isel(draw=part)) for part in (at[:middle], at[middle:])]
    return halves[0], halves[1], chains


def _whitened(problem: Problem, draws: dict[str, Floats]) -> tuple[Whitening, Floats, Floats]:
    from bayesglmm.engines.kernels.block import Whitening
    from bayesglmm.engines.kernels.centre import centre_of
    from bayesglmm.engines.kernels.newton import structure_of
    from bayesglmm.graph.latent import LatentView

    view = LatentView(problem)
    x, theta = positions(view, draws, 'take that of Laplace\'s approximation: model.fit("laplace").log_evidence')
    return Whitening(structure_of(view), centre_of(view)), x, theta


class _Normal:
    """A normal distribution fitted to draws of theta."""

    def __init__(self, theta: Floats) -> None:
        t = theta.shape[1]
        self.mean = theta.mean(axis=0)
        covariance = np.atleast_2d(np.cov(theta, rowvar=False)) if t else np.zeros((0, 0))
        # A direction in which no draw moved still needs a density.
        self.root = np.linalg.cholesky(covariance + 1e-10 * np.eye(t) * max(1.0, float(np.trace(covariance))))
        self.constant = -0.5 * t * np.log(2.0 * np.pi) - float(np.log(np.diag(self.root)).sum())

    def draw(self, rng: np.random.Generator, size: int) -> Floats:
        """Return draws, shape (size, t)."""
        return np.asarray(self.mean + rng.standard_normal((size, len(self.mean))) @ self.root.T)

    def log_density(self, theta: Floats) -> float:
        """Return the log density at one theta."""
        z = np.linalg.solve(self.root, theta - self.mean)
        return float(self.constant - 0.5 * (z @ z))


def _log_ratios(
    whitening: Whitening, proposal: _Normal, theta: Floats, x: Floats | None = None, z: Floats | None = None
) -> Floats:
    """Return log p(y, x, theta) - log q at points given by x or by z; minus infinity where there is no density."""
    found = np.full(len(theta), -np.inf)
    for s, (own, known) in enumerate(zip(theta, known_hyperparameters(whitening.structure.view, theta), strict=True)):
        place = whitening.at(own, known)
        if place is None:
            continue
        if z is not None:
            here, coefficients = z[s], place.x(z[s])
        elif x is not None:
            here, coefficients = place.factor.half_product(x[s] - place.centre), x[s]
        normal = -0.5 * float(here @ here) - 0.5 * len(here) * np.log(2.0 * np.pi)
        density = place.conditional.log_density(coefficients) - place.half_logdet
        found[s] = density - normal - proposal.log_density(own)
    return found


def _fixed_point(own: Floats, theirs: Floats, iterations: int) -> tuple[float, bool]:
    """Return the log evidence at which Meng and Wong's optimal bridge reproduces itself, and whether it was found.

    Parameters
    ----------
    own, theirs : ndarray
        log p(y, point) - log q(point) at posterior draws and at draws of q.
    iterations : int
    """
    from scipy.special import logsumexp

    s1, s2 = len(own) / (len(own) + len(theirs)), len(theirs) / (len(own) + len(theirs))
    found = float(np.median(own))
    for _ in range(iterations):
        above = logsumexp(theirs - np.logaddexp(np.log(s1) + theirs, np.log(s2) + found)) - np.log(len(theirs))
        below = logsumexp(-np.logaddexp(np.log(s1) + own, np.log(s2) + found)) - np.log(len(own))
        following = float(above - below)
        if abs(following - found) < _TOLERANCE * max(1.0, abs(found)):
            return following, True
        found = following
    return found, False


def _error(own: Floats, theirs: Floats, log_evidence: float, chains: int) -> float:
    """Return the relative root mean squared error of Fruehwirth-Schnatter (2004)."""
    import arviz_stats  # noqa: F401  # gives arrays their accessor
    import xarray as xr

    s1, s2 = len(own) / (len(own) + len(theirs)), len(theirs) / (len(own) + len(theirs))
    # p / (s1 p + s2 q) under q, and q / (s1 p + s2 q) under p, with p normalised by the estimate.
    f1 = np.exp(theirs - log_evidence - np.logaddexp(np.log(s1) + theirs - log_evidence, np.log(s2)))
    f2 = np.exp(-np.logaddexp(np.log(s1) + own - log_evidence, np.log(s2)))
    by_chain = xr.DataArray(f2.reshape(chains, -1), dims=("chain", "draw"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ess = float(by_chain.azstats.ess(method="mean")) if f2.std() > 1e-12 * f2.mean() else float(len(f2))
    ess = float(np.clip(ess, 1.0, len(f2))) if np.isfinite(ess) else float(len(f2))
    variances = f1.var() / f1.mean() ** 2 / len(f1) + f2.var() / f2.mean() ** 2 / ess
    return float(np.sqrt(variances))
