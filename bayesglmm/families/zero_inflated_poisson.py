"""Zero-inflated Poisson: counts with more zeros than a Poisson has."""

from __future__ import annotations

from collections.abc import Mapping

from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_counts
from bayesglmm.families.components import Component, poisson
from bayesglmm.families.dispersions import ZI
from bayesglmm.families.poisson import Poisson
from bayesglmm.families.zeros import ZeroInflated
from bayesglmm.links import Linked


class ZeroInflatedPoisson(ZeroInflated):
    """y = 0 with probability zi, else y ~ Poisson(mu); mean (1 - zi) mu.

    Default prior: zi Beta(1, 1), as brms.
    """

    name = "zero_inflated_poisson"
    aliases = ("zip", "ziP", "ZeroInflatedPoisson")
    parameters = (FamilyParameter("mu", "positive", "log"), ZI)
    base = Poisson()
    censorable = True

    def check(self, response: Response) -> None:
        require_counts(response)

    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        return poisson(parameters)


FAMILIES.register(ZeroInflatedPoisson())
