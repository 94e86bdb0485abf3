"""The posterior density of a common kind of model in conditioned coordinates, with its gradient; compiled ahead.

What `graph.conditioned` writes as a graph for the sampler, for one predictor with group effects (and the wide blocks
of smooths), written out by hand, derivatives included: for the graph numba needs ten seconds per model, for this
file LLVM needs two, once on a machine (`bayesglmm.engines.translation`). `bayesglmm.engines.precompiled` packs a
model, `packed` says where things lie, and tests hold the result against the graph.

The forward pass is that of `graph.coordinates`: weights are integrated from fine blocks to coarse ones, residuals
run from coarse ones to fine ones. The backward pass runs both the other way round.
"""

from __future__ import annotations

import math

from bayesglmm.engines.kernels import conditioning, crossed_axes, packed
from bayesglmm.engines.kernels.conditioning import LARGE
from bayesglmm.engines.kernels.packed import (
    A_BAR,
    AXES,
    BLOCKS,
    COLUMNS,
    COR,
    COR_PLACES,
    COR_PRIOR,
    ETA,
    ETA_BAR,
    HELD_SDS,
    INDEX,
    LEVEL_BLOCKS,
    LEVELS,
    NORM,
    RESIDUAL,
    SD,
    SDS,
    TABLE,
    THETA,
    W_BAR,
    WIDTH,
    A,
    K,
    L,
    N,
    P,
    W,
    Z,
)
from bayesglmm.engines.kernels.positive_priors import on_log_scale
from bayesglmm.engines.kernels.row_densities import BINOMIAL, binomial_row, row
from bayesglmm.engines.translation.buffers import Floats, Ints

(X, BETA, ROOT, MEAN, PRECISION) = (packed.X, packed.BETA, packed.ROOT, packed.MEAN, packed.PRECISION)
(RESPONSE, WEIGHTS, OFFSET, Y, SIZE) = (packed.RESPONSE, packed.WEIGHTS, packed.OFFSET, packed.Y, packed.SIZE)
(HELD, START, PRIORS, FAMILY, DISPERSION) = (
    packed.HELD,
    packed.START,
    packed.PRIORS,
    packed.FAMILY,
    packed.DISPERSION,
)
(COEFFICIENTS, COEFFICIENTS_BAR, RESIDUAL_BAR) = (packed.COEFFICIENTS, packed.COEFFICIENTS_BAR, packed.RESIDUAL_BAR)
(Z_BETA, SCRATCH) = (packed.Z_BETA, packed.SCRATCH)
(HYPER_ROOT, RATE, DEPTH) = (packed.HYPER_ROOT, packed.RATE, packed.DEPTH)
(VALUES, SLOPES, CURVES) = (packed.VALUES, packed.SLOPES, packed.CURVES)


def unconstrained(q: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Hyperparameters on the unconstrained scale; return the log Jacobian. See `graph.hyper_coordinates`."""
    total, size = 0.0, ints[THETA]
    for j in range(size):
        x, rate, depth = 0.0, floats[ints[RATE] + j], floats[ints[DEPTH] + j]
        for i in range(j + 1):
            x += floats[ints[HYPER_ROOT] + j * size + i] * q[i]
        moved, slope, curve = rate * x, rate, 0.0
        if depth > 0.0:
            y = depth + rate * x
            tail = math.exp(-abs(y))
            p = (1.0 if y > 0.0 else tail) / (1.0 + tail)
            sd = max(y, 0.0) + math.log1p(tail)
            moved = math.log(sd / math.log1p(math.exp(depth)))
            slope = rate * p / sd
            total += math.log(p / sd)
            curve = rate * (1.0 - p - p / sd)
        a[ints[VALUES] + j] = floats[ints[START] + j] + moved
        a[ints[SLOPES] + j] = slope
        a[ints[CURVES] + j] = curve
    return total


def unconstrained_back(g: Floats, ints: Ints, floats: Floats, a: Floats) -> None:
    """Go back through `unconstrained`: the gradient in theta becomes that in its coordinates."""
    size = ints[THETA]
    for j in range(size):
        bar = g[j] * a[ints[SLOPES] + j] + a[ints[CURVES] + j]
        g[j] = 0.0
        for i in range(j + 1):
            g[i] += floats[ints[HYPER_ROOT] + j * size + i] * bar


def hyperparameters(g: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Log prior of theta but for correlations, on the unconstrained scale."""
    total = 0.0
    for j in range(ints[THETA]):
        at = ints[PRIORS] + 3 * j
        if floats[at] >= 0.0:
            t = a[ints[VALUES] + j]
            value, slope = on_log_scale(int(floats[at]), floats[at + 1], floats[at + 2], t)
            total += value
            g[j] += slope
    return total


def factors(t: int, level_block: bool, q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Standard deviations and Lambda of a block; return the log prior of its correlations.

    Rows of their Cholesky factor are (y, 1) / |(y, 1)|. The prior |R|^(eta - 1), the Jacobian of R -> L and that of
    L -> y make |(y, 1)|^-(k + 2 eta - 1) for each row but the first (Lewandowski, Kurowicka and Joe 2009).
    """
    k, total, cor = ints[t + K], 0.0, ints[t + COR]
    for i in range(k):
        at = ints[ints[t + SDS] + i]
        held = floats[ints[t + HELD_SDS] + i]
        a[ints[t + SD] + i] = held if at < 0 else math.exp(a[ints[VALUES] + at])
    if not level_block:
        return total
    for i in range(k):
        line, square = ints[t + L] + i * k, 1.0
        if cor >= 0:
            power = k + 2.0 * floats[ints[t + COR_PRIOR]] - 1.0
            for j in range(i):
                at = cor + ints[ints[t + COR_PLACES] + i * k + j]
                a[line + j] = a[ints[VALUES] + at]
                square += a[line + j] ** 2
            if i > 0:
                total -= 0.5 * power * math.log(square)
            for j in range(i):
                g[cor + ints[ints[t + COR_PLACES] + i * k + j]] -= power * a[line + j] / square
        norm = math.sqrt(square)
        a[ints[t + NORM] + i] = norm
        a[line + i] = 1.0
        for j in range(i + 1):
            a[line + j] /= norm
            a[ints[t + A] + i * k + j] = a[ints[t + SD] + i] * a[line + j]
    return total


def factors_back(t: int, g: Floats, ints: Ints, a: Floats) -> None:
    """Go back from Lambda = diag(sd) L to standard deviations and correlations."""
    k = ints[t + K]
    for i in range(k):
        line, along, sd = i * k, 0.0, a[ints[t + SD] + i]
        for j in range(i + 1):
            along += a[ints[t + A_BAR] + line + j] * a[ints[t + L] + line + j]
        at = ints[ints[t + SDS] + i]
        if at >= 0:
            g[at] += sd * along
        if ints[t + COR] >= 0:  # of v / |v| what lies along the row is lost
            for j in range(i):
                apart = a[ints[t + A_BAR] + line + j] - along * a[ints[t + L] + line + j]
                g[ints[t + COR] + ints[ints[t + COR_PLACES] + line + j]] += sd * apart / a[ints[t + NORM] + i]


def population(q: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Population coefficients, and what they add to eta; return their log prior."""
    n, p, total = ints[N], ints[P], 0.0
    beta = ints[COEFFICIENTS]
    for i in range(p):
        a[beta + i] = floats[ints[BETA] + i]
        for j in range(p):
            a[beta + i] += floats[ints[ROOT] + i * p + j] * q[ints[Z_BETA] + j]
    for i in range(p):
        for j in range(p):
            apart = (a[beta + i] - floats[ints[MEAN] + i]) * (a[beta + j] - floats[ints[MEAN] + j])
            total -= 0.5 * floats[ints[PRECISION] + i * p + j] * apart
    eta = ints[ETA]
    for j in range(p):
        at, value = ints[X] + j * n, a[beta + j]
        for r in range(n):
            a[eta + r] += floats[at + r] * value
    return total


def population_back(q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> None:
    """Go back through `population`; the adjoint of eta is that of all that these columns are part of."""
    n, p = ints[N], ints[P]
    beta, beta_bar = ints[COEFFICIENTS], ints[COEFFICIENTS_BAR]
    eta_bar = ints[ETA_BAR]
    for j in range(p):
        at, value = ints[X] + j * n, 0.0
        for r in range(n):
            value += floats[at + r] * a[eta_bar + r]
        a[beta_bar + j] += value  # beside what coordinates of a crossed block have put there
    for i in range(p):
        for j in range(p):
            apart = a[beta + j] - floats[ints[MEAN] + j]
            a[beta_bar + i] -= floats[ints[PRECISION] + i * p + j] * apart
    for j in range(p):
        for i in range(p):
            g[ints[Z_BETA] + j] += floats[ints[ROOT] + i * p + j] * a[beta_bar + i]


def wide(t: int, q: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """What a block with many columns adds to eta; return its log prior."""
    n, k, total = ints[N], ints[t + K], 0.0
    for r in range(n):
        z, at = ints[t + Z] + ints[ints[t + INDEX] + r] * k, ints[t + COLUMNS] + r * k
        for j in range(k):
            a[ints[ETA] + r] += floats[at + j] * a[ints[t + SD] + j] * q[z + j]
    for j in range(ints[t + LEVELS] * k):
        total -= 0.5 * q[ints[t + Z] + j] ** 2
    return total


def wide_back(t: int, q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> None:
    """Go back through `wide`."""
    n, k = ints[N], ints[t + K]
    for r in range(n):
        z, at = ints[t + Z] + ints[ints[t + INDEX] + r] * k, ints[t + COLUMNS] + r * k
        for j in range(k):
            value = floats[at + j] * a[ints[t + SD] + j] * a[ints[ETA_BAR] + r]
            g[z + j] += value
            place = ints[ints[t + SDS] + j]
            if place >= 0:
                g[place] += value * q[z + j]
    for j in range(ints[t + LEVELS] * k):
        g[ints[t + Z] + j] -= q[ints[t + Z] + j]


def binomial(ints: Ints, floats: Floats, a: Floats) -> float:
    """Log-likelihood of binomial rows; its derivatives in eta are kept.

    One logarithm of a product takes the place of many for binary rows, whose factors lie between one and two.
    """
    total, product = 0.0, 1.0
    for r in range(ints[N]):
        size = floats[ints[SIZE] + r]
        linear, tail, slope = binomial_row(floats[ints[Y] + r], size, a[ints[ETA] + r])
        total += linear
        a[ints[ETA_BAR] + r] = slope
        if size == 1.0:
            product *= 1.0 + tail
        else:
            total -= size * math.log1p(tail)
        if product > LARGE:
            total -= math.log(product)
            product = 1.0
    return total - math.log(product)


def likelihood(q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Log-likelihood; its derivatives in eta are kept, that of the dispersion goes to g."""
    code, at, total, phi_bar = ints[FAMILY], ints[DISPERSION], 0.0, 0.0
    phi = floats[ints[HELD]] if at < 0 else math.exp(a[ints[VALUES] + at])
    if code == BINOMIAL:
        return binomial(ints, floats, a)
    for r in range(ints[N]):
        y, size = floats[ints[Y] + r], floats[ints[SIZE] + r]
        value, slope, across = row(code, y, size, a[ints[ETA] + r], phi)
        total += value
        a[ints[ETA_BAR] + r] = slope
        phi_bar += across
    if at >= 0:
        g[at] += phi * phi_bar
    return total


def density(size: int, q: Floats, g: Floats, ints: Ints, floats: Floats, a: Floats) -> float:
    """Return the log posterior density at the point q of the sampler, up to a constant; fill its gradient.

    Parameters
    ----------
    size : int
        Length of a point.
    q, g : ndarray, shape (size,)
    ints : ndarray of int64
    floats : ndarray
        As `bayesglmm.engines.precompiled` packs them.
    a : ndarray
        Scratch.
    """
    n, levels, blocks, table = ints[N], ints[LEVEL_BLOCKS], ints[BLOCKS], ints[TABLE]
    for j in range(ints[SCRATCH]):
        a[j] = 0.0
    for j in range(size):
        g[j] = 0.0
    total = unconstrained(q, ints, floats, a) + hyperparameters(g, ints, floats, a) + population(q, ints, floats, a)
    for b in range(blocks):
        total += factors(table + b * WIDTH, b < levels, q, g, ints, floats, a)
        if b >= levels:
            total += wide(table + b * WIDTH, q, ints, floats, a)
    finest = table + (levels - 1) * WIDTH
    for r in range(n):
        a[ints[RESIDUAL] + r] = floats[ints[RESPONSE] + r] - a[ints[ETA] + r]
        a[ints[ETA] + r] += floats[ints[OFFSET] + r]
        a[ints[finest + W] + r] = floats[ints[WEIGHTS] + r]
    # A coarsest block that crosses others has coordinates of its own; the others are conditioned level by level.
    own = 1 if ints[table + AXES] >= 0 else 0
    coarsest = table + own * WIDTH
    for b in range(levels - own):
        t = finest - b * WIDTH
        conditioning.weigh(t, ints, floats, a, ints[t - WIDTH + W] if t > coarsest else -1)
    if own > 0:
        total += crossed_axes.draw(table, q, ints, floats, a)
    for b in range(own, levels):
        total += conditioning.draw(table + b * WIDTH, q, ints, floats, a)
    total += likelihood(q, g, ints, floats, a)
    for b in range(levels - own):
        conditioning.draw_back(finest - b * WIDTH, q, g, ints, floats, a)
    if own > 0:
        crossed_axes.draw_back(table, q, g, ints, floats, a)
        factors_back(table, g, ints, a)
    for b in range(own, levels):
        t = table + b * WIDTH
        conditioning.weigh_back(t, ints, floats, a, ints[t - WIDTH + W_BAR] if t > coarsest else -1)
        factors_back(t, g, ints, a)
    for r in range(n):
        a[ints[ETA_BAR] + r] -= a[ints[RESIDUAL_BAR] + r]
    for b in range(levels, blocks):
        wide_back(table + b * WIDTH, q, g, ints, floats, a)
    population_back(q, g, ints, floats, a)
    unconstrained_back(g, ints, floats, a)
    return total
