"""Zero-inflated binomial: successes among trials, with extra rows of none."""

from __future__ import annotations

from collections.abc import Mapping

from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, FamilyParameter, ResponseData
from bayesglmm.families.binomial import Binomial
from bayesglmm.families.checks import require_trials
from bayesglmm.families.components import Component, binomial
from bayesglmm.families.dispersions import ZI
from bayesglmm.families.zeros import ZeroInflated
from bayesglmm.links import Linked


class ZeroInflatedBinomial(ZeroInflated):
    """y = 0 with probability zi, else y ~ Binomial(trials, mu); `mean` is the expected proportion (1 - zi) mu.

    Default prior: zi Beta(1, 1), as brms.
    """

    name = "zero_inflated_binomial"
    aliases = ("zib", "ZeroInflatedBinomial")
    parameters = (FamilyParameter("mu", "unit", "logit"), ZI)
    response = "binomial"
    base = Binomial()
    censorable = True

    def check(self, response: Response) -> None:
        require_trials(response)

    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        return binomial(parameters, data)


FAMILIES.register(ZeroInflatedBinomial())
