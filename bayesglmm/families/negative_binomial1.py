"""Negative binomial with a variance proportional to the mean: counts that are overdispersed alike at every mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import Mixed, chain
from bayesglmm.families.checks import require_counts
from bayesglmm.families.components import negative_binomial
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import negative_binomial_log_density
from bayesglmm.families.polygamma import tetragamma, trigamma
from bayesglmm.links import LINKS, Link, Linked
from bayesglmm.priors import Prior


class NegativeBinomial1(Family):
    """y ~ NegativeBinomial(mu, shape = mu / phi): counts, mean mu, variance mu (1 + phi) (nbinom1 of glmmTMB).

    Default prior: phi HalfStudentT(3, 2.5), the one of brms for scales; Poisson is the limit phi = 0.

    References
    ----------
    Hardin and Hilbe (2018), Generalized Linear Models and Extensions, 4th edition, chapter 13.
    """

    name = "negative_binomial1"
    aliases = ("nbinom1", "nb1", "negbinomial1")
    parameters = (
        FamilyParameter("mu", "positive", "log"),
        FamilyParameter("phi", "positive", "log", Prior("HalfStudentT", 3.0, 2.5)),
    )
    discrete = True
    censorable = True

    def check(self, response: Response) -> None:
        require_counts(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        mu, phi = parameters["mu"], parameters["phi"]
        shape = Linked(mu.log - phi.log, LINKS.get("log"), mu.xp)
        part = negative_binomial({"mu": mu, "shape": shape})
        return custom_dist("NegativeBinomial1", part.inputs, part.log_density, part.draw, part.log_cdf, part.log_ccdf)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        log_mu = link.log_jet(eta)
        if log_mu is None:
            return None
        f = phi["phi"]
        s, log_s = np.exp(log_mu.value) / f, log_mu.value - np.log(f)
        value = negative_binomial_log_density(y, log_mu.value, s, log_s, NUMPY)
        if order == 0:
            return Derivatives(value)
        # A derivative in log mu is one in log s.
        first, second, third = _rising(y, s, order)
        spread = np.log1p(f)
        l1, l2 = first - s * spread, first + second - s * spread
        if order == 1:
            return chain(value, (l1, l2), log_mu)
        l3 = first + 3.0 * second + third - s * spread
        change = y / (f * (1.0 + f)) - s / (1.0 + f) - l1 / f
        mixed = {"phi": Mixed(change, -l2 / f - s / (1.0 + f), -l3 / f - s / (1.0 + f))}
        return chain(value, (l1, l2, l3), log_mu, mixed)


def _rising(y: Floats, s: Floats, order: int) -> tuple[Any, Any, Any]:
    """Return s g', s^2 g'' and s^3 g''' of g = log Gamma(y + s) - log Gamma(s) for counts y; 0 where y is 0.

    Gamma(s) = Gamma(1 + s) / s keeps a tiny s apart: its powers cancel against those of s.
    """
    some, above = y > 0, s + np.maximum(y, 1.0)
    first = 1.0 + s * (special.digamma(above) - special.digamma(1.0 + s))
    second = -1.0 + s**2 * (trigamma(above) - trigamma(1.0 + s))
    third = 2.0 + s**3 * (tetragamma(above) - tetragamma(1.0 + s)) if order == 2 else 0.0
    return np.where(some, first, 0.0), np.where(some, second, 0.0), np.where(some, third, 0.0)


FAMILIES.register(NegativeBinomial1())
