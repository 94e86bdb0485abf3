"""Jets: a function of eta with its first three derivatives, in numpy, for hand-written derivatives. A leaf."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import special


class Jet(NamedTuple):
    """A function of eta and its first three derivatives at each row; numpy.

    Attributes
    ----------
    value, d1, d2, d3 : ndarray or float, shape (n,)
    linear : bool
        True where the function is eta itself, so that a chain rule has nothing to do.
    """

    value: Any
    d1: Any
    d2: Any
    d3: Any
    linear: bool = False


def log_of(m: Jet) -> Jet:
    """Jet of log m from the jet of m; for links whose inverse never underflows in the range of interest."""
    a, b, c = m.d1 / m.value, m.d2 / m.value, m.d3 / m.value
    return Jet(np.log(m.value), a, b - a**2, c - 3.0 * a * b + 2.0 * a**3)


def mirrored(f: Jet) -> Jet:
    """Jet of eta -> f(-eta), given the jet of f at -eta."""
    return Jet(f.value, -f.d1, f.d2, -f.d3)


def log_ndtr_jet(x: Any) -> Jet:
    """Jet of the log normal distribution function, through the inverse Mills ratio."""
    value = special.log_ndtr(x)
    mills = np.exp(-0.5 * x**2 - 0.5 * np.log(2.0 * np.pi) - value)
    gap = mills + x
    return Jet(value, mills, -mills * gap, mills * (gap * (mills + gap) - 1.0))


def cloglog_jets(eta: Any) -> tuple[Jet, Jet]:
    """Jets of log(1 - exp(-t)) and -t with t = exp(eta); the first slope is h = t / (exp(t) - 1)."""
    with np.errstate(over="ignore", divide="ignore"):
        t = np.exp(eta)
        h = np.where(t > 0.0, t / np.expm1(t), 1.0)
        near = np.where(t < 1e-2, t, 0.0)
        # 1 - h by its series near zero, where the difference would cancel
        remainder = np.where(t < 1e-2, near / 2.0 - near**2 / 12.0 + near**4 / 720.0, 1.0 - h)
        s = remainder - t
        value = np.where(t > np.log(2.0), np.log1p(-np.exp(-t)), np.log(-np.expm1(-t)))
    return Jet(value, h, h * s, h * (s**2 - t - h * s)), Jet(-t, -t, -t, -t)
