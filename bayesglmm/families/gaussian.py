"""Gaussian: continuous responses with constant or modelled residual standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData, TiltedMoments
from bayesglmm.families.chain import Mixed, chain
from bayesglmm.families.checks import require_real
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import normal_log_density
from bayesglmm.families.dispersions import SIGMA
from bayesglmm.links import Link, Linked


class Gaussian(Family):
    """y ~ Normal(mu, sigma / sqrt(weight)) on the real line; precision weights as in lme4.

    Default prior: sigma Exponential with mean s_y. The density is ours for the sake of censored and truncated
    responses: the distribution functions of PyMC's have nan derivatives from 8.3 sigma on.
    """

    name = "gaussian"
    aliases = ("normal", "Gaussian")
    parameters = (
        FamilyParameter("mu", "real", "identity"),
        SIGMA,
    )
    takes_weights = True
    normal_residual = True
    error_sd = "sigma"
    censorable = True

    def check(self, response: Response) -> None:
        require_real(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        xp, sigma = pytensor_math(), parameters["sigma"]
        scale, log_scale = sigma.value, sigma.log
        if data.weights is not None:
            scale, log_scale = scale / xp.sqrt(data.weights), log_scale - 0.5 * xp.log(data.weights)
        return custom_dist(
            "Normal",
            (parameters["mu"].value, scale, log_scale),
            lambda y, mu, s, log_s: normal_log_density((y - mu) / s, log_s),
            lambda mu, s, log_s, size: pm.Normal.dist(mu, s, size=size),
            lambda y, mu, s, log_s: xp.log_ndtr((y - mu) / s),
            lambda y, mu, s, log_s: xp.log_ndtr((mu - y) / s),
        )

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def row_density(self, link: Link) -> str | None:
        return "gaussian" if link.name == "identity" else None

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        mu = link.inverse_jet(eta)
        if mu is None:
            return None
        return normal_derivatives(y, mu, phi["sigma"], data.weights, order)

    def tilted(
        self, y: Floats, mean: Floats, variance: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link
    ) -> TiltedMoments | None:
        if link.name != "identity":
            return None
        noise = phi["sigma"] ** 2 / (1.0 if data.weights is None else data.weights)
        total = noise + variance
        log_normaliser = -0.5 * (np.log(2.0 * np.pi * total) + (y - mean) ** 2 / total)
        return TiltedMoments(
            log_normaliser,
            (noise * mean + variance * y) / total,
            variance * noise / total,
        )


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
