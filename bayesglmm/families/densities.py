"""Log densities in stable form, written once for numpy and PyTensor; mixtures with zeros beside them.

They take logarithms of means and probabilities, because those are what links deliver without under- or overflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath

# Beyond it Stirling's series beats the difference of two large gammaln values.
_LARGE = 1e4


def log_rising(a: Any, log_a: Any, y: Any, xp: ArrayMath) -> Any:
    """Return log Gamma(a + y) - log Gamma(a) for counts y, accurate for tiny and for huge a.

    A tiny a enters through `log_a`, since Gamma(a) = Gamma(1 + a) / a; a huge one through Stirling's series.
    """
    small = xp.minimum(a, _LARGE)
    large = xp.maximum(a, _LARGE)
    near = xp.where(y > 0, log_a + xp.gammaln(small + xp.maximum(y, 0.5)) - xp.gammaln(1.0 + small), 0.0)
    end = large + y
    tail = 1.0 / (12.0 * end) - 1.0 / (12.0 * large) - 1.0 / (360.0 * end**3) + 1.0 / (360.0 * large**3)
    far = y * log_a + (end - 0.5) * xp.log1p(y / large) - y + tail
    return xp.where(a > _LARGE, far, near)


def log_add(a: Any, b: Any, xp: ArrayMath) -> Any:
    """Return log(exp(a) + exp(b)) with finite derivatives however far apart the two are."""
    return xp.where(a > b, a + xp.softplus(b - a), b + xp.softplus(a - b))


def bernoulli_log_density(y: Any, log_p: Any, log1m_p: Any, xp: ArrayMath) -> Any:
    """Return the log probability of success (y = 1) or failure."""
    return xp.where(y > 0, log_p, log1m_p)


def binomial_log_density(y: Any, n: Any, log_p: Any, log1m_p: Any, xp: ArrayMath) -> Any:
    """Return the log probability of y successes in n trials."""
    return log_choose(n, y, xp) + y * log_p + (n - y) * log1m_p


def log_choose(n: Any, y: Any, xp: ArrayMath) -> Any:
    """Return the log binomial coefficient."""
    return xp.gammaln(n + 1.0) - xp.gammaln(y + 1.0) - xp.gammaln(n - y + 1.0)


def beta_binomial_log_density(
    y: Any, n: Any, log_mu: Any, log1m_mu: Any, phi: Any, log_phi: Any, xp: ArrayMath
) -> Any:
    """Return the log probability of y of n under a beta-binomial with mean mu and precision phi."""
    log_a, log_b = log_mu + log_phi, log1m_mu + log_phi
    successes = log_rising(xp.exp(log_a), log_a, y, xp)
    failures = log_rising(xp.exp(log_b), log_b, n - y, xp)
    return log_choose(n, y, xp) + successes + failures - log_rising(phi, log_phi, n, xp)


def beta_log_density(y: Any, log_mu: Any, log1m_mu: Any, phi: Any, log_phi: Any, xp: ArrayMath) -> Any:
    """Return the log density of a beta with mean mu and precision phi."""
    log_a, log_b = log_mu + log_phi, log1m_mu + log_phi
    a, b = xp.exp(log_a), xp.exp(log_b)
    # -log Gamma(a) = log a - log Gamma(1 + a) stays finite where a underflows
    constant = xp.gammaln(phi) + log_a - xp.gammaln(1.0 + a) + log_b - xp.gammaln(1.0 + b)
    return constant + (a - 1.0) * xp.log(y) + (b - 1.0) * xp.log1p(-y)


def poisson_log_density(y: Any, log_mu: Any, xp: ArrayMath) -> Any:
    """Return the log probability of the count y."""
    return y * log_mu - xp.exp(log_mu) - xp.gammaln(y + 1.0)


def negative_binomial_log_density(y: Any, log_mu: Any, shape: Any, log_shape: Any, xp: ArrayMath) -> Any:
    """Return the log probability of the count y, with variance mu + mu^2 / shape."""
    w = log_mu - log_shape
    rising = log_rising(shape, log_shape, y, xp) - xp.gammaln(y + 1.0)
    return rising - y * xp.softplus(-w) - shape * xp.softplus(w)


def negative_binomial_log_zero(log_mu: Any, shape: Any, log_shape: Any, xp: ArrayMath) -> Any:
    """Return the log probability of a zero count."""
    return -shape * xp.softplus(log_mu - log_shape)


def gamma_log_density(y: Any, log_mu: Any, shape: Any, log_shape: Any, xp: ArrayMath) -> Any:
    """Return the log density at y > 0, with variance mu^2 / shape."""
    log_ratio = xp.log(y) - log_mu
    return shape * (log_shape + log_ratio - xp.exp(log_ratio)) - xp.gammaln(shape) - xp.log(y)


def normal_log_density(z: Any, log_sigma: Any) -> Any:
    """Return the log density at the standardised residual z; a product, as a power has nan derivatives at 0."""
    return -0.5 * z * z - log_sigma - 0.5 * np.log(2.0 * np.pi)


def inverse_gaussian_log_cdf(y: Any, log_mu: Any, shape: Any, xp: ArrayMath, upper: bool = False) -> Any:
    """Return log P(Y <= y), or log P(Y > y) if `upper`."""
    root, ratio = xp.sqrt(shape / y), y * xp.exp(-log_mu)
    near, far = root * (ratio - 1.0), 2.0 * shape * xp.exp(-log_mu) + xp.log_ndtr(-root * (ratio + 1.0))
    if upper:
        return xp.log_ndtr(-near) + xp.log1mexp(far - xp.log_ndtr(-near))
    return log_add(xp.log_ndtr(near), far, xp)


def inverse_gaussian_log_density(y: Any, log_mu: Any, shape: Any, log_shape: Any, xp: ArrayMath) -> Any:
    """Return the log density at y > 0, with variance mu^3 / shape."""
    distance = y * xp.exp(-log_mu) - 1.0
    return 0.5 * (log_shape - np.log(2.0 * np.pi) - 3.0 * xp.log(y)) - 0.5 * shape * distance * distance / y


def zero_inflated(y: Any, log_zi: Any, log1m_zi: Any, base: Any, base_zero: Any, xp: ArrayMath) -> Any:
    """Mix extra zeros into a count distribution.

    Parameters
    ----------
    y : array or tensor
    log_zi, log1m_zi : array or tensor
        Logs of the probability of an extra zero and of its complement.
    base, base_zero : array or tensor
        Log probabilities of y and of zero under the count distribution.
    """
    return xp.where(y > 0, log1m_zi + base, log_add(log_zi, log1m_zi + base_zero, xp))


def hurdle(y: Any, log_hu: Any, log1m_hu: Any, positive: Any, xp: ArrayMath) -> Any:
    """Join a probability of zero with the log density `positive` of y given y > 0."""
    return xp.where(y > 0, log1m_hu + positive, log_hu)
