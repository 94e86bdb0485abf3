"""The joint density of x and theta, with what depends on theta alone at hand: what Metropolis kernels ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import NewtonSearch
from bayesglmm.engines.kernels.structure import Structure


@dataclass(frozen=True, eq=False)
class Conditional:
    """p(y, x, theta) as a function of x.

    Attributes
    ----------
    theta : ndarray, shape (t,)
        On the unconstrained scale.
    search : NewtonSearch
        Holds A, offset, dispersions and prior at theta.
    log_prior : float
        Of theta, Jacobian of its transforms included.
    """

    theta: Floats
    search: NewtonSearch
    log_prior: float

    def log_prior_x(self, x: Floats) -> float:
        """Return log N(x; m, Q^-1)."""
        prior = self.search.prior
        return float(prior.constant - 0.5 * (x - prior.mean) @ prior.times(x))

    def rows(self, etas: Floats) -> Floats:
        """Return the log-likelihood by rows at predictors of shape (P, n)."""
        with np.errstate(all="ignore"):
            return self.search.structure.view.elementwise(list(etas), self.search.phi).value

    def log_density(self, x: Floats, etas: Floats | None = None) -> float:
        """Return log p(y, x, theta); minus infinity where it is not a number."""
        found = float(self.rows(self.search.etas(x) if etas is None else etas).sum()) + self.log_prior_x(x)
        found += self.log_prior
        return found if np.isfinite(found) else -np.inf


def conditional(
    structure: Structure, theta: Floats, known: tuple[Mapping[str, Any], float] | None = None
) -> Conditional | None:
    """Return the density at theta; None where theta has no density: too far out for double precision.

    Parameters
    ----------
    structure : Structure
    theta : ndarray, shape (t,)
    known : tuple of (mapping, float), optional
        Theta on its natural scale and its log prior, where these have been computed for many theta at once.
    """
    view = structure.view
    with np.errstate(all="ignore"):
        log_prior = view.log_prior(theta) if known is None else known[1]
        if not np.isfinite(log_prior):
            return None
        natural = view.natural(theta) if known is None else dict(known[0])
        search = NewtonSearch(structure, view.factors(natural), np.zeros(0), natural)
    finite = np.isfinite(search.offset).all() and all(np.isfinite(part).all() for part in search.rows.groups)
    return Conditional(theta, search, log_prior) if finite else None
