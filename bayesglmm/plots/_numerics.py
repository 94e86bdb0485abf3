"""The few numbers that figures need and tables do not hold: intervals, densities, autocorrelations of draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError


class Interval(NamedTuple):
    """Mean and equal-tailed interval; floats or arrays."""

    mean: Floats
    lower: Floats
    upper: Floats


def check_prob(prob: float, name: str = "prob") -> None:
    """Raise `SettingsError` unless `prob` lies strictly between 0 and 1."""
    if not 0 < prob < 1:
        raise SettingsError(f"{name} is the probability of an interval, between 0 and 1, not {prob!r}.")


def interval(draws: Floats, prob: float) -> Interval:
    """Return the mean and the equal-tailed interval over the first axis."""
    lower, upper = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return Interval(np.mean(draws, axis=0), lower, upper)


def is_constant(draws: Floats) -> bool:
    """Whether draws do not vary: a parameter that a prior holds fixed."""
    return bool(np.ptp(draws) <= 1e-12 * max(1.0, float(np.max(np.abs(draws)))))


def density(
    draws: Floats, bounds: tuple[float, float] = (-np.inf, np.inf), points: int = 512
) -> tuple[Floats, Floats]:
    """Return a grid and the Gaussian kernel density estimate of the draws on it.

    Parameters
    ----------
    draws : ndarray, shape (S,)
        Not all equal.
    bounds : tuple of float
        Where the parameter lives; mass that the kernel would put outside is reflected back inside, so that the
        estimate of a standard deviation does not sag at zero.
    points : int
        Length of the grid.

    Returns
    -------
    grid, density : ndarray, shape (points,)
    """
    # Silverman's rule with the robust spread, so that a heavy tail does not smear the centre.
    quartiles = np.quantile(draws, [0.25, 0.75])
    spread = min(float(np.std(draws)), float(quartiles[1] - quartiles[0]) / 1.349) or float(np.std(draws))
    bandwidth = 0.9 * spread * draws.size**-0.2
    low = max(bounds[0], float(np.min(draws)) - 3 * bandwidth)
    high = min(bounds[1], float(np.max(draws)) + 3 * bandwidth)
    edges = np.linspace(low, high, points + 1)
    counts = np.histogram(draws, edges)[0].astype(float)
    step = (high - low) / points
    # An unbounded end is three bandwidths away from the last draw: what is reflected there is nothing.
    smooth = gaussian_filter1d(counts, bandwidth / step, mode="reflect")
    return (edges[1:] + edges[:-1]) / 2, smooth / (smooth.sum() * step)


def autocorrelation(chains: Floats, lags: int) -> Floats:
    """Return the autocorrelations at lags 0 to `lags`, averaged over chains.

    Parameters
    ----------
    chains : ndarray, shape (m, S)
    lags : int
        At most S - 1.

    Returns
    -------
    ndarray, shape (lags + 1,)
        A chain that does not move counts as perfectly correlated.
    """
    size = chains.shape[1]
    centred = chains - chains.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * size, axis=1)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), n=2 * size, axis=1)[:, : lags + 1]
    variance = covariance[:, :1]
    moving = variance > 1e-24 * size * np.maximum(1.0, np.max(np.abs(chains), axis=1, keepdims=True)) ** 2
    correlation = np.where(moving, covariance / np.where(moving, variance, 1.0), 1.0)
    result: Floats = correlation.mean(axis=0)
    return result
