"""Binomial: successes among a known number of trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData
from bayesglmm.families.checks import require_trials
from bayesglmm.families.components import binomial
from bayesglmm.families.custom import custom_dist
from bayesglmm.families.densities import log_choose
from bayesglmm.links import Link, Linked


class Binomial(Family):
    """y ~ Binomial(trials, mu): y in 0..trials, mean trials * mu; `mean` is the expected proportion mu.

    PyMC's own binomial goes through p, which saturates in the tails; this one goes through log p and log(1 - p).
    """

    name = "binomial"
    aliases = ("Binomial",)
    parameters = (FamilyParameter("mu", "unit", "logit"),)
    discrete = True
    response = "binomial"
    censorable = True

    def check(self, response: Response) -> None:
        require_trials(response)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        part = binomial(parameters, data)
        return custom_dist("Binomial", part.inputs, part.log_density, part.draw, part.log_cdf)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        return parameters["mu"].value

    def row_density(self, link: Link) -> str | None:
        return "binomial-logit" if link.name == "logit" else None

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        n = np.asarray(data.trials, dtype=float)
        return binomial_derivatives(y, n, log_choose(n, y, NUMPY), eta, link, order)


def binomial_derivatives(y: Any, n: Any, constant: Any, eta: Any, link: Link, order: int) -> Derivatives | None:
    """Return derivatives of y log p + (n - y) log(1 - p) + constant; bernoulli has n = 1."""
    failures = n - y
    if order == 0:
        values = link.log_values(eta)
        return None if values is None else Derivatives(y * values[0] + failures * values[1] + constant)
    jets = link.log_jets(eta)
    if jets is None:
        return None
    p, q = jets
    value = y * p.value + failures * q.value + constant
    d1, d2 = y * p.d1 + failures * q.d1, y * p.d2 + failures * q.d2
    return Derivatives(value, d1, d2, y * p.d3 + failures * q.d3 if order == 2 else None)


FAMILIES.register(Binomial())
