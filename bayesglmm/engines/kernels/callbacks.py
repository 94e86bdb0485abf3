"""What nutpie calls: C functions of the density and of what a draw consists of. Importing this compiles them.

The first import on a machine takes some seconds; what was compiled is kept on disk.
"""

from __future__ import annotations

# numba infers types from what it is called with.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, attr-defined, call-arg, unreachable"
import contextlib
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic

from bayesglmm.engines.kernels.conditioned_density import SCRATCH, density

_DOUBLES = types.CPointer(types.double)
_SOURCES = (
    "callbacks",
    "conditioned_density",
    "conditioning",
    "crossed_axes",
    "packed",
    "positive_priors",
    "row_densities",
    "small_cholesky",
)


def _forget_old(folder: Path) -> None:
    """Remove compiled code that is older than one of the files: numba looks at a function's own file alone."""
    here = Path(__file__).parent
    newest = max((here / f"{name}.py").stat().st_mtime for name in _SOURCES)
    for name in _SOURCES:
        for index in folder.glob(f"{name}.*.nbi"):
            with contextlib.suppress(OSError):
                if index.stat().st_mtime < newest:
                    index.unlink()


_forget_old(Path(density.stats.cache_path))


@intrinsic
def _pointer(typing, address):
    """Return the address of an array as a pointer."""

    def build(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), build


@intrinsic
def _exchanged(typing, address, value):
    """Put a value at an address and return what was there, in one step that no other thread can come between."""

    def build(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("xchg", place, arguments[1], "acq_rel")

    return types.int64(address, types.int64), build


@cfunc(types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.CPointer(types.int64)), cache=True)
def log_density(size, point, gradient, value, data):
    """Evaluate. Returns 0 where all is finite.

    The data are address and length of the integers, then of the floats, address of the scratch, addresses and number
    of its slots: chains are threads, each takes a slot that is free, and new memory for every call costs more than
    the arithmetic of a small model.
    """
    where = carray(data, (7,))
    ints = carray(_pointer(where[0]), (where[1],), np.int64)
    floats = carray(_pointer(where[2]), (where[3],), np.float64)
    q, grad, out = carray(point, (size,)), carray(gradient, (size,)), carray(value, (1,))
    slot = 0
    while _exchanged(where[5] + 8 * slot, 1) != 0:
        slot = (slot + 1) % where[6]
    scratch = carray(_pointer(where[4] + 8 * slot * ints[SCRATCH]), (ints[SCRATCH],), np.float64)
    out[0] = density(q, grad, ints, floats, scratch)
    _exchanged(where[5] + 8 * slot, 0)
    if not np.isfinite(out[0]):
        return 4
    for j in range(len(grad)):
        if not np.isfinite(grad[j]):
            return 3
    return 0


@cfunc(types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.CPointer(types.int64)), cache=True)
def expanded(size, expanded_size, point, out, data):
    """Copy a point: everything else is computed after sampling."""
    for j in range(size):
        out[j] = point[j]
    return 0
