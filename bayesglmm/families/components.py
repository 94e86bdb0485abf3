"""Distributions as parts: a log density, draws and a distribution function over common inputs.

The plain families, the zero-inflated and the hurdle ones are put together from these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.arraymath import pytensor_math
from bayesglmm.families import densities
from bayesglmm.families.base import ResponseData
from bayesglmm.families.custom import positive_negative_binomial, positive_poisson
from bayesglmm.links import Linked


@dataclass(frozen=True)
class Component:
    """A distribution in PyTensor; every callable takes `inputs` after its own first argument.

    Attributes
    ----------
    inputs : tuple of tensors
        One scalar per row each.
    log_density : callable
        ``log_density(y, *inputs)``.
    draw : callable
        ``draw(*inputs, size)``.
    log_cdf : callable
        ``log_cdf(y, *inputs)``.
    log_ccdf : callable, optional
        ``log_ccdf(y, *inputs)``: log P(Y > y), accurate in the right tail.
    log_zero : callable, optional
        ``log_zero(*inputs)``: log probability of zero, for counts.
    draw_positive : callable, optional
        ``draw_positive(*inputs, size)``: draws given y > 0, for hurdle families.
    """

    inputs: tuple[Any, ...]
    log_density: Callable[..., Any]
    draw: Callable[..., Any]
    log_cdf: Callable[..., Any]
    log_ccdf: Callable[..., Any] | None = None
    log_zero: Callable[..., Any] | None = None
    draw_positive: Callable[..., Any] | None = None


def poisson(parameters: Mapping[str, Linked]) -> Component:
    """Poisson with mean mu."""
    import pymc as pm
    import pytensor.tensor as pt

    xp = pytensor_math()
    return Component(
        inputs=(parameters["mu"].log,),
        log_density=lambda y, log_mu: densities.poisson_log_density(y, log_mu, xp),
        draw=lambda log_mu, size: pm.Poisson.dist(pt.exp(log_mu), size=size),
        log_zero=lambda log_mu: -pt.exp(log_mu),
        draw_positive=positive_poisson,
        log_cdf=lambda y, log_mu: pm.logcdf(pm.Poisson.dist(pt.exp(log_mu)), y),
        log_ccdf=lambda y, log_mu: pt.switch(y < 0, 0.0, pt.log(pt.gammainc(pt.maximum(y, 0) + 1.0, pt.exp(log_mu)))),
    )


def negative_binomial(parameters: Mapping[str, Linked]) -> Component:
    """Negative binomial with mean mu and variance mu + mu^2 / shape."""
    import pymc as pm
    import pytensor.tensor as pt

    xp = pytensor_math()
    shape = parameters["shape"]

    def negative_binomial_log_ccdf(y: Any, log_mu: Any, a: Any, log_a: Any) -> Any:
        above = pt.betainc(pt.maximum(y, 0) + 1.0, a, pt.sigmoid(log_mu - log_a))
        return pt.switch(y < 0, 0.0, pt.log(above))

    return Component(
        inputs=(parameters["mu"].log, shape.value, shape.log),
        log_density=lambda y, log_mu, a, log_a: densities.negative_binomial_log_density(y, log_mu, a, log_a, xp),
        draw=lambda log_mu, a, log_a, size: pm.NegativeBinomial.dist(mu=pt.exp(log_mu), alpha=a, size=size),
        log_ccdf=negative_binomial_log_ccdf,
        log_zero=lambda log_mu, a, log_a: densities.negative_binomial_log_zero(log_mu, a, log_a, xp),
        draw_positive=lambda log_mu, a, log_a, size: positive_negative_binomial(log_mu, a, size),
        log_cdf=lambda y, log_mu, a, log_a: pm.logcdf(pm.NegativeBinomial.dist(mu=pt.exp(log_mu), alpha=a), y),
    )


def binomial(parameters: Mapping[str, Linked], data: ResponseData) -> Component:
    """Binomial with probability mu; -inf outside 0..trials."""
    import pymc as pm
    import pytensor.tensor as pt

    xp = pytensor_math()
    mu = parameters["mu"]

    def log_density(y: Any, n: Any, log_p: Any, log1m_p: Any) -> Any:
        inside = pt.and_(pt.ge(y, 0), pt.le(y, n))
        return pt.switch(inside, densities.binomial_log_density(y, n, log_p, log1m_p, xp), -np.inf)

    return Component(
        inputs=(pt.cast(data.trials, "int64"), mu.log, mu.log1m),
        log_density=log_density,
        draw=lambda n, log_p, log1m_p, size: pm.Binomial.dist(n, pt.exp(log_p), size=size),
        log_zero=lambda n, log_p, log1m_p: n * log1m_p,
        log_cdf=lambda y, n, log_p, log1m_p: pm.logcdf(pm.Binomial.dist(n, pt.exp(log_p)), y),
    )


def gamma(parameters: Mapping[str, Linked]) -> Component:
    """Gamma with mean mu and variance mu^2 / shape; it has no zeros, so its draws are its positive draws."""
    import pymc as pm
    import pytensor.tensor as pt

    xp = pytensor_math()

    def draw(log_mu: Any, a: Any, log_a: Any, size: Any) -> Any:
        return pm.Gamma.dist(a, a * pt.exp(-log_mu), size=size)

    shape = parameters["shape"]
    return Component(
        inputs=(parameters["mu"].log, shape.value, shape.log),
        log_density=lambda y, log_mu, a, log_a: densities.gamma_log_density(y, log_mu, a, log_a, xp),
        draw=draw,
        log_cdf=lambda y, log_mu, a, log_a: pm.logcdf(pm.Gamma.dist(a, a * pt.exp(-log_mu)), y),
        log_ccdf=lambda y, log_mu, a, log_a: pt.log(pt.gammaincc(a, a * y * pt.exp(-log_mu))),
        draw_positive=draw,
    )
