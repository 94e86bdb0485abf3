"""What nutpie calls: C functions of the density and of what a draw consists of, as machine code.

On a machine where they were never used they are compiled, which takes LLVM a second; they are kept on disk.
"""

from __future__ import annotations

import math
import sys
from functools import cache

from bayesglmm.engines.kernels import (
    conditioned_density,
    conditioning,
    crossed_axes,
    packed,
    positive_priors,
    row_densities,
    small_cholesky,
)
from bayesglmm.engines.kernels.conditioned_density import density
from bayesglmm.engines.translation.buffers import Floats, Ints, exchanged, floats_at, ints_at
from bayesglmm.engines.translation.library import Library, Machine

NOT_FINITE, GRADIENT_NOT_FINITE = 4, 3


def log_density(size: int, point: Floats, gradient: Floats, value: Floats, data: Ints) -> int:
    """Evaluate. Returns 0 where all is finite.

    The data are addresses of the integers, the floats and the scratch, length of a slot of scratch, address of who
    takes which slot, and number of slots: chains are threads, each takes a slot that is free, and new memory for
    every call costs more than the arithmetic of a small model.
    """
    ints, floats, taken, slot = ints_at(data[0]), floats_at(data[1]), ints_at(data[4]), 0
    while exchanged(taken, slot, 1) != 0:
        slot = slot + 1 if slot + 1 < data[5] else 0
    scratch = floats_at(data[2] + 8 * slot * data[3])
    value[0] = density(size, point, gradient, ints, floats, scratch)
    exchanged(taken, slot, 0)
    if not math.isfinite(value[0]):
        return NOT_FINITE
    for j in range(size):
        if not math.isfinite(gradient[j]):
            return GRADIENT_NOT_FINITE
    return 0


def expanded(size: int, expanded_size: int, point: Floats, out: Floats, data: Ints) -> int:
    """Copy a point: everything else is computed after sampling."""
    for j in range(size):
        out[j] = point[j]
    return 0


LIBRARY = Library(
    (log_density, expanded),
    (
        sys.modules[__name__],
        conditioned_density,
        conditioning,
        crossed_axes,
        packed,
        positive_priors,
        row_densities,
        small_cholesky,
    ),
)


@cache
def machine() -> Machine:
    """Return both functions as machine code, compiled if they are not on disk; they stay for the whole process."""
    return LIBRARY.load()
