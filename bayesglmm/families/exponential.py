"""Exponential: waiting times with a constant rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.chain import chain
from bayesglmm.families.checks import require_positive
from bayesglmm.families.custom import custom_dist
from bayesglmm.links import Link, Linked


class Exponential(Family):
    """y ~ Exponential with mean mu (rate 1 / mu), y > 0; variance mu^2. Default link log, as brms.

    PyMC's own has -inf for the log survival of a censored time beyond 37 means; this one has -y / mu.
    """

    name = "exponential"
    aliases = ("Exponential",)
    parameters = (FamilyParameter("mu", "positive", "log"),)
    censorable = True
    support = (0.0, np.inf)

    def check(self, response: Response) -> None:
        require_positive(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm

        xp = pytensor_math()
        return custom_dist(
            "Exponential",
            (parameters["mu"].log,),
            lambda y, log_mu: -log_mu - y * xp.exp(-log_mu),
            lambda log_mu, size: pm.Exponential.dist(scale=xp.exp(log_mu), size=size),
            lambda y, log_mu: xp.log1mexp(-y * xp.exp(-log_mu)),
            lambda y, log_mu: -y * xp.exp(-log_mu),
        )

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
