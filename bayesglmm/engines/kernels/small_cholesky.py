"""Cholesky factors of many small matrices, and how derivatives go back through them; compiled ahead.

Matrices are k x k with k of a few, stored row by row in a flat array from an offset on. ``x_bar`` is the adjoint of
x, the derivative of what is computed at last.
"""

from __future__ import annotations

import math

from bayesglmm.engines.translation.buffers import Floats


def factor(a: Floats, at: int, k: int) -> None:
    """Replace the lower triangle of a matrix at `at` by its Cholesky factor."""
    for i in range(k):
        for j in range(i + 1):
            value = a[at + i * k + j]
            for m in range(j):
                value -= a[at + i * k + m] * a[at + j * k + m]
            a[at + i * k + j] = math.sqrt(value) if i == j else value / a[at + j * k + j]


def forward(a: Floats, C: int, v: int, step: int, k: int) -> None:
    """Replace the vector at v, whose entries are `step` apart, by C^-1 v."""
    for i in range(k):
        value = a[v + i * step]
        for j in range(i):
            value -= a[C + i * k + j] * a[v + j * step]
        a[v + i * step] = value / a[C + i * k + i]


def backward(a: Floats, C: int, v: int, step: int, k: int) -> None:
    """Replace the vector at v, whose entries are `step` apart, by C^-T v."""
    for back in range(k):
        i = k - 1 - back
        value = a[v + i * step]
        for j in range(i + 1, k):
            value -= a[C + j * k + i] * a[v + j * step]
        a[v + i * step] = value / a[C + i * k + i]


def adjoint(a: Floats, C: int, C_bar: int, S: int, k: int) -> None:
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


def turned(a: Floats, A: int, v: int, out: int, k: int) -> None:
    """Write A' v to out, for a lower triangular A."""
    for j in range(k):
        value = 0.0
        for i in range(j, k):
            value += a[A + i * k + j] * a[v + i]
        a[out + j] = value


def applied(a: Floats, A: int, v: int, out: int, k: int) -> None:
    """Write A v to out, for a lower triangular A."""
    for i in range(k):
        value = 0.0
        for j in range(i + 1):
            value += a[A + i * k + j] * a[v + j]
        a[out + i] = value
