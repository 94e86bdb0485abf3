"""Gaussian: continuous responses with constant or modelled residual standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import Mixed, chain
from bayesglmm.families.checks import require_real
from bayesglmm.families.dispersions import SIGMA
from bayesglmm.links import Link, Linked


class Gaussian(Family):
    """y ~ Normal(mu, sigma / sqrt(weight)) on the real line; precision weights as in lme4.

    Default prior: sigma Exponential with mean s_y.
    """

    name = "gaussian"
    aliases = ("normal", "Gaussian")
    parameters = (
        FamilyParameter("mu", "real", "identity"),
        SIGMA,
    )
    takes_weights = True
    censorable = True

    def check(self, response: Response) -> None:
        require_real(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        sigma = parameters["sigma"].value
        if data.weights is not None:
            sigma = sigma / parameters["sigma"].xp.sqrt(data.weights)
        return pm.Normal.dist(mu=parameters["mu"].value, sigma=sigma)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        mu = link.inverse_jet(eta)
        if mu is None:
            return None
        return normal_derivatives(y, mu, phi["sigma"], data.weights, order)


def normal_derivatives(y: Any, mu: Any, sigma: Any, weights: Any, order: int) -> Derivatives:
    """Return derivatives of log Normal(y; mu(eta), sigma / sqrt(weights)); lognormal uses them for log y."""
    precision = (1.0 if weights is None else weights) / sigma**2
    residual = y - mu.value
    scaled = residual * precision
    square = residual * scaled
    value = 0.5 * (np.log(precision / (2.0 * np.pi)) - square)
    if order == 0:
        return Derivatives(value)
    l2 = np.broadcast_to(-precision, np.shape(value))
    if order == 1:
        return chain(value, (scaled, l2), mu)
    mixed = {"sigma": Mixed((square - 1.0) / sigma, -2.0 * scaled / sigma, -2.0 * l2 / sigma)}
    return chain(value, (scaled, l2, np.zeros_like(value)), mu, mixed)


FAMILIES.register(Gaussian())
