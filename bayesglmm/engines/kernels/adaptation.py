"""Adaptation of proposals while a chain is tuned: by stochastic approximation (Andrieu and Thoms 2008).

Everything is frozen and returned anew, so that a kernel remains a function of its arguments, and what comes out of
tuning can be kept as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesglmm.blocks import Floats

_FORGETTING = 0.6  # the n-th step changes a log scale by at most n^-0.6
_SMALLEST, _LARGEST = -12.0, 8.0  # of log scales


@dataclass(frozen=True)
class Scale:
    """Step sizes that are adapted to a target acceptance, one or several at once.

    Attributes
    ----------
    log : float or ndarray
    target : float
        Acceptance wanted.
    largest : float
        Of the logarithm.
    count : int
        Adaptations so far.
    """

    log: Floats
    target: float
    largest: float = _LARGEST
    count: int = 0

    @property
    def value(self) -> Floats:
        """The step size."""
        return np.exp(self.log)

    def adapted(self, acceptance: float | Floats) -> Scale:
        """Return the scale after a move with this probability of acceptance: larger where that is above target."""
        count = self.count + 1
        log = self.log + (np.asarray(acceptance) - self.target) * count**-_FORGETTING
        return replace(self, log=np.clip(log, _SMALLEST, self.largest), count=count)


@dataclass(frozen=True, eq=False)
class Walk:
    """A normal random walk whose scale and covariance are adapted (algorithm 4 of Andrieu and Thoms 2008).

    Attributes
    ----------
    mean : ndarray, shape (t,)
    covariance : ndarray, shape (t, t)
        Of what the walk explores.
    scale : Scale
        Factor of the root of the covariance.
    weight : int
        How many draws the first covariance counts for.
    """

    mean: Floats
    covariance: Floats
    scale: Scale
    weight: int

    @property
    def root(self) -> Floats:
        """Lower triangular, times a standard normal vector a step."""
        t = len(self.mean)
        ridge = 1e-10 * np.diag(np.maximum(np.diag(self.covariance), 1e-10))
        return np.asarray(self.scale.value * np.linalg.cholesky(self.covariance + ridge)) if t else np.zeros((0, 0))

    def adapted(self, acceptance: float, here: Floats) -> Walk:
        """Return the walk after a move with this probability of acceptance that ended here."""
        scale = self.scale.adapted(acceptance)
        rate = 1.0 / (self.weight + scale.count)
        deviation = here - self.mean
        covariance = self.covariance + rate * (np.outer(deviation, deviation) - self.covariance)
        return Walk(self.mean + rate * deviation, covariance, scale, self.weight)


def first_walk(mean: Floats, covariance: Floats) -> Walk:
    """Return the walk to begin with, from a guess of the covariance.

    The acceptance aimed at falls with the dimension, from 0.44 for one coordinate to 0.234 for many (Gelman, Roberts
    and Gilks 1996; Roberts and Rosenthal 2001).
    """
    t = len(mean)
    target = {0: 0.44, 1: 0.44, 2: 0.35, 3: 0.32, 4: 0.28}.get(t, 0.234)
    scale = Scale(np.log(2.38 / np.sqrt(max(t, 1))), target)
    return Walk(np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float), scale, 10 + 10 * t)
