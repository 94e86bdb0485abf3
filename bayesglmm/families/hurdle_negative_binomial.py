"""Hurdle negative binomial: zeros by one process, overdispersed positive counts by another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_counts
from bayesglmm.families.components import Component, negative_binomial
from bayesglmm.families.densities import negative_binomial_log_zero
from bayesglmm.families.dispersions import HU, SHAPE
from bayesglmm.families.negative_binomial import NegativeBinomial
from bayesglmm.families.zeros import Hurdle
from bayesglmm.links import Linked


class HurdleNegativeBinomial(Hurdle):
    """y = 0 with probability hu, else NegativeBinomial(mu, shape) given y > 0.

    Mean (1 - hu) mu / (1 - p0) with p0 = (1 + mu / shape)^-shape. Default priors, as brms: shape
    InverseGamma(0.4, 0.3), hu Beta(1, 1).
    """

    name = "hurdle_negative_binomial"
    aliases = ("hurdle_negbinomial", "hurdle_negativebinomial", "HurdleNegativeBinomial")
    parameters = (FamilyParameter("mu", "positive", "log"), SHAPE, HU)
    discrete = True
    base = NegativeBinomial()

    def check(self, response: Response) -> None:
        require_counts(response)

    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        return negative_binomial(parameters)

    def log_base_zero(self, parameters: Mapping[str, Linked], xp: ArrayMath) -> Any:
        shape = parameters["shape"]
        return negative_binomial_log_zero(parameters["mu"].log, shape.value, shape.log, xp)


FAMILIES.register(HurdleNegativeBinomial())
