"""Bernoulli: one success or failure per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, Family, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_varying
from bayesglmm.links import Linked


class Bernoulli(Family):
    """y ~ Bernoulli(mu); the graph sees logit mu, so extreme predictors keep finite derivatives."""

    name = "bernoulli"
    parameters = (FamilyParameter("mu", "unit", "logit"),)
    discrete = True
    response = "binary"

    def check(self, response: Response) -> None:
        require_varying(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        return pm.Bernoulli.dist(logit_p=parameters["mu"].logit)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value


FAMILIES.register(Bernoulli())
