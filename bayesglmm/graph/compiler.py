"""How expressions are compiled here: for numpy, in a fraction of a second, without a C compiler or numba.

PyTensor searches for a BLAS to link C code with when it first compiles such code, which costs most of a second, and
warns if it finds none. Nothing here compiles C code, so neither happens unless a user does. A linker for Python is
not enough for that: operations with an inner graph (`pt.pad`, part of the transform of correlations) link it for C
where there is a compiler, which took 15 s for one model with slopes. So compilers are out of sight meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymc as pm
from pytensor.compile.mode import Mode
from pytensor.configdefaults import config
from pytensor.graph.rewriting.db import RewriteDatabaseQuery

# local_greedy_distributor fails on comparisons that are multiplied, and says so at length on stderr.
_LEFT_OUT = ["fusion", "inplace", "cxx_only", "BlasOpt", "local_greedy_distributor"]
# All rewrites that make expressions stable, none that only serve compiled code.
INTERPRETED = Mode(
    linker="py",
    optimizer=RewriteDatabaseQuery(include=["fast_run"], exclude=_LEFT_OUT),
)

# For derivatives of likelihoods: their expressions are stable as written, and flattening sums and products would make
# operations of more operands than Python mode takes (32).
UNREWRITTEN = Mode(linker="py", optimizer="merge")

# For expressions of a few numbers, where rewriting costs more than it saves.
SMALL = Mode(linker="py", optimizer=RewriteDatabaseQuery(include=["canonicalize", "stabilize"], exclude=["inplace"]))


_COMPILING = threading.RLock()  # PyTensor does not promise to compile in several threads at once


@contextmanager
def without_c() -> Iterator[None]:
    """Let PyTensor see no C compiler. The setting belongs to the process, so one thread at a time changes it."""
    with _COMPILING, config.change_flags(cxx=""):
        yield


def interpreted(inputs: Sequence[Any], outputs: Any, mode: Mode = INTERPRETED) -> Any:
    """Compile a function for numpy.

    Parameters
    ----------
    inputs : sequence of variable
        Those that no output needs are ignored.
    outputs : variable or sequence of variable
    mode : Mode
        One of this file.

    Returns
    -------
    callable
    """
    with without_c():
        return pm.compile(list(inputs), outputs, mode=mode, on_unused_input="ignore")


class compiled_once:
    """A property that compiles a function of numbers, once for all problems that share their compiled functions.

    Parameters
    ----------
    make : callable
        The method that compiles. What it makes may depend on anything of the object's `problem` but the values of the
        response.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = f"{owner.__name__}.{name}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the compiled function."""
        if instance is None:
            return self
        shared = instance.problem.shared
        if self.key not in shared:
            with _COMPILING:
                if self.key not in shared:
                    shared[self.key] = self.make(instance)
        return shared[self.key]
