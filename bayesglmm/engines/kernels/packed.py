"""Where things lie in the three flat buffers of a packed model: integers, floats, and scratch for one evaluation.

`ints` begins with a head, whose entries are sizes and offsets, and holds a table with a row for every block: level
blocks first, coarse before fine, then the wide blocks of smooths. Everything else is found from there. One place for
whoever packs (`bayesglmm.engines.precompiled`) and whoever reads (`conditioned_density`).
"""

from __future__ import annotations

# Sizes: rows, population coefficients, level blocks, all blocks, hyperparameters; then the code of the row's density,
# the dispersion's place in theta (-1: held), and where the innovations of the population coefficients start.
(N, P, LEVEL_BLOCKS, BLOCKS, THETA, FAMILY, DISPERSION, Z_BETA, TABLE) = range(9)
# Offsets into the floats: columns of the population coefficients, one after the other, their centre and root, prior
# mean and precision; working response and weights; offset, response, trials (or weights); the held dispersion; the
# start of theta, and code and two parameters of the prior of each of its entries (code -1: none here).
(X, BETA, ROOT, MEAN, PRECISION, RESPONSE, WEIGHTS, OFFSET, Y, SIZE, HELD, START, PRIORS) = range(9, 22)
# Offsets into the scratch, and its length.
(COEFFICIENTS, COEFFICIENTS_BAR, ETA, ETA_BAR, RESIDUAL, RESIDUAL_BAR, SCRATCH) = range(22, 29)
# Coordinates of the hyperparameters (`graph.hyper_coordinates`), in the floats; values on the unconstrained scale,
# their derivatives, and derivatives of the logarithms of these, in the scratch.
(HYPER_ROOT, RATE, DEPTH) = range(29, 32)
(VALUES, SLOPES, CURVES) = range(32, 35)
HEAD = 35

# A row of the table: columns and levels; where the levels of the rows (integers) and the columns (floats) are: column
# by column for a level block, row by row for a wide one; places of the standard deviations in theta (integers; -1 for
# held ones) and the held values; where correlations start in theta (-1: none), their places in the Cholesky factor
# (integers), the parameter of their LKJ prior; where the innovations start.
(K, LEVELS, INDEX, COLUMNS, SDS, HELD_SDS, COR, COR_PLACES, COR_PRIOR, Z) = range(10)
# Scratch of a block: standard deviations and lengths of the rows of the correlations' factor, k each; L, Lambda and
# its adjoint, two working matrices, k x k each.
(SD, NORM, L, A, A_BAR, S, HALF) = range(10, 17)
# Of every level: moments, roots and their adjoints, k x k each; vectors of k; single numbers. Of every row: weights.
(M, C, M_BAR, C_BAR) = range(17, 21)
(PULL, INNOVATED, U, EFFECT, CROSS, PULL_BAR, EFFECT_BAR, CROSS_BAR) = range(21, 29)
(TOTAL, LOST, TOTAL_BAR, SHARE_BAR) = range(29, 33)
(W, W_BAR) = range(33, 35)
# Offsets into the floats, -1 where there are none: moments of the finest block, which are constants; coordinates of a
# coarsest block that crosses others (`graph.crossed`): V, D, y-hat, R, one after the other.
(MOMENTS, AXES) = range(35, 37)
WIDTH = 37
