"""The chain rule that turns derivatives in a mean (or its logarithm) into derivatives in eta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
