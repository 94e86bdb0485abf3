"""Log densities of single rows with their derivatives, for code that is compiled ahead; by the codes below.

A family says which of them is its own (`Family.row_density`). What does not depend on the predictor or the dispersion
is left out.
"""

from __future__ import annotations

import math

BINOMIAL = 0
CODES = {"binomial-logit": BINOMIAL, "poisson-log": 1, "gaussian": 2, "negative-binomial-log": 3, "gamma-log": 4}


def digamma(x: float) -> float:
    """Return the derivative of log Gamma at x > 0, to some 1e-14: recurrence to 8, then the asymptotic series."""
    found = 0.0
    while x < 8.0:
        found -= 1.0 / x
        x += 1.0
    s = 1.0 / (x * x)
    series = s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s * (1 / 132 - s * (691 / 32760 - s / 12))))))
    return found + math.log(x) - 0.5 / x - series


def binomial_row(y: float, size: float, eta: float) -> tuple[float, float, float]:
    """Return what the log-likelihood of a binomial row is plus size log(1 + tail), that tail, and the derivative.

    The logarithm is left out because binary rows share one, see `conditioned_density.binomial`.
    """
    tail = math.exp(-abs(eta))
    p = (1.0 if eta > 0.0 else tail) / (1.0 + tail)
    return y * eta - size * max(eta, 0.0), tail, y - size * p


def row(code: int, y: float, size: float, eta: float, phi: float) -> tuple[float, float, float]:
    """Return log p(y | eta, phi), and its derivatives in eta and in phi.

    Parameters
    ----------
    code : int
        Any but that of binomial rows, see `binomial_row`.
    y : float
    size : float
        How many rows a Poisson one stands for, weight of a gaussian one, else one.
    eta, phi : float
    """
    if code == 1:
        mu = size * math.exp(eta)
        return y * eta - mu, y - mu, 0.0
    if code == 2:
        z = size * (y - eta) / (phi * phi)
        square = z * (y - eta)
        return -0.5 * square - math.log(phi), z, (square - 1.0) / phi
    if code == 3:
        # log(phi + mu) and mu / (phi + mu), without overflow for large eta
        lead = eta - math.log(phi)
        tail = math.exp(-abs(lead))
        over = max(eta, math.log(phi)) + math.log1p(tail)
        share = 1.0 / (1.0 + tail) if lead > 0 else tail / (1.0 + tail)
        value = math.lgamma(y + phi) - math.lgamma(phi) + phi * math.log(phi) + y * eta - (y + phi) * over
        slope = digamma(y + phi) - digamma(phi) + math.log(phi) + 1.0 - over - (y + phi) * (1.0 - share) / phi
        return value, y - (y + phi) * share, slope
    ratio = y * math.exp(-eta)
    value = phi * math.log(phi) - math.lgamma(phi) + (phi - 1.0) * math.log(y) - phi * (eta + ratio)
    slope = math.log(phi) + 1.0 - digamma(phi) + math.log(y) - eta - ratio
    return value, phi * (ratio - 1.0), slope
