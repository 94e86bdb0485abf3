"""Negative binomial: counts with more variance than the mean."""

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
from bayesglmm.families.dispersions import SHAPE
from bayesglmm.links import Link, Linked


class NegativeBinomial(Family):
    """y ~ NegativeBinomial(mu, shape): counts, mean mu, variance mu + mu^2 / shape (nbinom2 of glmmTMB).

    Default prior: shape InverseGamma(0.4, 0.3), as brms.
    """

    name = "negative_binomial"
    aliases = ("negbinomial", "negativebinomial", "nbinom2", "nb", "neg_binomial_2", "NegativeBinomial")
    parameters = (FamilyParameter("mu", "positive", "log"), SHAPE)
    discrete = True
    censorable = True

    def check(self, response: Response) -> None:
        require_counts(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        part = negative_binomial(parameters)
        return custom_dist("NegativeBinomial", part.inputs, part.log_density, part.draw, part.log_cdf, part.log_ccdf)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def row_density(self, link: Link) -> str | None:
        return "negative-binomial-log" if link.name == "log" else None

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        log_mu = link.log_jet(eta)
        if log_mu is None:
            return None
        r = phi["shape"]
        value = negative_binomial_log_density(y, log_mu.value, r, np.log(r), NUMPY)
        if order == 0:
            return Derivatives(value)
        w = log_mu.value - np.log(r)
        p, q = special.expit(w), special.expit(-w)
        l1, l2 = y * q - r * p, -(y + r) * p * q
        if order == 1:
            return chain(value, (l1, l2), log_mu)
        first = special.digamma(y + r) - special.digamma(r) - np.logaddexp(0.0, w) - l1 / r
        mixed = {"shape": Mixed(first, p * (y * q / r - p), -p * q - l2 * (q - p) / r)}
        return chain(value, (l1, l2, l2 * (q - p)), log_mu, mixed)


FAMILIES.register(NegativeBinomial())
