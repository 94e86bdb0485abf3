"""Hurdle gamma: positive responses, with exact zeros by a process of their own."""

from __future__ import annotations

from collections.abc import Mapping

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_nonnegative
from bayesglmm.families.components import Component, gamma
from bayesglmm.families.dispersions import HU, SHAPE
from bayesglmm.families.gamma import Gamma
from bayesglmm.families.zeros import Hurdle
from bayesglmm.links import Linked


class HurdleGamma(Hurdle):
    """y = 0 with probability hu, else y ~ Gamma(shape, rate = shape / mu); mean (1 - hu) mu.

    Default priors, as brms: shape InverseGamma(0.4, 0.3), hu Beta(1, 1).
    """

    name = "hurdle_gamma"
    aliases = ("ziGamma", "zero_inflated_gamma", "HurdleGamma")
    parameters = (FamilyParameter("mu", "positive", "log"), SHAPE, HU)
    base = Gamma()

    def check(self, response: Response) -> None:
        require_nonnegative(response)

    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        return gamma(parameters)

    def log_base_zero(self, parameters: Mapping[str, Linked], xp: ArrayMath) -> None:
        return None


FAMILIES.register(HurdleGamma())
