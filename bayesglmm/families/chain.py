"""The chain rule that turns derivatives in a mean (or its logarithm) into derivatives in eta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.families.base import Derivatives
from bayesglmm.jets import Jet


class Mixed(NamedTuple):
    """Derivatives that involve one dispersion phi: l_phi, l_{v phi} and l_{v v phi}, where v is the inner value."""

    first: Any
    slope: Any
    curvature: Any


def chain(value: Floats, outer: tuple[Any, ...], inner: Jet, mixed: Mapping[str, Mixed] | None = None) -> Derivatives:
    """Return the derivatives of l(v(eta)).

    Parameters
    ----------
    value : ndarray, shape (n,)
        l itself.
    outer : tuple
        First and second, at order 2 also third derivative of l in v.
    inner : Jet
        v and its derivatives in eta.
    mixed : mapping, optional
        Per dispersion the derivatives that involve it.
    """
    mixed = mixed or {}
    first = {name: m.first for name, m in mixed.items()}
    l1, l2, *rest = outer
    if inner.linear:
        slope = {name: m.slope for name, m in mixed.items()}
        curvature = {name: m.curvature for name, m in mixed.items()}
        return Derivatives(value, l1, l2, rest[0] if rest else None, first, slope, curvature)
    v1, v2, v3 = inner.d1, inner.d2, inner.d3
    d3 = rest[0] * v1**3 + 3.0 * l2 * v1 * v2 + l1 * v3 if rest else None
    slope = {name: m.slope * v1 for name, m in mixed.items()}
    curvature = {name: m.curvature * v1**2 + m.slope * v2 for name, m in mixed.items()}
    return Derivatives(value, l1 * v1, l2 * v1**2 + l1 * v2, d3, first, slope, curvature)


class UnitMean(NamedTuple):
    """A log-likelihood in a = mu phi and b = (1 - mu) phi: A(a) + B(b) + has_a log a + has_b log b + C(phi).

    Attributes
    ----------
    a, b : tuple
        First, second (and third) derivative of A and of B.
    has_a, has_b : ndarray or float
        0 or 1: whether log a and log b enter.
    constant : ndarray or float
        C'(phi).
    """

    a: tuple[Any, ...]
    b: tuple[Any, ...]
    has_a: Any
    has_b: Any
    constant: Any


def chain_unit(value: Floats, parts: UnitMean, jets: tuple[Jet, Jet], phi: Any, order: int) -> Derivatives:
    """Return the derivatives in eta, given the jets of log mu and log(1 - mu).

    mu' = mu (log mu)' and so on give the jet of mu itself, for A and B; the logarithms are chained by their own jets.
    """
    p, q = jets
    mu, complement = np.exp(p.value), np.exp(q.value)
    inner = Jet(mu, mu * p.d1, mu * (p.d2 + p.d1**2), mu * (p.d3 + 3.0 * p.d1 * p.d2 + p.d1**3))
    outer = [
        phi ** (k + 1) * (x + (-1.0) ** (k + 1) * z) for k, (x, z) in enumerate(zip(parts.a, parts.b, strict=True))
    ]
    mixed = {}
    if order == 2:
        (a1, a2, a3), (b1, b2, b3) = parts.a, parts.b
        change = mu * a1 + complement * b1 + (parts.has_a + parts.has_b) / phi + parts.constant
        slope = a1 - b1 + phi * (mu * a2 - complement * b2)
        curvature = 2.0 * phi * (a2 + b2) + phi**2 * (mu * a3 + complement * b3)
        mixed["phi"] = Mixed(change, slope, curvature)
    smooth = chain(value, tuple(outer), inner, mixed)
    return smooth._replace(
        d1=smooth.d1 + parts.has_a * p.d1 + parts.has_b * q.d1,
        d2=smooth.d2 + parts.has_a * p.d2 + parts.has_b * q.d2,
        d3=None if order == 1 else smooth.d3 + parts.has_a * p.d3 + parts.has_b * q.d3,
    )
