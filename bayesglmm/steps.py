"""Metropolis kernels as step methods of PyMC, for code that samples by hand.

``with model.graph: pm.sample(step=bg.steps.BlockLaplace(model))`` runs the kernel of ``model.fit("metropolis")``
within PyMC's sampling loop. PyMC is imported when the first one is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesglmm.engines.steps import BlockLaplace, Iwls, RandomWalk

__all__ = ["BlockLaplace", "Iwls", "RandomWalk"]


def __getattr__(name: str) -> Any:
    """Return a step method; PyMC is imported now."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bayesglmm.engines import steps

    return getattr(steps, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
