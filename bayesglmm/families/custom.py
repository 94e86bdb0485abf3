"""Our own PyMC distributions: a stable log density with draws composed of PyMC's distributions.

PyMC's own are used where they are stable; these where eta in [-30, 30] would under- or overflow in them. The draws
are symbolic (no Python callback), so that they compile in every PyTensor mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def custom_dist(
    name: str,
    parameters: tuple[Any, ...],
    log_density: Callable[..., Any],
    draw: Callable[..., Any],
    log_cdf: Callable[..., Any] | None = None,
    log_ccdf: Callable[..., Any] | None = None,
) -> Any:
    """Return an unnamed PyMC variable with the given log density.

    Parameters
    ----------
    name : str
        Class name shown in printed models.
    parameters : tuple of tensors
        Scalars per row, broadcast against each other.
    log_density : callable
        ``log_density(value, *parameters)``.
    draw : callable
        ``draw(*parameters, size)`` returns a PyMC variable; `parameters` arrive broadcast to one shape.
    log_cdf : callable, optional
        ``log_cdf(value, *parameters)``.
    log_ccdf : callable, optional
        ``log_ccdf(value, *parameters)``: log P(y > value); without it PyMC takes log(1 - exp(log_cdf)), which is
        -inf in the right tail.
    """
    import pymc as pm
    import pytensor.tensor as pt

    def symbolic(*arguments: Any) -> Any:
        *given, size = arguments
        return draw(*pt.broadcast_arrays(*given), size)

    extra = {} if log_cdf is None else {"logcdf": log_cdf}
    variable = pm.CustomDist.dist(*parameters, dist=symbolic, logp=log_density, class_name=name, **extra)
    if log_ccdf is not None:
        _register_log_ccdf(type(variable.owner.op), log_ccdf, len(parameters))
    return variable


def _register_log_ccdf(kind: type, log_ccdf: Callable[..., Any], count: int) -> None:
    """Tell PyMC's dispatcher; `CustomDist`, which makes one type per call, has no argument for it."""
    from pymc.logprob.abstract import _logccdf

    def dispatched(op: Any, value: Any, size: Any, *inputs: Any, **unused: Any) -> Any:
        return log_ccdf(value, *inputs[:count])

    _logccdf.register(kind)(dispatched)


def uniform_like(template: Any, size: Any) -> Any:
    """Return independent uniform draws, one per element of `template` (and of `size`)."""
    import pymc as pm
    import pytensor.tensor as pt

    return pm.Uniform.dist(pt.zeros_like(template, dtype="float64"), 1.0, size=size)


def with_zeros(log_zero: Any, nonzero: Any, size: Any) -> Any:
    """Replace draws by zero with probability exp(log_zero)."""
    import pytensor.tensor as pt

    return pt.switch(pt.log(uniform_like(log_zero, size)) < log_zero, pt.zeros_like(nonzero), nonzero)


def inverse_gaussian(log_mu: Any, shape: Any, size: Any) -> Any:
    """Draw by the two roots of Michael, Schucany and Haas (1976), the smaller one in a form without cancellation.

    PyMC's Wald draws through a Python callback in PyTensor's default mode, and warns of it.
    """
    import pymc as pm
    import pytensor.tensor as pt

    mu = pt.exp(log_mu)
    square = pm.Normal.dist(pt.zeros_like(mu), 1.0, size=size) ** 2
    half = 0.5 * mu * square / shape
    smaller = 1.0 / (1.0 + half + pt.sqrt(half * (2.0 + half)))
    return mu * pt.switch(uniform_like(mu, size) * (1.0 + smaller) <= 1.0, smaller, 1.0 / smaller)


def positive_poisson(log_mu: Any, size: Any) -> Any:
    """Draw Poisson counts given that they are positive.

    In a Poisson process on [0, 1] the first event is drawn given that there is one; what follows is Poisson again.
    """
    import pymc as pm
    import pytensor.tensor as pt

    mu = pt.exp(log_mu)
    first = -pt.log1p(uniform_like(mu, size) * pt.expm1(-mu)) / mu
    return 1 + pm.Poisson.dist(mu * pt.clip(1.0 - first, 0.0, 1.0))


def positive_negative_binomial(log_mu: Any, shape: Any, size: Any) -> Any:
    """Draw negative binomial counts given that they are positive.

    A gamma mixture of Poisson processes on [0, 1]: the first event given that there is one, then the gamma rate
    given that event, then Poisson counts for the rest of the interval.
    """
    import pymc as pm
    import pytensor.tensor as pt

    rate = shape * pt.exp(-log_mu)
    some = -pt.expm1(-shape * pt.log1p(pt.exp(log_mu) / shape))
    first = pt.clip(rate * pt.expm1(-pt.log1p(-uniform_like(rate, size) * some) / shape), 0.0, 1.0)
    intensity = pm.Gamma.dist(shape + 1.0, rate + first)
    return 1 + pm.Poisson.dist(intensity * (1.0 - first))
