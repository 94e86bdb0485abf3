"""Cumulative: ordered categories, cut from a latent scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Response
from bayesglmm.families.base import FAMILIES, Family, FamilyParameter, ResponseData, ResponseScale
from bayesglmm.families.checks import require_categories
from bayesglmm.families.custom import uniform_like
from bayesglmm.families.dispersions import CUTPOINTS
from bayesglmm.links import Link, Linked


class Cumulative(Family):
    """P(y <= k) = F(cut_k - eta) for codes k = 0..K-1, with F the inverse link: logit, probit, cloglog, ...

    A larger predictor means a higher category; there is no intercept beside the K - 1 cutpoints. `mean` gives the
    probabilities of the categories in the last axis. Default prior: cutpoints StudentT(3, 0, 2.5), ordered, as brms.
    Cutpoints broadcast against ``eta[..., None]``: (m,) for all rows, (S, 1, m) for draws beside eta (S, n), (n, m)
    by rows.
    """

    name = "cumulative"
    aliases = ("ordinal", "ordered", "clm", "polr")
    parameters = (FamilyParameter("mu", "unit", "logit"), CUTPOINTS)
    discrete = True
    intercept = False
    response = "ordinal"

    def check(self, response: Response) -> None:
        require_categories(response, at_least=2)

    def scale(self, response: Response, link: Link) -> ResponseScale:
        return ResponseScale(0.0, 1.0)

    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        import pymc as pm
        import pytensor.tensor as pt

        mu, xp = parameters["mu"], pytensor_math()

        def log_density(y: Any, eta: Any, cuts: Any) -> Any:
            last = cuts.shape[-1] - 1
            upper = _pick(cuts, pt.minimum(y, last)) - eta
            lower = _pick(cuts, pt.maximum(y - 1, 0)) - eta
            return log_interval(upper, lower, pt.eq(y, 0), pt.gt(y, last), mu.link, xp)

        def draw(eta: Any, cuts: Any, size: Any) -> Any:
            below = mu.link.inverse(cuts - eta[..., None], xp)
            chance = uniform_like(eta, size)
            return pt.sum(pt.gt(chance[..., None], below), axis=-1).astype("int64")

        return pm.CustomDist.dist(
            mu.eta,
            parameters["cutpoints"].value,
            dist=draw,
            logp=log_density,
            ndims_params=[0, 1],
            ndim_supp=0,
            class_name="Cumulative",
        )

    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        mu, cuts = parameters["mu"], parameters["cutpoints"].value
        position = cuts - mu.eta[..., None]
        first = xp.exp(mu.link.log_inverse(position[..., :1], xp))
        last = xp.exp(mu.link.log1m_inverse(position[..., -1:], xp))
        no = xp.zeros_like(position[..., 1:]) > 0.0
        between = xp.exp(log_interval(position[..., 1:], position[..., :-1], no, no, mu.link, xp))
        return xp.concatenate([first, between, last], axis=-1)


def _pick(cuts: Any, index: Any) -> Any:
    """Return cuts[..., index] with the leading axes of both broadcast."""
    import pytensor.tensor as pt

    if cuts.type.ndim == 1:
        return cuts[index]
    chosen = pt.eq(index[..., None], pt.arange(cuts.shape[-1]))
    return pt.sum(pt.switch(chosen, cuts, 0.0), axis=-1)


def log_interval(upper: Any, lower: Any, first: Any, last: Any, link: Link, xp: ArrayMath) -> Any:
    """Return log(F(upper) - F(lower)); only F(upper) in the first category, only 1 - F(lower) in the last.

    Left of the median it works with log F, right of it with log(1 - F), so that neither tail cancels. Every branch
    gets harmless arguments in the rows where another one is taken, else its derivatives would spoil theirs.
    """
    inner = ~(first | last)
    right = link.inverse(0.5 * (upper + lower), xp) > 0.5
    on_left, on_right = inner & ~right, inner & right
    a, b = xp.where(on_left, upper, 0.0), xp.where(on_left, lower, -1.0)
    left_a = link.log_inverse(a, xp)
    from_left = left_a + xp.log1mexp(link.log_inverse(b, xp) - left_a)
    a, b = xp.where(on_right, upper, 1.0), xp.where(on_right, lower, 0.0)
    right_b = link.log1m_inverse(b, xp)
    from_right = right_b + xp.log1mexp(link.log1m_inverse(a, xp) - right_b)
    below, above = link.log_inverse(upper, xp), link.log1m_inverse(lower, xp)
    return xp.where(first, below, xp.where(last, above, xp.where(right, from_right, from_left)))


FAMILIES.register(Cumulative())
