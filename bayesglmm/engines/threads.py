"""How many threads the linear algebra may use: one, where matrices are small."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from threadpoolctl import ThreadpoolController

from bayesglmm.graph.problem import Problem

# Below so many columns, waking threads costs more than they save: a Cholesky factor of 400 columns took 128 ms
# with as many threads as cores on a busy machine, and 0.8 ms with one.
_WORTH_THREADS = 2000


def suitable_threads(problem: Problem) -> AbstractContextManager[Any]:
    """Return a context in which BLAS uses one thread, unless the problem has wide matrices to factor.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    context manager
        At its end the number of threads is what it was.
    """
    blocks = problem.latent.blocks
    sizes = [len(block.block.levels) * len(block.block.terms) for block in blocks]
    columns = sum(sizes) + sum(len(part.predictor.columns) for part in problem.predictors)
    # The levels of the largest grouping factor are eliminated one by one; what is dense is among the rest.
    levels = [size for size, block in zip(sizes, blocks, strict=True) if len(block.block.levels) > 1]
    if columns - max(levels, default=0) >= _WORTH_THREADS:
        return nullcontext()
    limited: AbstractContextManager[Any] = ThreadpoolController().limit(limits=1, user_api="blas")
    return limited
