"""Lognormal: positive responses whose logarithm is Gaussian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData, ResponseScale
from bayesglmm.families.checks import require_positive
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import normal_log_density
from bayesglmm.families.dispersions import SIGMA
from bayesglmm.families.gaussian import normal_derivatives
from bayesglmm.links import Link, Linked


class LogNormal(Family):
    """log y ~ Normal(mu, sigma), y > 0; mean exp(mu + sigma^2 / 2), median exp(mu).

    Default prior: sigma Exponential with mean sd(log y). Our own density, for the reason given at the gaussian.
    """

    name = "lognormal"
    aliases = ("log_normal", "LogNormal")
    parameters = (FamilyParameter("mu", "real", "identity"), SIGMA)
    normal_residual = True
    censorable = True
    support = (0.0, np.inf)

    def check(self, response: Response) -> None:
        require_positive(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        xp, sigma = pytensor_math(), parameters["sigma"]
        return custom_dist(
            "LogNormal",
            (parameters["mu"].value, sigma.value, sigma.log),
            lambda y, mu, s, log_s: normal_log_density((xp.log(y) - mu) / s, log_s) - xp.log(y),
            lambda mu, s, log_s, size: pm.LogNormal.dist(mu, s, size=size),
            lambda y, mu, s, log_s: xp.log_ndtr((xp.log(y) - mu) / s),
            lambda y, mu, s, log_s: xp.log_ndtr((mu - xp.log(y)) / s),
        )

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return xp.exp(parameters["mu"].value + 0.5 * parameters["sigma"].value ** 2)

    def scale(self, response: Response, link: Link) -> ResponseScale:
        moments = self.moments(response)
        return ResponseScale(moments.mean, moments.sd or 1.0)

    def quantity(self, response: Response) -> Floats:
        return np.asarray(np.log(response.y))

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
