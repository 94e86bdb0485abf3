"""Hurdle Poisson: zeros by one process, positive counts by another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_counts
from bayesglmm.families.components import Component, poisson
from bayesglmm.families.dispersions import HU
from bayesglmm.families.poisson import Poisson
from bayesglmm.families.zeros import Hurdle
from bayesglmm.links import Linked


class HurdlePoisson(Hurdle):
    """y = 0 with probability hu, else Poisson(mu) given y > 0; mean (1 - hu) mu / (1 - exp(-mu)).

    Default prior: hu Beta(1, 1), as brms.
    """

    name = "hurdle_poisson"
    aliases = ("HurdlePoisson",)
    parameters = (FamilyParameter("mu", "positive", "log"), HU)
    discrete = True
    base = Poisson()

    def check(self, response: Response) -> None:
        require_counts(response)

    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        return poisson(parameters)

    def log_base_zero(self, parameters: Mapping[str, Linked], xp: ArrayMath) -> Any:
        return -parameters["mu"].value


FAMILIES.register(HurdlePoisson())
