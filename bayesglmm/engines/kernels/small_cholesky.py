"""Cholesky factors of many small matrices, and how derivatives go back through them; compiled by numba, kept on disk.

Matrices are k x k with k of a few, stored row by row in a flat array from an offset on: views of arrays cost numba
more to compile than everything else here. ``x_bar`` is the adjoint of x, the derivative of what is computed at last.
"""

from __future__ import annotations

# numba infers types from what it is called with.
# mypy: disable-error-code="no-untyped-def"
import math
from typing import Any

from numba import njit

# Sums may be taken in another order than written, always the same one; infinities and NaN keep their meaning.
compiled: Any = njit(  # type: ignore[call-overload]
    cache=True, error_model="numpy", no_cpython_wrapper=True, fastmath={"reassoc", "contract", "arcp", "nsz"}
)


@compiled
def factor(a, at, k):
    """Replace the lower triangle of a matrix at `at` by its Cholesky factor."""
    for i in range(k):
        for j in range(i + 1):
            value = a[at + i * k + j]
            for m in range(j):
                value -= a[at + i * k + m] * a[at + j * k + m]
            a[at + i * k + j] = math.sqrt(value) if i == j else value / a[at + j * k + j]


@compiled
def forward(a, C, v, step, k):
    """Replace the vector at v, whose entries are `step` apart, by C^-1 v."""
    for i in range(k):
        value = a[v + i * step]
        for j in range(i):
            value -= a[C + i * k + j] * a[v + j * step]
        a[v + i * step] = value / a[C + i * k + i]


@compiled
def backward(a, C, v, step, k):
    """Replace the vector at v, whose entries are `step` apart, by C^-T v."""
    for back in range(k):
        i = k - 1 - back
        value = a[v + i * step]
        for j in range(i + 1, k):
            value -= a[C + j * k + i] * a[v + j * step]
        a[v + i * step] = value / a[C + i * k + i]


@compiled
def adjoint(a, C, C_bar, S, k):
    """Write to S the symmetric adjoint of P = C C' (tr(S dP) is the differential) from the lower one of C.

    S = C^-T Phi(C' C_bar) C^-1, made symmetric, with Phi the lower triangle and half the diagonal (Murray 2016,
    Differentiation of the Cholesky decomposition).
    """
    for i in range(k):
        for j in range(k):
            value = 0.0
            if j <= i:
                for m in range(i, k):
                    value += a[C + m * k + i] * a[C_bar + m * k + j]
            a[S + i * k + j] = 0.5 * value if i == j else value
    for j in range(k):  # C^-T from the left, column by column
        backward(a, C, S + j, k, k)
    for i in range(k):  # C^-1 from the right: each row by C^-T
        backward(a, C, S + i * k, 1, k)
    for i in range(k):
        for j in range(i):
            value = 0.5 * (a[S + i * k + j] + a[S + j * k + i])
            a[S + i * k + j] = value
            a[S + j * k + i] = value


@compiled
def turned(a, A, v, out, k):
    """Write A' v to out, for a lower triangular A."""
    for j in range(k):
        value = 0.0
        for i in range(j, k):
            value += a[A + i * k + j] * a[v + i]
        a[out + j] = value


@compiled
def applied(a, A, v, out, k):
    """Write A v to out, for a lower triangular A."""
    for i in range(k):
        value = 0.0
        for j in range(i + 1):
            value += a[A + i * k + j] * a[v + j]
        a[out + i] = value
