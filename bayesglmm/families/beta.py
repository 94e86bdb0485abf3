"""Beta: proportions strictly between 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import UnitMean, chain_unit
from bayesglmm.families.checks import require_open_unit
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import beta_log_density
from bayesglmm.families.dispersions import PHI
from bayesglmm.families.polygamma import tetragamma, trigamma
from bayesglmm.links import Link, Linked


class Beta(Family):
    """y ~ Beta(mu phi, (1 - mu) phi), 0 < y < 1; mean mu, variance mu (1 - mu) / (1 + phi).

    Default prior: phi Gamma(0.01, 0.01), as brms.
    """

    name = "beta"
    aliases = ("Beta", "beta_family")
    parameters = (FamilyParameter("mu", "unit", "logit"), PHI)
    censorable = True
    support = (0.0, 1.0)

    def check(self, response: Response) -> None:
        require_open_unit(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        xp, mu, phi = pytensor_math(), parameters["mu"], parameters["phi"]

        def pymc_beta(log_a: Any, log_b: Any, size: Any = None) -> Any:
            return pm.Beta.dist(pt.exp(log_a), pt.exp(log_b), size=size)

        return custom_dist(
            "Beta",
            (mu.log, mu.log1m, phi.value, phi.log),
            lambda y, log_mu, log1m, p, log_p: beta_log_density(y, log_mu, log1m, p, log_p, xp),
            lambda log_mu, log1m, p, log_p, size: pymc_beta(log_mu + log_p, log1m + log_p, size),
            lambda y, log_mu, log1m, p, log_p: pm.logcdf(pymc_beta(log_mu + log_p, log1m + log_p), y),
        )

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        jets = link.log_jets(eta)
        if jets is None:
            return None
        p = phi["phi"]
        value = beta_log_density(y, jets[0].value, jets[1].value, p, np.log(p), NUMPY)
        if order == 0:
            return Derivatives(value)
        a, b = p * np.exp(jets[0].value), p * np.exp(jets[1].value)
        # log Gamma(a) = log Gamma(1 + a) - log a: the logarithms are chained apart, as they stay smooth in eta
        parts = UnitMean(
            tuple(_part(np.log(y), a)[: order + 1]),
            tuple(_part(np.log1p(-y), b)[: order + 1]),
            1.0,
            1.0,
            special.digamma(p),
        )
        return chain_unit(value, parts, jets, p, order)


def _part(log_y: Any, a: Any) -> tuple[Any, ...]:
    """Derivatives in a of a log y - log Gamma(1 + a)."""
    return log_y - special.digamma(1.0 + a), -trigamma(1.0 + a), -tetragamma(1.0 + a)


FAMILIES.register(Beta())
