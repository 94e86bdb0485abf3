"""Cumulative: ordered categories, cut from a latent scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats, Ints, Response
from bayesglmm.families.base import FAMILIES, Derivatives, Family, FamilyParameter, ResponseData, ResponseScale
from bayesglmm.families.checks import require_categories
from bayesglmm.families.custom import uniform_like
from bayesglmm.families.dispersions import CUTPOINTS
from bayesglmm.jets import Jet
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

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        cuts, code = np.asarray(phi["cutpoints"], dtype=float), np.asarray(y, dtype=np.intp)
        last = len(cuts) - 1
        above, below = np.minimum(code, last), np.maximum(code - 1, 0)
        ends = _ends(cuts[above] - eta, cuts[below] - eta, code == 0, code > last, link)
        if ends is None:
            return None
        return ends.derivatives(order, above, below, len(cuts))


class _Ends(NamedTuple):
    """log(F(a) - F(b)) as U + log(1 - exp(V - U)), without cancellation in either tail.

    Left of the median U = log F(a) and V = log F(b), right of it U = log(1 - F(b)) and V = log(1 - F(a)). In the
    first and the last category U is all there is.

    Attributes
    ----------
    near, far : Jet
        U and V with their derivatives in the end of the interval that each belongs to.
    alone : ndarray of bool, shape (n,)
        Whether U is all there is.
    right : ndarray of bool, shape (n,)
        Whether U belongs to the lower end.
    """

    near: Jet
    far: Jet
    alone: Any
    right: Any

    def derivatives(self, order: int, above: Ints, below: Ints, count: int) -> Derivatives:
        """Return derivatives in eta and the cutpoints, given the positions of the upper and the lower one."""
        U, V = self.near, self.far
        gap = np.where(self.alone, -1.0, V.value - U.value)
        value = U.value + np.where(self.alone, 0.0, NUMPY.log1mexp(gap))
        if order == 0:
            return Derivatives(value)
        with np.errstate(over="ignore"):
            q = np.where(self.alone, 0.0, 1.0 / np.expm1(-gap))
        # derivatives of log(1 - exp(gap)) in gap, and of gap in a common shift of both ends
        h1, h2 = -q, -q * (1.0 + q)
        g1, g2 = V.d1 - U.d1, V.d2 - U.d2
        d1, d2 = -(U.d1 + h1 * g1), U.d2 + h2 * g1**2 + h1 * g2
        if order == 1:
            return Derivatives(value, d1, d2)
        h3, g3 = h2 * (1.0 + 2.0 * q), V.d3 - U.d3
        d3 = -(U.d3 + h3 * g1**3 + 3.0 * h2 * g1 * g2 + h1 * g3)
        near = (
            U.d1 * (1.0 + q),
            U.d1 * g1 * h2 - U.d2 * (1.0 + q),
            U.d3 * (1.0 + q) - U.d1 * g1**2 * h3 - (2.0 * g1 * U.d2 + U.d1 * g2) * h2,
        )
        far = (
            V.d1 * h1,
            -(V.d1 * g1 * h2 + V.d2 * h1),
            V.d3 * h1 + V.d1 * g1**2 * h3 + (2.0 * g1 * V.d2 + V.d1 * g2) * h2,
        )
        at_near, at_far = np.where(self.right, below, above), np.where(self.right, above, below)
        found = [
            {"cutpoints": _scattered(count, (at_near, one), (at_far, np.where(self.alone, 0.0, other)))}
            for one, other in zip(near, far, strict=True)
        ]
        return Derivatives(value, d1, d2, d3, *found)


def _scattered(count: int, *parts: tuple[Ints, Floats]) -> Floats:
    """Return values by cutpoint and row, shape (count, n), from positions and values by row."""
    out = np.zeros((count, len(parts[0][0])))
    rows = np.arange(out.shape[1])
    for position, values in parts:
        out[position, rows] += values
    return out


def _ends(upper: Floats, lower: Floats, first: Any, last: Any, link: Link) -> _Ends | None:
    """Return the two ends of every row's interval, as `log_interval` takes them; None without the link's jets."""
    alone = first | last
    right = last | (~alone & (link.inverse(0.5 * (upper + lower), NUMPY) > 0.5))
    near = link.log_jets(np.where(right, lower, upper))
    # harmless arguments where there is no second end, off the first so that no jet is compared with itself
    far = link.log_jets(np.where(alone, 0.0, np.where(right, upper, lower)))
    if near is None or far is None:
        return None

    def of_side(jets: tuple[Jet, Jet]) -> Jet:
        return Jet(*(np.where(right, above, below) for below, above in zip(jets[0][:4], jets[1][:4], strict=True)))

    return _Ends(of_side(near), of_side(far), alone, right)


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
