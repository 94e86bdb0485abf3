"""Ranks of simulation-based calibration, and simultaneous bands for their distribution function.

If theta comes from the prior, y from the model given theta, and L draws from the posterior given y, the rank of theta
among the draws is uniform on 0, ..., L (Talts, Betancourt, Simpson, Vehtari and Gelman 2018). Whether N ranks are
uniform is judged by their empirical distribution function, with bands that hold at all points at once (Säilynoja,
Bürkner and Vehtari 2022): the pointwise level gamma is such that the whole function stays inside with the wanted
probability. That probability is computed, not simulated: counts below successive cuts are a Markov chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

type Numbers = NDArray[np.float64]
type Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Band:
    """A simultaneous band for how many of N ranks lie below each cut.

    Attributes
    ----------
    cuts : ndarray of int, shape (K,)
        Ranks below which is counted; a rank r is below c if r < c.
    expected : ndarray, shape (K,)
        Probability of a rank below the cut.
    lower, upper : ndarray of int, shape (K,)
        Smallest and largest count inside the band.
    coverage : float
        Probability that uniform ranks stay inside at all cuts.
    """

    cuts: Counts
    expected: Numbers
    lower: Counts
    upper: Counts
    coverage: float

    def counts(self, ranks: Counts) -> Counts:
        """Return how many ranks lie below each cut, shape (..., K) from (..., N)."""
        return np.sum(np.asarray(ranks)[..., None, :] < self.cuts[:, None], axis=-1)

    def contains(self, ranks: Counts) -> NDArray[np.bool_]:
        """Return whether ranks stay inside at every cut, shape (...) from (..., N)."""
        counts = self.counts(ranks)
        return np.all((counts >= self.lower) & (counts <= self.upper), axis=-1)


def rank(truth: float, draws: Numbers) -> int:
    """Return how many draws lie below the truth."""
    return int(np.sum(np.asarray(draws) < truth))


def thinned(draws: Numbers, wanted: int) -> Numbers:
    """Return `wanted` evenly spaced draws, chains one after the other."""
    flat = np.ravel(draws)
    step = len(flat) // wanted
    if step < 1:
        raise ValueError(f"{len(flat)} draws cannot be thinned to {wanted}.")
    return flat[step - 1 :: step][:wanted]


@cache
def band(replicates: int, draws: int, prob: float = 0.95, cuts: int = 50) -> Band:
    """Return the band within which ranks of calibrated inference stay with a probability.

    Parameters
    ----------
    replicates : int
        Number N of ranks.
    draws : int
        Number L of posterior draws; ranks lie in 0, ..., L.
    prob : float
        Probability that the whole function stays inside. Counts are whole numbers, so `coverage` is the smallest
        value not below it that a pointwise level can reach.
    cuts : int
        Steps on the axis of ranks; the last one, where every function is N, is left out.
    """
    places = np.unique(np.round(np.arange(1, cuts) * (draws + 1) / cuts).astype(int))
    expected = places / (draws + 1)

    def limits(gamma: float) -> tuple[Counts, Counts]:
        ends = (stats.binom.ppf(level, replicates, expected) for level in (gamma / 2, 1 - gamma / 2))
        lower, upper = (end.astype(int) for end in ends)
        return lower, upper

    def excess(gamma: float) -> float:
        # A step function of gamma: the root is a step, and 1e-9 breaks the tie of a plateau at `prob`.
        return coverage(*limits(gamma), expected, replicates) - prob - 1e-9

    # Bonferroni over the cuts is too wide, the pointwise level too narrow.
    low, high = (1 - prob) / (4 * len(places)), 1 - prob
    gamma = optimize.bisect(excess, low, high, xtol=1e-7) if excess(high) < 0 else high
    while excess(gamma) < 0:
        gamma *= 1 - 1e-4
    lower, upper = limits(gamma)
    return Band(places, expected, lower, upper, coverage(lower, upper, expected, replicates))


def coverage(lower: Counts, upper: Counts, expected: Numbers, replicates: int) -> float:
    """Return the probability that counts of uniform ranks lie in [lower, upper] at every cut.

    Given m ranks below one cut, the further ones below the next are Binomial(N - m, q), q the share of the remaining
    probability between the two: a recursion over the cuts with the counts as states.
    """
    states, probability, before = np.zeros(1, dtype=int), np.ones(1), 0.0
    for low, high, now in zip(lower, upper, expected, strict=True):
        inside = np.arange(low, high + 1)
        q = (now - before) / (1 - before)
        steps = stats.binom.pmf(inside[None, :] - states[:, None], (replicates - states)[:, None], q)
        states, probability, before = inside, probability @ steps, now
    return float(probability.sum())
