"""Inverse Gaussian: positive responses with a long right tail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import Mixed, chain
from bayesglmm.families.checks import require_positive
from bayesglmm.families.custom import custom_dist, inverse_gaussian
from bayesglmm.families.densities import inverse_gaussian_log_cdf, inverse_gaussian_log_density
from bayesglmm.families.dispersions import SHAPE
from bayesglmm.links import Link, Linked


class InverseGaussian(Family):
    """y ~ InverseGaussian(mu, shape), also called Wald; y > 0, mean mu, variance mu^3 / shape.

    The default link is log, not the canonical 1/mu^2 of brms and R: that one allows only positive predictors, which
    no group effect or sampler respects. Default prior: shape InverseGamma(0.4, 0.3), as brms. The density is ours:
    PyMC's forms (y - mu) / mu, whose derivatives lose their digits where mu is large.
    """

    name = "inverse_gaussian"
    aliases = ("inverse.gaussian", "inversegaussian", "wald", "InverseGaussian", "Wald")
    parameters = (FamilyParameter("mu", "positive", "log"), SHAPE)
    censorable = True
    support = (0.0, np.inf)

    def check(self, response: Response) -> None:
        require_positive(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        xp, shape = pytensor_math(), parameters["shape"]
        return custom_dist(
            "InverseGaussian",
            (parameters["mu"].log, shape.value, shape.log),
            lambda y, log_mu, lam, log_lam: inverse_gaussian_log_density(y, log_mu, lam, log_lam, xp),
            lambda log_mu, lam, log_lam, size: inverse_gaussian(log_mu, lam, size),
            lambda y, log_mu, lam, log_lam: inverse_gaussian_log_cdf(y, log_mu, lam, xp),
            lambda y, log_mu, lam, log_lam: inverse_gaussian_log_cdf(y, log_mu, lam, xp, upper=True),
        )

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        log_mu = link.log_jet(eta)
        if log_mu is None:
            return None
        lam = phi["shape"]
        value = inverse_gaussian_log_density(y, log_mu.value, lam, np.log(lam), NUMPY)
        if order == 0:
            return Derivatives(value)
        u = np.exp(-log_mu.value)
        ratio = y * u
        slope, curvature = u * (ratio - 1.0), -u * (2.0 * ratio - 1.0)
        if order == 1:
            return chain(value, (lam * slope, lam * curvature), log_mu)
        mixed = {"shape": Mixed(0.5 / lam - 0.5 * (ratio - 1.0) ** 2 / y, slope, curvature)}
        return chain(value, (lam * slope, lam * curvature, lam * u * (4.0 * ratio - 1.0)), log_mu, mixed)


FAMILIES.register(InverseGaussian())
