"""Log densities of positive parameters on the log scale, for code that is compiled ahead; by the codes below."""

from __future__ import annotations

import math

# Distribution -> its code, and its parameters in order.
CODES = {
    "Flat": (0, ()),
    "Exponential": (1, ("lam",)),
    "HalfNormal": (2, ("sigma",)),
    "HalfStudentT": (3, ("nu", "sigma")),
    "HalfCauchy": (4, ("beta",)),
    "Gamma": (5, ("alpha", "beta")),
    "InverseGamma": (6, ("alpha", "beta")),
    "LogNormal": (7, ("mu", "sigma")),
    "Weibull": (8, ("alpha", "beta")),
}


def on_log_scale(code: int, a: float, b: float, t: float) -> tuple[float, float]:
    """Return log p(exp(t)) + t up to a constant, and its derivative in t; a and b are the parameters."""
    x = math.exp(t)
    if code == 0:
        return t, 1.0
    if code == 1:
        return t - a * x, 1.0 - a * x
    if code == 2:
        square = (x / a) ** 2
        return t - 0.5 * square, 1.0 - square
    if code == 3 or code == 4:
        nu = a if code == 3 else 1.0
        scale = b if code == 3 else a
        square = (x / scale) ** 2 / nu
        return t - 0.5 * (nu + 1.0) * math.log1p(square), 1.0 - (nu + 1.0) * square / (1.0 + square)
    if code == 5:
        return a * t - b * x, a - b * x
    if code == 6:
        return -a * t - b / x, b / x - a
    if code == 7:
        z = (t - a) / b
        return -0.5 * z * z, -z / b
    power = math.exp(a * (t - math.log(b)))
    return a * t - power, a - a * power
