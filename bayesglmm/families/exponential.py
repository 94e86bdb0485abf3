"""Exponential: waiting times with a constant rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import chain
from bayesglmm.families.checks import require_positive
from bayesglmm.links import Link, Linked


class Exponential(Family):
    """y ~ Exponential with mean mu (rate 1 / mu), y > 0; variance mu^2. Default link log, as brms."""

    name = "exponential"
    parameters = (FamilyParameter("mu", "positive", "log"),)
    censorable = True

    def check(self, response: Response) -> None:
        require_positive(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        return pm.Exponential.dist(scale=parameters["mu"].value)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        log_mu = link.log_jet(eta)
        if log_mu is None:
            return None
        ratio = y * np.exp(-log_mu.value)
        value = -log_mu.value - ratio
        return Derivatives(value) if order == 0 else chain(value, (ratio - 1.0, -ratio, ratio)[: order + 1], log_mu)


FAMILIES.register(Exponential())
