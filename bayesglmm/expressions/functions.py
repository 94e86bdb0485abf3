"""The functions that may be applied to parameters: smooth ones, with three derivatives. An allow-list.

Each is written once against `ArrayMath` and once more as a jet; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.arraymath import ArrayMath
from bayesglmm.jets import Jet


@dataclass(frozen=True)
class SmoothFunction:
    """A function of one number.

    Attributes
    ----------
    name : str
        As R spells it.
    value : callable
        ``value(xp, x)``: numpy or PyTensor.
    jet : callable
        ``jet(x) -> Jet``: value and three derivatives, numpy.
    aliases : tuple of str
        Other spellings.
    """

    name: str
    value: Callable[[ArrayMath, Any], Any]
    jet: Callable[[Any], Jet]
    aliases: tuple[str, ...] = ()


def _exp(x: Any) -> Jet:
    e = np.exp(x)
    return Jet(e, e, e, e)


def _expm1(x: Any) -> Jet:
    e = np.exp(x)
    return Jet(np.expm1(x), e, e, e)


def _log(x: Any) -> Jet:
    r = 1.0 / x
    return Jet(np.log(x), r, -(r**2), 2.0 * r**3)


def _log1p(x: Any) -> Jet:
    return _log(1.0 + x)._replace(value=np.log1p(x))


def _sqrt(x: Any) -> Jet:
    root = np.sqrt(x)
    return Jet(root, 0.5 / root, -0.25 / root**3, 0.375 / root**5)


def _expit(x: Any) -> Jet:
    p, q = special.expit(x), special.expit(-x)
    d1 = p * q
    d2 = d1 * (q - p)
    return Jet(p, d1, d2, d2 * (q - p) - 2.0 * d1**2)


def _logit(p: Any) -> Jet:
    a, b = _log(p), _log(1.0 - p)
    return Jet(a.value - b.value, a.d1 + b.d1, a.d2 - b.d2, a.d3 + b.d3)


def _tanh(x: Any) -> Jet:
    inner = _expit(2.0 * x)
    return Jet(np.tanh(x), 4.0 * inner.d1, 8.0 * inner.d2, 16.0 * inner.d3)


def _sin(x: Any) -> Jet:
    s, c = np.sin(x), np.cos(x)
    return Jet(s, c, -s, -c)


def _cos(x: Any) -> Jet:
    s, c = np.sin(x), np.cos(x)
    return Jet(c, -s, -c, s)


def _arctan(x: Any) -> Jet:
    r = 1.0 / (1.0 + x**2)
    return Jet(np.arctan(x), r, -2.0 * x * r**2, (6.0 * x**2 - 2.0) * r**3)


def _normal(x: Any) -> Jet:
    density = np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi)
    return Jet(special.ndtr(x), density, -x * density, (x**2 - 1.0) * density)


def _scaled(jet: Callable[[Any], Jet], factor: float) -> Callable[[Any], Jet]:
    def run(x: Any) -> Jet:
        value, d1, d2, d3, _ = jet(x)
        return Jet(factor * value, factor * d1, factor * d2, factor * d3)

    return run


SMOOTH: Mapping[str, SmoothFunction] = {
    spelling: function
    for function in (
        SmoothFunction("exp", lambda xp, x: xp.exp(x), _exp),
        SmoothFunction("expm1", lambda xp, x: xp.expm1(x), _expm1),
        SmoothFunction("log", lambda xp, x: xp.log(x), _log, ("ln",)),
        SmoothFunction("log2", lambda xp, x: xp.log(x) / np.log(2.0), _scaled(_log, 1.0 / np.log(2.0))),
        SmoothFunction("log10", lambda xp, x: xp.log(x) / np.log(10.0), _scaled(_log, 1.0 / np.log(10.0))),
        SmoothFunction("log1p", lambda xp, x: xp.log1p(x), _log1p),
        SmoothFunction("sqrt", lambda xp, x: xp.sqrt(x), _sqrt),
        SmoothFunction("inv_logit", lambda xp, x: xp.expit(x), _expit, ("plogis", "expit", "logistic")),
        SmoothFunction("logit", lambda xp, p: xp.log(p) - xp.log1p(-p), _logit, ("qlogis",)),
        SmoothFunction("tanh", lambda xp, x: 1.0 - 2.0 * xp.expit(-2.0 * x), _tanh),
        SmoothFunction("sin", lambda xp, x: xp.sin(x), _sin),
        SmoothFunction("cos", lambda xp, x: xp.cos(x), _cos),
        SmoothFunction("atan", lambda xp, x: xp.arctan(x), _arctan, ("arctan",)),
        SmoothFunction("pnorm", lambda xp, x: xp.exp(xp.log_ndtr(x)), _normal, ("Phi",)),
        SmoothFunction("I", lambda xp, x: x, lambda x: Jet(x, np.ones_like(x), np.zeros_like(x), np.zeros_like(x))),
    )
    for spelling in (function.name, *function.aliases)
}

OPERATORS = ("+", "-", "*", "/", "^")
"""The infix operators that parameters may take part in."""


def power_jet(x: Any, exponent: float) -> Jet:
    """Return the jet of x^a; a derivative that vanishes identically is zero also where x is."""
    factor, parts = 1.0, []
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(4):
            parts.append(factor * x ** (exponent - k) if factor else np.zeros_like(x))
            factor *= exponent - k
    return Jet(*parts)
