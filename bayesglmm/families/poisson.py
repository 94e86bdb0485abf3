"""Poisson: counts with variance equal to the mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import chain
from bayesglmm.families.checks import require_counts
from bayesglmm.families.components import poisson
from bayesglmm.families.custom import custom_dist
from bayesglmm.links import Link, Linked


class Poisson(Family):
    """y ~ Poisson(mu), y in 0, 1, 2, ..., mean and variance mu."""

    name = "poisson"
    aliases = ("Poisson",)
    parameters = (FamilyParameter("mu", "positive", "log"),)
    discrete = True
    censorable = True

    def check(self, response: Response) -> None:
        require_counts(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        part = poisson(parameters)
        return custom_dist("Poisson", part.inputs, part.log_density, part.draw, part.log_cdf, part.log_ccdf)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def row_density(self, link: Link) -> str | None:
        return "poisson-log" if link.name == "log" else None

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        log_mu = link.log_jet(eta)
        if log_mu is None:
            return None
        mu = np.exp(log_mu.value)
        value = y * log_mu.value - mu - special.gammaln(y + 1.0)
        if order == 0:
            return Derivatives(value)
        # in v = log mu: l = y v - exp(v)
        return chain(value, (y - mu, -mu, -mu)[: order + 1], log_mu)


FAMILIES.register(Poisson())
