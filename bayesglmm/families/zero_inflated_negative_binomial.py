"""Zero-inflated negative binomial: overdispersed counts with extra zeros."""

from __future__ import annotations

from collections.abc import Mapping

from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_counts
from bayesglmm.families.components import Component, negative_binomial
from bayesglmm.families.dispersions import SHAPE, ZI
from bayesglmm.families.negative_binomial import NegativeBinomial
from bayesglmm.families.zeros import ZeroInflated
from bayesglmm.links import Linked


class ZeroInflatedNegativeBinomial(ZeroInflated):
    """y = 0 with probability zi, else y ~ NegativeBinomial(mu, shape); mean (1 - zi) mu.

    Default priors, as brms: shape InverseGamma(0.4, 0.3), zi Beta(1, 1).
    """

    name = "zero_inflated_negative_binomial"
    aliases = (
        "zero_inflated_negbinomial",
        "zinb",
        "zinb2",
        "zero_inflated_negativebinomial",
        "ZeroInflatedNegativeBinomial",
    )
    parameters = (FamilyParameter("mu", "positive", "log"), SHAPE, ZI)
    base = NegativeBinomial()
    censorable = True

    def check(self, response: Response) -> None:
        require_counts(response)

    def component(self, parameters: Mapping[str, Linked], data: ResponseData) -> Component:
        return negative_binomial(parameters)


FAMILIES.register(ZeroInflatedNegativeBinomial())
