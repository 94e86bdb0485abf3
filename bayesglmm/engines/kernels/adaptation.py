"""Adaptation of proposals while a chain is tuned: by stochastic approximation (Andrieu and Thoms 2008).

Everything is frozen and returned anew, so that a kernel remains a function of its arguments, and what comes out of
tuning can be kept as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.proposals import Independent

_FORGETTING = 0.6  # the n-th step changes a log scale by at most n^-0.6
_SMALLEST, _LARGEST = -12.0, 8.0  # of log scales
_SELDOM, _OFTEN = 0.1, 0.9  # a chain is never left to one kind of proposal


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


@dataclass(frozen=True)
class Share:
    """How often one of two kinds of proposal is tried: as often as it is accepted.

    Attributes
    ----------
    value : float
        Probability.
    count : int
        Adaptations so far.
    """

    value: float
    count: int = 0

    def adapted(self, acceptance: float) -> Share:
        """Return the share after a try with this probability of acceptance."""
        count = self.count + 1
        value = self.value + (acceptance - self.value) * count**-_FORGETTING
        return Share(min(max(value, _SELDOM), _OFTEN), count)


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
    count : int
        Draws seen.
    """

    mean: Floats
    covariance: Floats
    scale: Scale
    weight: int
    count: int = 0

    @property
    def root(self) -> Floats:
        """Lower triangular, times a standard normal vector a step."""
        return np.asarray(self.scale.value * self._root)

    @property
    def independent(self) -> Independent:
        """Proposals from what the walk has learned of the whole, not from where it is."""
        return Independent(self.mean, self._root)

    @property
    def _root(self) -> Floats:
        ridge = 1e-10 * np.diag(np.maximum(np.diag(self.covariance), 1e-10))
        return np.linalg.cholesky(self.covariance + ridge) if len(self.mean) else np.zeros((0, 0))

    def learned(self, here: Floats) -> Walk:
        """Return the walk after a draw that its own steps did not make."""
        rate = 1.0 / (self.weight + self.count + 1)
        deviation = here - self.mean
        covariance = self.covariance + rate * (np.outer(deviation, deviation) - self.covariance)
        return Walk(self.mean + rate * deviation, covariance, self.scale, self.weight, self.count + 1)

    def adapted(self, acceptance: float, here: Floats) -> Walk:
        """Return the walk after a step with this probability of acceptance that ended here."""
        return replace(self.learned(here), scale=self.scale.adapted(acceptance))


def first_walk(mean: Floats, covariance: Floats) -> Walk:
    """Return the walk to begin with, from a guess of the covariance.

    The acceptance aimed at falls with the dimension, from 0.44 for one coordinate to 0.234 for many (Gelman, Roberts
    and Gilks 1996; Roberts and Rosenthal 2001).
    """
    t = len(mean)
    target = {0: 0.44, 1: 0.44, 2: 0.35, 3: 0.32, 4: 0.28}.get(t, 0.234)
    scale = Scale(np.log(2.38 / np.sqrt(max(t, 1))), target)
    return Walk(np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float), scale, 10 + 10 * t)
