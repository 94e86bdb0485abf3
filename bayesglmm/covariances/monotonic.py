"""Monotonic effects: the coefficients of the steps between ordered categories are shares of one coefficient.

With b ~ N(0, s^2) and a simplex zeta the coefficients are b zeta (Buerkner and Charpentier 2020): a Gaussian block
whose Lambda has rank one and depends on theta through zeta, so that every engine knows what to do. The simplex is cut
off a stick: share j takes so much of what the earlier ones left. Shares that are independent Beta(1, D - j) make it
uniform, Dirichlet(1), as in brms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.covariances.base import COVARIANCES, UNIT, Covariance, CovarianceParameter
from bayesglmm.priors import Prior


class Monotonic(Covariance):
    """b zeta: made by the term `mo`."""

    name = "monotonic"
    in_formulas = False
    posterior_only = "a simplex has its maximum at its edge as often as not, where likelihood has no standard errors"

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        D = len(block.terms)
        spread = CovarianceParameter("spread", "scale", (block.label,), coefficient=True, hidden=True)
        if D == 1:
            return (spread,)
        left = np.arange(D - 1, 0, -1)
        priors = tuple(Prior("Beta", alpha=1.0, beta=float(rest)) for rest in left)
        share = CovarianceParameter(
            "share",
            "vector",
            tuple(str(j) for j in range(1, D)),
            bounds=(UNIT,),
            prior=priors[0],
            start=tuple(1.0 / (rest + 1.0) for rest in left),
            title="share of a step in what the earlier ones left",
            hidden=True,
            priors=priors,
        )
        return (spread, share)

    def derived(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        names = tuple(str(j) for j in range(1, len(block.terms) + 1))
        title = "share of a step in the whole"
        return (CovarianceParameter("simplex", "vector", names, bounds=(UNIT,), title=title),)

    def derive(self, values: Mapping[str, Any], block: RandomBlock) -> dict[str, Any]:
        shares = values.get("share", np.zeros((*np.shape(values["spread"])[:-1], 0)))
        left = np.cumprod(1.0 - shares, axis=-1)
        ones = np.ones((*np.shape(shares)[:-1], 1))
        return {"simplex": np.concatenate([shares, ones], axis=-1) * np.concatenate([ones, left], axis=-1)}

    def coefficient(self, b: Floats) -> Floats:
        """Return b of the coefficients b zeta, since zeta sums to one."""
        return np.asarray(b.sum(axis=-1))

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        # Column by column: k is small. Only the first latent variable of the k has a column that is not zero.
        rest, pieces = 1.0, []
        for j in range(k - 1):
            share = values["share"][..., j]
            pieces.append(rest * share)
            rest = rest * (1.0 - share)
        pieces.append(rest * xp.ones_like(values["spread"][..., 0]))
        zeta = xp.stack(pieces, axis=-1)
        return (values["spread"] * zeta)[..., :, None] * np.eye(k)[0]


COVARIANCES.register(Monotonic())
