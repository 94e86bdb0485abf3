"""What hyperparameters are proposed, and how much more likely the way back is than the way there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import linalg

from bayesglmm.blocks import Floats

_FREEDOM = 5.0  # tails that fall slower than those of posteriors: else chains stay for long where these are heavier


class Proposal(Protocol):
    """A distribution of moves."""

    def propose(self, rng: np.random.Generator, here: Floats) -> tuple[Floats, float]:
        """Return where to go, and log q(here | there) - log q(there | here)."""


@dataclass(frozen=True, eq=False)
class RandomStep:
    """A normal step, which is as likely as the one back.

    Attributes
    ----------
    root : ndarray, shape (t, t)
        Times a standard normal vector the step.
    """

    root: Floats

    def propose(self, rng: np.random.Generator, here: Floats) -> tuple[Floats, float]:
        """Return where to go, and zero."""
        return here + self.root @ rng.standard_normal(len(here)), 0.0


@dataclass(frozen=True, eq=False)
class Independent:
    """A place that does not depend on where the chain is (Tierney 1994): multivariate t with 5 degrees of freedom.

    Attributes
    ----------
    mean : ndarray, shape (t,)
    root : ndarray, shape (t, t)
        Lower triangular, of the scale matrix.
    """

    mean: Floats
    root: Floats

    def propose(self, rng: np.random.Generator, here: Floats) -> tuple[Floats, float]:
        """Return where to go, and the log density of t here minus that there."""
        stretch = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM))
        there = self.mean + stretch * (self.root @ rng.standard_normal(len(here)))
        return there, self._log_density(here) - self._log_density(there)

    def _log_density(self, theta: Floats) -> float:
        scaled = linalg.solve_triangular(self.root, theta - self.mean, lower=True, check_finite=False)
        return -0.5 * (_FREEDOM + len(theta)) * float(np.log1p(scaled @ scaled / _FREEDOM))
