"""Bernoulli: one success or failure per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
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

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        return binomial_derivatives(y, 1.0, 0.0, eta, link, order)


FAMILIES.register(Bernoulli())
