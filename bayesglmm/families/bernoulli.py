"""Bernoulli: one success or failure per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData, TiltedMoments
from bayesglmm.families.binomial import binomial_derivatives
from bayesglmm.families.checks import require_binary
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import bernoulli_log_density
from bayesglmm.links import Link, Linked


class Bernoulli(Family):
    """y ~ Bernoulli(mu), y in {0, 1}, mean mu.

    The graph sees log mu and log(1 - mu), so extreme predictors keep finite derivatives under every link.
    """

    name = "bernoulli"
    aliases = ("Bernoulli", "binary")
    parameters = (FamilyParameter("mu", "unit", "logit"),)
    discrete = True
    response = "binary"

    def check(self, response: Response) -> None:
        require_binary(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        mu = parameters["mu"]
        return custom_dist(
            "Bernoulli",
            (mu.log, mu.log1m),
            lambda y, log_p, log1m_p: bernoulli_log_density(y, log_p, log1m_p, pytensor_math()),
            lambda log_p, log1m_p, size: pm.Bernoulli.dist(pt.exp(log_p), size=size),
        )

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def row_density(self, link: Link) -> str | None:
        return "binomial-logit" if link.name == "logit" else None

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        return binomial_derivatives(y, 1.0, 0.0, eta, link, order)

    def tilted(
        self, y: Floats, mean: Floats, variance: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link
    ) -> TiltedMoments | None:
        if link.name != "probit":
            return None
        # Rasmussen and Williams (2006), equations 3.57, 3.58 and 3.85.
        sign, total = 2.0 * y - 1.0, 1.0 + variance
        z = sign * mean / np.sqrt(total)
        log_normaliser = special.log_ndtr(z)
        ratio = np.exp(-0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - log_normaliser)
        return TiltedMoments(
            log_normaliser,
            mean + sign * variance * ratio / np.sqrt(total),
            variance - variance**2 * ratio * (z + ratio) / total,
        )


FAMILIES.register(Bernoulli())
