"""Lognormal: positive responses whose logarithm is Gaussian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData, ResponseScale
from bayesglmm.families.checks import require_positive
from bayesglmm.families.dispersions import SIGMA
from bayesglmm.families.gaussian import normal_derivatives
from bayesglmm.links import Link, Linked


class LogNormal(Family):
    """log y ~ Normal(mu, sigma), y > 0; mean exp(mu + sigma^2 / 2), median exp(mu).

    Default prior: sigma Exponential with mean sd(log y).
    """

    name = "lognormal"
    aliases = ("log_normal", "LogNormal")
    parameters = (FamilyParameter("mu", "real", "identity"), SIGMA)
    censorable = True

    def check(self, response: Response) -> None:
        require_positive(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        return pm.LogNormal.dist(mu=parameters["mu"].value, sigma=parameters["sigma"].value)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return xp.exp(parameters["mu"].value + 0.5 * parameters["sigma"].value ** 2)

    def scale(self, response: Response, link: Link) -> ResponseScale:
        log_y = np.log(response.y)
        return ResponseScale(float(np.mean(log_y)), float(np.std(log_y, ddof=1)) or 1.0)

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        mu = link.inverse_jet(eta)
        if mu is None:
            return None
        log_y = np.log(y)
        normal = normal_derivatives(log_y, mu, phi["sigma"], None, order)
        return normal._replace(value=normal.value - log_y)


FAMILIES.register(LogNormal())
