"""Student t: continuous responses with outliers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import Mixed, chain
from bayesglmm.families.checks import require_real
from bayesglmm.families.dispersions import NU, SIGMA
from bayesglmm.links import Link, Linked


class StudentT(Family):
    """y = mu + sigma / sqrt(weight) * t, t with nu degrees of freedom, on the real line.

    Mean mu (where nu > 1), variance sigma^2 nu / (nu - 2) (where nu > 2). Default priors: sigma Exponential with
    mean s_y, nu Gamma(2, 0.1) as brms.
    """

    name = "student_t"
    aliases = ("t", "student", "studentt", "StudentT")
    parameters = (FamilyParameter("mu", "real", "identity"), SIGMA, NU)
    takes_weights = True
    censorable = True

    def check(self, response: Response) -> None:
        require_real(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        sigma = parameters["sigma"].value
        if data.weights is not None:
            sigma = sigma / parameters["sigma"].xp.sqrt(data.weights)
        return pm.StudentT.dist(nu=parameters["nu"].value, mu=parameters["mu"].value, sigma=sigma)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def residual_variance(self, parameters: Mapping[str, Any]) -> tuple[Any, str]:
        nu = np.asarray(parameters["nu"])
        heavy = nu <= 2.0
        factor = np.where(heavy, np.inf, nu / np.where(heavy, 1.0, nu - 2.0))
        return np.square(parameters["sigma"]) * factor, "sigma^2 nu / (nu - 2)"

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        mu = link.inverse_jet(eta)
        if mu is None:
            return None
        sigma, nu = phi["sigma"], phi["nu"]
        s2 = sigma**2 if data.weights is None else sigma**2 / data.weights
        r, q = y - mu.value, nu * s2
        d, tail = q + r**2, np.log1p(r**2 / q)
        constant = special.gammaln((nu + 1.0) / 2.0) - special.gammaln(nu / 2.0) - 0.5 * np.log(np.pi * q)
        value = constant - 0.5 * (nu + 1.0) * tail
        if order == 0:
            return Derivatives(value)
        m = nu + 1.0
        l1, l2 = m * r / d, m * (r**2 - q) / d**2
        if order == 1:
            return chain(value, (l1, l2), mu)
        l3 = -2.0 * m * r * (3.0 * q - r**2) / d**3
        bend = (3.0 * r**2 - q) / d**3
        digammas = special.digamma(m / 2.0) - special.digamma(nu / 2.0) - 1.0 / nu
        by_sigma = Mixed((r * l1 - 1.0) / sigma, -2.0 * q * l1 / (sigma * d), -2.0 * m * q * bend / sigma)
        by_nu = Mixed(
            0.5 * (digammas - tail + r * l1 / nu),
            (r - l1 * s2) / d,
            (r**2 - q) / d**2 - m * s2 * bend,
        )
        return chain(value, (l1, l2, l3), mu, {"sigma": by_sigma, "nu": by_nu})


FAMILIES.register(StudentT())
