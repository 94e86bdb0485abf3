"""Group effects conditioned on a working response, and how derivatives go back through them; compiled ahead.

The pieces of `graph.coordinates` for one block of levels, as loops over rows and levels; `conditioned_density` puts
them together. Every function takes the three buffers of `packed` and the offset `t` of the block's row in the table;
the scratch is `a`. ``x_bar`` is the adjoint of x.
"""

from __future__ import annotations

import math

from bayesglmm.engines.kernels import packed
from bayesglmm.engines.kernels.packed import (
    A_BAR,
    C_BAR,
    COLUMNS,
    CROSS,
    CROSS_BAR,
    EFFECT,
    EFFECT_BAR,
    HALF,
    INDEX,
    INNOVATED,
    LEVELS,
    LOST,
    M_BAR,
    MOMENTS,
    PULL,
    PULL_BAR,
    SHARE_BAR,
    TOTAL,
    TOTAL_BAR,
    W_BAR,
    A,
    C,
    K,
    M,
    S,
    U,
    W,
    Z,
)
from bayesglmm.engines.kernels.small_cholesky import adjoint, applied, backward, factor, forward, turned
from bayesglmm.engines.translation.buffers import Floats, Ints

N = packed.N
TINY = 1e-300
LARGE = 1e200  # a product that has grown so far is replaced by its logarithm


def weigh(t: int, ints: Ints, floats: Floats, a: Floats, after: int) -> None:
    """Factors of the block, and the weights that are left after it, written at `after` unless that is negative."""
    if ints[t + K] == 1:  # the usual numbers of columns, as numbers: code without loops over them
        _weigh(t, 1, ints, floats, a, after)
    elif ints[t + K] == 2:
        _weigh(t, 2, ints, floats, a, after)
    else:
        _weigh(t, ints[t + K], ints, floats, a, after)


def draw(t: int, q: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Effects of the block from innovations; eta and residual get theirs. Return log density of u and Jacobian."""
    if ints[t + K] == 1:
        return _draw(t, 1, q, ints, floats, a)
    if ints[t + K] == 2:
        return _draw(t, 2, q, ints, floats, a)
    return _draw(t, ints[t + K], q, ints, floats, a)


def draw_back(t: int, q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> None:
    """Go back through `draw`; the residual becomes again what it was before the block."""
    if ints[t + K] == 1:
        _draw_back(t, 1, q, g, ints, floats, a)
    elif ints[t + K] == 2:
        _draw_back(t, 2, q, g, ints, floats, a)
    else:
        _draw_back(t, ints[t + K], q, g, ints, floats, a)


def weigh_back(t: int, ints: Ints, floats: Floats, a: Floats, after_bar: int) -> None:
    """Go back through `weigh`."""
    if ints[t + K] == 1:
        _weigh_back(t, 1, ints, floats, a, after_bar)
    elif ints[t + K] == 2:
        _weigh_back(t, 2, ints, floats, a, after_bar)
    else:
        _weigh_back(t, ints[t + K], ints, floats, a, after_bar)


def _weigh(t: int, k: int, ints: Ints, floats: Floats, a: Floats, after: int) -> None:
    moments(t, k, ints, floats, a)
    roots(t, k, ints, a)
    if after >= 0:
        integrated(t, k, ints, floats, a, after)


def _weigh_back(t: int, k: int, ints: Ints, floats: Floats, a: Floats, after_bar: int) -> None:
    if after_bar >= 0:
        integrated_back(t, k, ints, floats, a, after_bar)
    roots_back(t, k, ints, a)
    if ints[t + MOMENTS] < 0:  # the weights of the finest block are constants
        moments_back(t, k, ints, floats, a)


def moments(t: int, k: int, ints: Ints, floats: Floats, a: Floats) -> None:
    """Z' w Z by level, lower triangles; known beforehand for the finest block, whose weights are constants."""
    n, known = ints[N], ints[t + MOMENTS]
    if known >= 0:
        for j in range(ints[t + LEVELS] * k * k):
            a[ints[t + M] + j] = floats[known + j]
        return
    index, columns, w, out = ints[t + INDEX], ints[t + COLUMNS], ints[t + W], ints[t + M]
    for r in range(n):
        at = out + ints[index + r] * k * k
        for i in range(k):
            value = a[w + r] * floats[columns + i * n + r]
            for j in range(i + 1):
                a[at + i * k + j] += value * floats[columns + j * n + r]


def roots(t: int, k: int, ints: Ints, a: Floats) -> None:
    """Cholesky factors of P = I + A' M A by level."""
    f, half = ints[t + A], ints[t + HALF]
    for level in range(ints[t + LEVELS]):
        m, c = ints[t + M] + level * k * k, ints[t + C] + level * k * k
        for i in range(k):
            for j in range(k):
                value = 0.0
                for l in range(j, k):
                    value += a[m + max(i, l) * k + min(i, l)] * a[f + l * k + j]
                a[half + i * k + j] = value
        for i in range(k):
            for j in range(i + 1):
                value = 1.0 if i == j else 0.0
                for l in range(i, k):
                    value += a[f + l * k + i] * a[half + l * k + j]
                a[c + i * k + j] = value
        factor(a, c, k)


def integrated(t: int, k: int, ints: Ints, floats: Floats, a: Floats, after: int) -> None:
    """Weights that rows keep once the block is integrated out, written at `after`."""
    n, w = ints[N], ints[t + W]
    index, columns, v = ints[t + INDEX], ints[t + COLUMNS], ints[t + CROSS_BAR]
    for r in range(n):
        level = ints[index + r]
        a[ints[t + TOTAL] + level] += a[w + r]
        for i in range(k):
            a[ints[t + CROSS] + level * k + i] += a[w + r] * floats[columns + i * n + r]
    for level in range(ints[t + LEVELS]):
        turned(a, ints[t + A], ints[t + CROSS] + level * k, v, k)
        forward(a, ints[t + C] + level * k * k, v, 1, k)
        lost = 0.0
        for i in range(k):
            lost += a[v + i] ** 2
        a[ints[t + LOST] + level] = lost
    for r in range(n):
        level = ints[index + r]
        a[after + r] = a[w + r] * (1.0 - a[ints[t + LOST] + level] / (a[ints[t + TOTAL] + level] + TINY))


def _draw(t: int, k: int, q: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    n, w, total, pivots = ints[N], ints[t + W], 0.0, 1.0
    index, columns, effect = ints[t + INDEX], ints[t + COLUMNS], ints[t + EFFECT]
    residual = ints[packed.RESIDUAL]
    for r in range(n):
        value, at = a[w + r] * a[residual + r], ints[t + PULL] + ints[index + r] * k
        for i in range(k):
            a[at + i] += value * floats[columns + i * n + r]
    for level in range(ints[t + LEVELS]):
        c, s, u = ints[t + C] + level * k * k, ints[t + INNOVATED] + level * k, ints[t + U] + level * k
        turned(a, ints[t + A], ints[t + PULL] + level * k, s, k)
        forward(a, c, s, 1, k)
        for i in range(k):
            a[s + i] += q[ints[t + Z] + level * k + i]
            a[u + i] = a[s + i]
            pivots *= a[c + i * k + i]
        if pivots > LARGE:
            total -= math.log(pivots)
            pivots = 1.0
        backward(a, c, u, 1, k)
        for i in range(k):
            total -= 0.5 * a[u + i] ** 2
        applied(a, ints[t + A], u, effect + level * k, k)
    spread(t, k, ints, floats, a)
    return total - math.log(pivots)


def spread(t: int, k: int, ints: Ints, floats: Floats, a: Floats) -> None:
    """Give eta and residual of every row the effects of its level."""
    n, columns = ints[N], ints[t + COLUMNS]
    index, effect, residual, eta = ints[t + INDEX], ints[t + EFFECT], ints[packed.RESIDUAL], ints[packed.ETA]
    for r in range(n):
        added, at = 0.0, effect + ints[index + r] * k
        for i in range(k):
            added += floats[columns + i * n + r] * a[at + i]
        a[eta + r] += added
        a[residual + r] -= added


def spread_back(t: int, k: int, ints: Ints, floats: Floats, a: Floats) -> None:
    """Go back through `spread`."""
    n, columns = ints[N], ints[t + COLUMNS]
    index, r_bar, eta_bar = ints[t + INDEX], ints[packed.RESIDUAL_BAR], ints[packed.ETA_BAR]
    for r in range(n):
        apart, at = a[eta_bar + r] - a[r_bar + r], ints[t + EFFECT_BAR] + ints[index + r] * k
        for i in range(k):
            a[at + i] += apart * floats[columns + i * n + r]


def _draw_back(t: int, k: int, q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> None:
    n, w, w_bar = ints[N], ints[t + W], ints[t + W_BAR]
    index, columns, effect = ints[t + INDEX], ints[t + COLUMNS], ints[t + EFFECT]
    residual, r_bar = ints[packed.RESIDUAL], ints[packed.RESIDUAL_BAR]
    spread_back(t, k, ints, floats, a)
    for level in range(ints[t + LEVELS]):
        _level_back(t, k, level, q, g, ints, a)
    for r in range(n):
        along, added, at = 0.0, 0.0, ints[index + r] * k
        for i in range(k):
            column = floats[columns + i * n + r]
            added += column * a[effect + at + i]
            along += column * a[ints[t + PULL_BAR] + at + i]
        a[residual + r] += added
        a[r_bar + r] += a[w + r] * along
        a[w_bar + r] += a[residual + r] * along


def _level_back(t: int, k: int, level: int, q: Floats, g: Floats, ints: Ints, a: Floats) -> None:
    """Go back through the effects of one level."""
    f, f_bar = ints[t + A], ints[t + A_BAR]
    c, c_bar = ints[t + C] + level * k * k, ints[t + C_BAR] + level * k * k
    s, u, z = ints[t + INNOVATED] + level * k, ints[t + U] + level * k, ints[t + Z] + level * k
    b_bar, pull = ints[t + EFFECT_BAR] + level * k, ints[t + PULL] + level * k
    v, y = ints[t + HALF], ints[t + S]
    turned(a, f, b_bar, v, k)
    for i in range(k):
        for j in range(i + 1):
            a[f_bar + i * k + j] += a[b_bar + i] * a[u + j]
        a[v + i] -= a[u + i]
    forward(a, c, v, 1, k)
    for i in range(k):
        g[z + i] += a[v + i]
        a[y + i] = a[v + i]
    backward(a, c, y, 1, k)
    for i in range(k):
        for j in range(i + 1):
            a[c_bar + i * k + j] -= a[u + i] * a[v + j] + a[y + i] * (a[s + j] - q[z + j])
            a[f_bar + i * k + j] += a[pull + i] * a[y + j]
        a[c_bar + i * k + i] -= 1.0 / a[c + i * k + i]
    applied(a, f, y, ints[t + PULL_BAR] + level * k, k)


def integrated_back(t: int, k: int, ints: Ints, floats: Floats, a: Floats, after_bar: int) -> None:
    """Go back through `integrated`."""
    n, w, w_bar = ints[N], ints[t + W], ints[t + W_BAR]
    index, columns, v, y = ints[t + INDEX], ints[t + COLUMNS], ints[t + HALF], ints[t + S]
    total, lost = ints[t + TOTAL], ints[t + LOST]
    for r in range(n):
        level = ints[index + r]
        a[w_bar + r] += a[after_bar + r] * (1.0 - a[lost + level] / (a[total + level] + TINY))
        a[ints[t + SHARE_BAR] + level] += a[after_bar + r] * a[w + r]
    for level in range(ints[t + LEVELS]):
        c, c_bar = ints[t + C] + level * k * k, ints[t + C_BAR] + level * k * k
        mass, share_bar = a[total + level] + TINY, a[ints[t + SHARE_BAR] + level]
        a[ints[t + TOTAL_BAR] + level] = share_bar * a[lost + level] / (mass * mass)
        turned(a, ints[t + A], ints[t + CROSS] + level * k, v, k)
        forward(a, c, v, 1, k)
        for i in range(k):
            a[y + i] = -2.0 * a[v + i] * share_bar / mass
        backward(a, c, y, 1, k)
        for i in range(k):
            for j in range(i + 1):
                a[c_bar + i * k + j] -= a[y + i] * a[v + j]
                a[ints[t + A_BAR] + i * k + j] += a[ints[t + CROSS] + level * k + i] * a[y + j]
        applied(a, ints[t + A], y, ints[t + CROSS_BAR] + level * k, k)
    for r in range(n):
        level = ints[index + r]
        a[w_bar + r] += a[ints[t + TOTAL_BAR] + level]
        for i in range(k):
            a[w_bar + r] += floats[columns + i * n + r] * a[ints[t + CROSS_BAR] + level * k + i]


def roots_back(t: int, k: int, ints: Ints, a: Floats) -> None:
    """Go back through `roots`; the adjoints of the moments are full symmetric matrices."""
    f, half, s = ints[t + A], ints[t + HALF], ints[t + S]
    for level in range(ints[t + LEVELS]):
        m, m_bar = ints[t + M] + level * k * k, ints[t + M_BAR] + level * k * k
        adjoint(a, ints[t + C] + level * k * k, ints[t + C_BAR] + level * k * k, s, k)
        for i in range(k):  # half = A S
            for j in range(k):
                value = 0.0
                for l in range(i + 1):
                    value += a[f + i * k + l] * a[s + l * k + j]
                a[half + i * k + j] = value
        for i in range(k):
            for j in range(i + 1):
                value = 0.0
                for l in range(k):
                    value += a[m + max(i, l) * k + min(i, l)] * a[half + l * k + j]
                a[ints[t + A_BAR] + i * k + j] += 2.0 * value
            for j in range(k):
                value = 0.0
                for l in range(j + 1):
                    value += a[half + i * k + l] * a[f + j * k + l]
                a[m_bar + i * k + j] = value


def moments_back(t: int, k: int, ints: Ints, floats: Floats, a: Floats) -> None:
    """Go back through `moments`."""
    n, index, columns = ints[N], ints[t + INDEX], ints[t + COLUMNS]
    for r in range(n):
        at, value = ints[t + M_BAR] + ints[index + r] * k * k, 0.0
        for i in range(k):
            for j in range(k):
                value += floats[columns + i * n + r] * a[at + i * k + j] * floats[columns + j * n + r]
        a[ints[t + W_BAR] + r] += value
