"""Gaussian: continuous responses with constant or modelled residual standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, Family, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_varying
from bayesglmm.links import Linked


class Gaussian(Family):
    """y ~ Normal(mu, sigma / sqrt(weight))."""

    name = "gaussian"
    aliases = ("normal",)
    parameters = (
        FamilyParameter("mu", "real", "identity"),
        FamilyParameter("sigma", "positive", "log", scaled=True),
    )
    takes_weights = True
    censorable = True

    def check(self, response: Response) -> None:
        require_varying(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        sigma = parameters["sigma"].value
        if data.weights is not None:
            sigma = sigma / parameters["sigma"].xp.sqrt(data.weights)
        return pm.Normal.dist(mu=parameters["mu"].value, sigma=sigma)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value


FAMILIES.register(Gaussian())
