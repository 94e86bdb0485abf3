"""Beta-binomial: successes among trials with more variance than a binomial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import UnitMean, chain_unit
from bayesglmm.families.checks import require_trials
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import beta_binomial_log_density
from bayesglmm.families.dispersions import PHI
from bayesglmm.families.polygamma import tetragamma, trigamma
from bayesglmm.links import Link, Linked


class BetaBinomial(Family):
    """y ~ Binomial(trials, p) with p ~ Beta(mu phi, (1 - mu) phi); `mean` is the expected proportion mu.

    Variance trials mu (1 - mu) (phi + trials) / (phi + 1). Default prior: phi Gamma(0.01, 0.01), as brms.
    """

    name = "beta_binomial"
    aliases = ("betabinomial", "BetaBinomial")
    parameters = (FamilyParameter("mu", "unit", "logit"), PHI)
    discrete = True
    response = "binomial"

    def check(self, response: Response) -> None:
        require_trials(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        xp, mu, phi = pytensor_math(), parameters["mu"], parameters["phi"]

        def log_density(y: Any, n: Any, log_mu: Any, log1m: Any, p: Any, log_p: Any) -> Any:
            inside = pt.and_(pt.ge(y, 0), pt.le(y, n))
            return pt.switch(inside, beta_binomial_log_density(y, n, log_mu, log1m, p, log_p, xp), -np.inf)

        def draw(n: Any, log_mu: Any, log1m: Any, p: Any, log_p: Any, size: Any) -> Any:
            chance = pm.Beta.dist(pt.exp(log_mu + log_p), pt.exp(log1m + log_p), size=size)
            return pm.Binomial.dist(n, chance, size=size)

        inputs = (pt.cast(data.trials, "int64"), mu.log, mu.log1m, phi.value, phi.log)
        return custom_dist("BetaBinomial", inputs, log_density, draw)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        jets = link.log_jets(eta)
        if jets is None:
            return None
        p, n = phi["phi"], np.asarray(data.trials, dtype=float)
        value = beta_binomial_log_density(y, n, jets[0].value, jets[1].value, p, np.log(p), NUMPY)
        if order == 0:
            return Derivatives(value)
        a, b = p * np.exp(jets[0].value), p * np.exp(jets[1].value)
        parts = UnitMean(
            _part(y, a)[: order + 1],
            _part(n - y, b)[: order + 1],
            1.0 * (y > 0),
            1.0 * (y < n),
            special.digamma(p) - special.digamma(p + n),
        )
        return chain_unit(value, parts, jets, p, order)


def _part(y: Any, a: Any) -> tuple[Any, ...]:
    """Derivatives in a of log Gamma(a + y) - log Gamma(1 + a), where y > 0; the log a is apart."""
    some = y > 0
    end = np.where(some, a + y, 1.0 + a)
    return (
        special.digamma(end) - special.digamma(1.0 + a),
        trigamma(end) - trigamma(1.0 + a),
        tetragamma(end) - tetragamma(1.0 + a),
    )


FAMILIES.register(BetaBinomial())
