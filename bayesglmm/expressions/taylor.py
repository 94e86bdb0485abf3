"""Taylor polynomials of third order in several variables, row by row: exact derivatives by arithmetic, in numpy.

Forward-mode differentiation (Griewank and Walther 2008, chapter 13): sums, products and smooth functions of truncated
Taylor polynomials are again such polynomials, so an expression that is evaluated on them yields its derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.jets import Jet


@dataclass(frozen=True, eq=False)
class Taylor:
    """A function of P variables at each of n rows, with its derivatives.

    Attributes
    ----------
    value : ndarray, shape (n,)
    d1 : ndarray, shape (P, n)
    d2 : ndarray, shape (P, P, n)
    d3 : ndarray, shape (P, P, P, n), or None where nobody asked for it
    """

    value: Floats
    d1: Floats
    d2: Floats
    d3: Floats | None = None

    __array_ufunc__ = None  # numpy arrays leave the arithmetic to this class

    def __neg__(self) -> Taylor:
        return Taylor(-self.value, -self.d1, -self.d2, None if self.d3 is None else -self.d3)

    def __add__(self, other: Any) -> Taylor:
        if not isinstance(other, Taylor):
            return Taylor(np.asarray(self.value + other), self.d1, self.d2, self.d3)
        d3 = None if self.d3 is None or other.d3 is None else self.d3 + other.d3
        return Taylor(self.value + other.value, self.d1 + other.d1, self.d2 + other.d2, d3)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Taylor:
        negative: Any = -other
        return self.__add__(negative)

    def __rsub__(self, other: Any) -> Taylor:
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> Taylor:
        if not isinstance(other, Taylor):
            return Taylor(
                self.value * other, self.d1 * other, self.d2 * other, None if self.d3 is None else self.d3 * other
            )
        f, g = self, other
        cross = f.d1[:, None] * g.d1[None]
        d2 = f.d2 * g.value + g.d2 * f.value + cross + cross.swapaxes(0, 1)
        d3 = None
        if f.d3 is not None and g.d3 is not None:
            d3 = f.d3 * g.value + g.d3 * f.value + _thrice(f.d2, g.d1) + _thrice(g.d2, f.d1)
        return Taylor(f.value * g.value, f.d1 * g.value + g.d1 * f.value, d2, d3)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Taylor:
        return self.__mul__(other.reciprocal() if isinstance(other, Taylor) else 1.0 / np.asarray(other))

    def __rtruediv__(self, other: Any) -> Taylor:
        return self.reciprocal().__mul__(other)

    def reciprocal(self) -> Taylor:
        """Return 1 / self."""
        inverse = 1.0 / self.value
        return self.through(Jet(inverse, -(inverse**2), 2.0 * inverse**3, -6.0 * inverse**4))

    def through(self, outer: Jet) -> Taylor:
        """Return f(self), given the jet of f at `value`."""
        d1 = self.d1
        d2 = outer.d1 * self.d2 + outer.d2 * (d1[:, None] * d1[None])
        d3 = None
        if self.d3 is not None:
            cube = d1[:, None, None] * d1[None, :, None] * d1[None, None]
            d3 = outer.d1 * self.d3 + outer.d2 * _thrice(self.d2, d1) + outer.d3 * cube
        return Taylor(np.asarray(outer.value), outer.d1 * d1, d2, d3)


def variables(values: Floats, third: bool) -> list[Taylor]:
    """Return the variables themselves as polynomials.

    Parameters
    ----------
    values : ndarray, shape (P, n)
    third : bool
        Whether third derivatives are carried along.
    """
    P, n = values.shape
    found = []
    for j, value in enumerate(values):
        d1 = np.zeros((P, n))
        d1[j] = 1.0
        found.append(Taylor(value, d1, np.zeros((P, P, n)), np.zeros((P, P, P, n)) if third else None))
    return found


def constant(value: Any, like: Floats, third: bool) -> Taylor:
    """Return what does not depend on the variables; `like`, shape (P, n), says how many of them there are."""
    P, n = like.shape
    zeros = np.zeros((P, P, P, n)) if third else None
    return Taylor(np.broadcast_to(np.asarray(value, dtype=float), (n,)), np.zeros((P, n)), np.zeros((P, P, n)), zeros)


def _thrice(second: Floats, first: Floats) -> Floats:
    """Return the sum of second_ab first_c over the three ways to choose c, shape (P, P, P, n)."""
    product = second[:, :, None] * first[None, None]
    return np.asarray(product + product.swapaxes(1, 2) + product.swapaxes(0, 2))
