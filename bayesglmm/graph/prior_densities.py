"""Log densities of priors with their derivatives, in numpy: of positive values by their logarithm t, of real ones.

Constants are those of PyMC's distributions. Arguments are the coordinates, then the parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from bayesglmm.blocks import Floats

_LOG_2PI = float(np.log(2.0 * np.pi))
_LOG_PI = float(np.log(np.pi))

type Density = tuple[Floats, Floats]
"""A log density and its derivative in the coordinate."""


def _flat(t: Floats) -> Density:
    return np.zeros_like(t), np.zeros_like(t)


def _exponential(t: Floats, lam: float) -> Density:
    slope = -lam * np.exp(t)
    return np.log(lam) + slope, slope


def _half_normal(t: Floats, sigma: float) -> Density:
    square = (np.exp(t) / sigma) ** 2
    return -0.5 * square + np.log(2.0) - 0.5 * _LOG_2PI - np.log(sigma), -square


def _half_student(t: Floats, nu: float, sigma: float) -> Density:
    square = (np.exp(t) / sigma) ** 2 / nu
    constant = special.gammaln(0.5 * (nu + 1.0)) - special.gammaln(0.5 * nu)
    constant += np.log(2.0) - 0.5 * np.log(nu * np.pi) - np.log(sigma)
    return constant - 0.5 * (nu + 1.0) * np.log1p(square), -(nu + 1.0) / (1.0 + 1.0 / square)


def _half_cauchy(t: Floats, beta: float) -> Density:
    square = (np.exp(t) / beta) ** 2
    return np.log(2.0) - _LOG_PI - np.log(beta) - np.log1p(square), -2.0 / (1.0 + 1.0 / square)


def _gamma(t: Floats, alpha: float, beta: float) -> Density:
    rate = beta * np.exp(t)
    constant = alpha * np.log(beta) - special.gammaln(alpha)
    return constant + (alpha - 1.0) * t - rate, alpha - 1.0 - rate


def _inverse_gamma(t: Floats, alpha: float, beta: float) -> Density:
    rate = beta * np.exp(-t)
    constant = alpha * np.log(beta) - special.gammaln(alpha)
    return constant - (alpha + 1.0) * t - rate, rate - alpha - 1.0


def _log_normal(t: Floats, mu: float, sigma: float) -> Density:
    z = (t - mu) / sigma
    return -0.5 * z * z - np.log(sigma) - 0.5 * _LOG_2PI - t, -z / sigma - 1.0


def _weibull(t: Floats, alpha: float, beta: float) -> Density:
    log_power = alpha * (t - np.log(beta))
    power = np.exp(log_power)
    return np.log(alpha) + log_power - t - power, alpha - 1.0 - alpha * power


def _normal(x: Floats, mu: float, sigma: float) -> Density:
    z = (x - mu) / sigma
    return -0.5 * z * z - np.log(sigma) - 0.5 * _LOG_2PI, -z / sigma


def _student(x: Floats, nu: float, mu: float, sigma: float) -> Density:
    z = (x - mu) / sigma
    constant = special.gammaln(0.5 * (nu + 1.0)) - special.gammaln(0.5 * nu) - 0.5 * np.log(nu * np.pi)
    density = constant - np.log(sigma) - 0.5 * (nu + 1.0) * np.log1p(z * z / nu)
    return density, -(nu + 1.0) * z / (nu + z * z) / sigma


POSITIVE: Mapping[str, Callable[..., Density]] = {
    "Flat": _flat,
    "Exponential": _exponential,
    "HalfNormal": _half_normal,
    "HalfStudentT": _half_student,
    "HalfCauchy": _half_cauchy,
    "Gamma": _gamma,
    "InverseGamma": _inverse_gamma,
    "LogNormal": _log_normal,
    "Weibull": _weibull,
}


REAL: Mapping[str, Callable[..., Density]] = {"Flat": _flat, "Normal": _normal, "StudentT": _student}


def _inverse_gamma_start(alpha: float, beta: float) -> float:
    return beta / (alpha - 1.0 if alpha > 1.0 else alpha + 1.0)


STARTS: Mapping[str, Callable[..., float]] = {
    "Flat": lambda: 1.0,
    "Exponential": lambda lam: 1.0 / lam,
    "HalfNormal": lambda sigma: sigma,
    "HalfStudentT": lambda nu, sigma: sigma,
    "HalfCauchy": lambda beta: beta,
    "Gamma": lambda alpha, beta: alpha / beta,
    "InverseGamma": _inverse_gamma_start,
    "LogNormal": lambda mu, sigma: float(np.exp(mu + 0.5 * sigma**2)),
    "Weibull": lambda alpha, beta: float(beta * special.gamma(1.0 + 1.0 / alpha)),
}
"""Where PyMC's models start: the mean, or the scale."""
