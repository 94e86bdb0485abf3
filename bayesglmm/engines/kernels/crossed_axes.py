"""Effects of a coarsest block along the axes on which they are independent, and the way back; compiled ahead.

What `graph.crossed` writes for arrays, as loops; buffers and offsets as in `conditioning`.
"""

from __future__ import annotations

import math

from bayesglmm.engines.kernels import packed
from bayesglmm.engines.kernels.conditioning import spread, spread_back
from bayesglmm.engines.kernels.packed import (
    A_BAR,
    AXES,
    EFFECT,
    EFFECT_BAR,
    INNOVATED,
    LEVELS,
    PULL,
    PULL_BAR,
    A,
    U,
    Z,
)
from bayesglmm.engines.translation.buffers import Floats, Ints

(P, BETA, COEFFICIENTS, COEFFICIENTS_BAR) = (packed.P, packed.BETA, packed.COEFFICIENTS, packed.COEFFICIENTS_BAR)


def draw(t: int, q: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Effects of the block from innovations; eta and residual get theirs. Return log density of u and Jacobian."""
    size, p, total, sd = ints[t + LEVELS], ints[P], 0.0, a[ints[t + A]]
    V = ints[t + AXES]
    D, pull, lean = V + size * size, V + size * size + size, V + size * size + 2 * size
    along, y, u, effect = ints[t + INNOVATED], ints[t + PULL], ints[t + U], ints[t + EFFECT]
    for j in range(size):
        value, precision = floats[pull + j], 1.0 + sd * sd * floats[D + j]
        for i in range(p):
            value -= floats[lean + j * p + i] * (a[ints[COEFFICIENTS] + i] - floats[ints[BETA] + i])
        a[y + j] = value
        a[along + j] = sd * value / precision + q[ints[t + Z] + j] / math.sqrt(precision)
        total -= 0.5 * math.log(precision) + 0.5 * a[along + j] ** 2
    for level in range(size):
        value, row = 0.0, V + level * size
        for j in range(size):
            value += floats[row + j] * a[along + j]
        a[u + level] = value
        a[effect + level] = sd * value
    spread(t, 1, ints, floats, a)
    return total


def draw_back(t: int, q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> None:
    """Go back through `draw`."""
    size, p, sd, sd_bar = ints[t + LEVELS], ints[P], a[ints[t + A]], 0.0
    V = ints[t + AXES]
    D, lean = V + size * size, V + size * size + 2 * size
    along, y, u = ints[t + INNOVATED], ints[t + PULL], ints[t + U]
    effect_bar, along_bar = ints[t + EFFECT_BAR], ints[t + PULL_BAR]
    spread_back(t, 1, ints, floats, a)
    for j in range(size):
        a[along_bar + j] = -a[along + j]
    for level in range(size):
        value, row = sd * a[effect_bar + level], V + level * size
        sd_bar += a[effect_bar + level] * a[u + level]
        for j in range(size):
            a[along_bar + j] += floats[row + j] * value
    for j in range(size):
        known, precision, z = floats[D + j], 1.0 + sd * sd * floats[D + j], q[ints[t + Z] + j]
        root, bar = math.sqrt(precision), a[along_bar + j]
        g[ints[t + Z] + j] += bar / root
        # d/d sd of sd / (1 + sd^2 D), of (1 + sd^2 D)^(-1/2) and of the Jacobian
        by_pull = (1.0 - sd * sd * known) / (precision * precision)
        sd_bar += bar * (a[y + j] * by_pull - z * sd * known / (precision * root)) - sd * known / precision
        for i in range(p):
            a[ints[COEFFICIENTS_BAR] + i] -= floats[lean + j * p + i] * bar * sd / precision
    a[ints[t + A_BAR]] += sd_bar
