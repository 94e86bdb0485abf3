"""Moments of tilted distributions: a normal density, the cavity, times the likelihood of a cell, in one dimension.

Families know them in closed form where there is one (gaussian; bernoulli with the probit link). Everything else is
integrated by the trapezoidal rule around the current marginal, which is the tilted distribution itself once the
algorithm has converged. For analytic integrands that rule converges exponentially (Trefethen and Weideman 2014): if
halving its step changes the moments by a small number, what is left is of the order of the square of that number.
Cells for which the range is too short or the step too long are done again, without the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.ep_cells import Cells
from bayesglmm.families.base import TiltedMoments

_REACH = 10.0  # of the nodes, in standard deviations
_NODES = 21  # of the coarser rule; the finer one has twice as many
_AGREE = 1e-4  # of both rules: relative for variances, in standard deviations for means, in nats for normalisers
_ENDS = -24.0  # log of the integrand at the last nodes, relative to its maximum, above which the range is too short
_FINEST = 8  # halvings of the step
_ROUNDS = 8  # of moving the range
_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Cavity:
    """The normal density of every cell's predictor without the cell's own site.

    Attributes
    ----------
    mean, variance : ndarray, shape (c,)
    centre, scale : ndarray, shape (c,)
        Where the tilted distribution is expected: mean and standard deviation of the current marginal.
    """

    mean: Floats
    variance: Floats
    centre: Floats
    scale: Floats

    def rows(self, at: Any) -> Cavity:
        """Return some of the cells."""
        return Cavity(self.mean[at], self.variance[at], self.centre[at], self.scale[at])


def tilted_moments(likelihood: Cells, phi: Mapping[str, Any], cavity: Cavity) -> TiltedMoments:
    """Return log normaliser, mean and variance of every cell's tilted distribution.

    Parameters
    ----------
    likelihood : Cells
    phi : mapping
        Dispersions on their natural scale.
    cavity : Cavity

    Returns
    -------
    TiltedMoments
        Not a number where the likelihood has no finite value.
    """
    known = likelihood.tilted(cavity.mean, cavity.variance, phi)
    return _integrated(likelihood, phi, cavity) if known is None else known


def tilted_means(likelihood: Cells, phi: Mapping[str, Any], cavity: Cavity) -> tuple[Floats, Floats]:
    """Return the means of dl/dphi, shape (F, n), and of d2l/(d eta d phi), shape (F, P, n).

    Parameters
    ----------
    likelihood : Cells
    phi : mapping
    cavity : Cavity
        At convergence, so that no range need be searched.
    """
    z = np.linspace(-_REACH, _REACH, 4 * (_NODES - 1) + 1)
    eta = cavity.centre + z[:, None] * cavity.scale
    step = max(1, likelihood.together)
    log_weights = np.concatenate(
        [_log_integrand(likelihood, phi, cavity, eta[s : s + step]) for s in _starts(z, step)]
    )
    weights = np.exp(log_weights - log_weights.max(axis=0))
    weights /= weights.sum(axis=0)
    F = sum(likelihood.sizes.values())
    dphi, d1phi = np.zeros((F, len(cavity.mean))), np.zeros((F, 1, len(cavity.mean)))
    for s in _starts(z, step):
        with np.errstate(all="ignore"):
            found = likelihood.many(eta[None, s : s + step], phi, 2)
        assert found.dphi is not None
        assert found.d1phi is not None
        # A node without weight may have no finite derivative.
        own = weights[s : s + step]
        dphi = dphi + np.where(own > 0.0, own * found.dphi, 0.0).sum(axis=-2)
        d1phi = d1phi + np.where(own > 0.0, own * found.d1phi, 0.0).sum(axis=-2)
    return dphi, d1phi


def _starts(nodes: Floats, step: int) -> range:
    return range(0, len(nodes), step)


def _integrated(likelihood: Cells, phi: Mapping[str, Any], cavity: Cavity) -> TiltedMoments:
    n = len(cavity.mean)
    out = np.full((3, n), np.nan)
    left, own = np.arange(n), likelihood
    for _ in range(_ROUNDS):
        found, settled, cavity = _round(own, phi, cavity)
        out[:, left] = found
        left, cavity = left[~settled], cavity.rows(~settled)
        if not len(left):
            break
        own = likelihood.rows(left)
    return TiltedMoments(*out)


def _round(likelihood: Cells, phi: Mapping[str, Any], cavity: Cavity) -> tuple[Floats, Any, Cavity]:
    """Integrate over the range given.

    Returns
    -------
    moments : ndarray, shape (3, n)
    settled : ndarray of bool, shape (c,)
        Whether nothing is left to do: the range was long enough, or the likelihood has no finite value.
    cavity : Cavity
        With a better range where it was not.
    """
    z = np.linspace(-_REACH, _REACH, _NODES)
    values = _values(likelihood, phi, cavity, z)
    moments, ends = _moments(values, z, cavity), values[[0, -1]]
    n = len(cavity.mean)
    left, own, rows = np.arange(n), likelihood, cavity
    for _ in range(_FINEST):
        between = 0.5 * (z[1:] + z[:-1])
        new = _values(own, phi, rows, between)
        z, values = _merged(z, between), _merged(values, new)
        finer = _moments(values, z, rows)
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(finer[2])
            change = np.abs(finer - moments[:, left]) / np.array([np.ones_like(sd), sd, finer[2]])
            rough = np.any(change > _AGREE, axis=0)
        moments[:, left] = finer
        left, values, rows = left[rough], values[:, rough], rows.rows(rough)
        if not len(left):
            break
        own = likelihood.rows(left)
    return _judged(cavity, moments, ends)


def _judged(cavity: Cavity, moments: Floats, ends: Floats) -> tuple[Floats, Any, Cavity]:
    """Return the moments, where the range was long enough, and better ranges for the others."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # Height of the integrand over that of a normal with the same moments.
        top = moments[0] + 0.5 * _LOG_2PI + 0.5 * np.log(cavity.variance) - 0.5 * np.log(2.0 * np.pi * moments[2])
        short = np.any(ends - top > _ENDS, axis=0) | (moments[2] < 1e-6 * cavity.scale**2)
    nothing = ~np.all(np.isfinite(moments), axis=0)
    better = Cavity(
        cavity.mean,
        cavity.variance,
        np.where(nothing, cavity.centre, moments[1]),
        np.where(nothing, cavity.scale, 1.5 * np.sqrt(np.maximum(moments[2], 0.0))),
    )
    return moments, ~short | nothing, better


def _merged(old: Floats, new: Floats) -> Floats:
    """Return what belongs to old and new nodes in the order of the nodes."""
    out = np.empty((len(old) + len(new), *old.shape[1:]))
    out[::2], out[1::2] = old, new
    return out


def _values(likelihood: Cells, phi: Mapping[str, Any], cavity: Cavity, z: Floats) -> Floats:
    """Return the log integrand at nodes, shape (m, n)."""
    step = max(1, likelihood.together)
    pieces = [
        _log_integrand(likelihood, phi, cavity, cavity.centre + z[s : s + step, None] * cavity.scale)
        for s in _starts(z, step)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _log_integrand(likelihood: Cells, phi: Mapping[str, Any], cavity: Cavity, eta: Floats) -> Floats:
    with np.errstate(all="ignore"):
        value = likelihood.many(eta[None], phi).value - 0.5 * (eta - cavity.mean) ** 2 / cavity.variance
    return np.where(np.isnan(value), -np.inf, value)


def _moments(values: Floats, z: Floats, cavity: Cavity) -> Floats:
    """Return log normaliser, mean and variance by the trapezoidal rule, shape (3, n)."""
    top = values.max(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = np.exp(values - top)
        total = weights.sum(axis=0)
        mean = (z @ weights) / total
        variance = (z**2 @ weights) / total - mean**2
        normaliser = top + np.log(total * (z[1] - z[0]) * cavity.scale) - 0.5 * (_LOG_2PI + np.log(cavity.variance))
    return np.array([normaliser, cavity.centre + cavity.scale * mean, cavity.scale**2 * variance])
