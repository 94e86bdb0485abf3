"""Categorical: unordered categories, with a predictor for each but the first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Response
from bayesglmm.families.base import (
    FAMILIES,
    Family,
    FamilyParameter,
    JointDerivatives,
    ResponseData,
    ResponseScale,
)
from bayesglmm.families.checks import require_categories
from bayesglmm.families.custom import custom_dist, uniform_like
from bayesglmm.links import Link, Linked


class Categorical(Family):
    """P(y = k) proportional to exp(eta_k) for codes k = 0..K-1, with eta_0 = 0: the first category is the reference.

    The main formula stands for K - 1 predictors, ``mu_<category>``; the softmax takes the place of a link. `mean`
    gives the probabilities of the categories in the last axis.
    """

    name = "categorical"
    aliases = ("multinomial", "multinom", "multinomial_logit", "Categorical")
    parameters = (FamilyParameter("mu", "real", "identity"),)
    discrete = True
    response = "nominal"
    links = ("identity",)

    def main_predictors(self, response: Response) -> tuple[str, ...]:
        names: list[str] = []
        for category in response.categories[1:]:
            name = "mu_" + (re.sub(r"\W+", "_", category).strip("_") or "category")
            while name in names:
                name += "_"
            names.append(name)
        return tuple(names)

    def check(self, response: Response) -> None:
        require_categories(response, at_least=3)

    def scale(self, response: Response, link: Link) -> ResponseScale:
        return ResponseScale(0.0, 1.0)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pytensor.tensor as pt

        xp = pytensor_math()

        def log_density(y: Any, *eta: Any) -> Any:
            chosen = reduce(pt.add, (pt.switch(pt.eq(y, k + 1), e, 0.0) for k, e in enumerate(eta)))
            return pt.switch(pt.and_(pt.ge(y, 0), pt.le(y, len(eta))), chosen - _log_total(eta, xp), -float("inf"))

        def draw(*arguments: Any) -> Any:
            *eta, size = arguments
            chance = pt.log(uniform_like(eta[0], size)) + _log_total(eta, xp)
            # one uniform draw against the cumulated weights, all of them over exp(0) + sum exp(eta)
            y, weight = pt.gt(chance, 0.0).astype("int64"), pt.zeros_like(eta[0])
            for e in eta[:-1]:
                weight = xp.maximum(weight, e) + xp.log1p(xp.exp(-xp.abs(weight - e)))
                y = y + pt.gt(chance, weight)
            return y

        eta = tuple(p.value for p in parameters.values())
        return custom_dist("Categorical", eta, log_density, draw)

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        eta = [p.value for p in parameters.values()]
        total = _log_total(eta, xp)
        return xp.exp(xp.stack([-total, *(e - total for e in eta)], axis=-1))

    def joint_derivatives(
        self, y: Floats, etas: Floats, phi: Mapping[str, Any], data: ResponseData, links: Sequence[Link], order: int
    ) -> JointDerivatives:
        """Return derivatives of the softmax: cumulants of one draw, with indicators e_k and probabilities p_k."""
        etas, code = np.asarray(etas), np.asarray(y)
        P = len(etas)
        total = _log_total(etas, NUMPY)
        chosen = (code == np.arange(1, P + 1)[:, None]).astype(float)
        value = np.where(chosen > 0.0, etas, 0.0).sum(axis=0) - total
        if order == 0:
            return JointDerivatives(value)
        p, unit = np.exp(etas - total), np.eye(P)
        covariance = unit[:, :, None] * p - p[:, None] * p
        if order == 1:
            return JointDerivatives(value, chosen - p, -covariance)
        third = np.einsum("kl,kmn->klmn", unit, covariance)  # d cov_kl / d eta_m, and so the third cumulant
        third = third - covariance[:, None] * p[:, None] - p[:, None, None] * covariance
        return JointDerivatives(value, chosen - p, -covariance, -third)


def _log_total(eta: Any, xp: ArrayMath) -> Any:
    """log(1 + sum_k exp(eta_k)), folded with the stable sum of two: its derivatives are those of the softmax."""
    return reduce(lambda total, e: total + xp.softplus(e - total), eta[1:], xp.softplus(eta[0]))


FAMILIES.register(Categorical())
