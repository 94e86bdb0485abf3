"""Prior slots of the correlation of residuals; tables show them under the group ``Residual``."""

from __future__ import annotations

from collections.abc import Callable

from bayesglmm.blocks import ResidualBlock
from bayesglmm.errors import PriorError
from bayesglmm.graph.slot import Slot
from bayesglmm.priors import Prior
from bayesglmm.residuals import RESIDUALS

RESIDUAL = "Residual"

type Fill = Callable[[Slot, str], Slot]


def residual_slots(block: ResidualBlock | None, fill: Fill) -> dict[str, tuple[Slot, ...]]:
    """Return the slots by class of parameter; none without such a correlation.

    Parameters
    ----------
    block : ResidualBlock or None
    fill : callable
        Puts the user's prior into a slot.
    """
    found: dict[str, tuple[Slot, ...]] = {}
    if block is None:
        return found
    for parameter in RESIDUALS.get(block.structure).parameters(block):
        head = parameter.name
        keys = (f"{head}[{RESIDUAL}]", head)
        if parameter.kind == "correlation":
            found[head] = (fill(Slot(keys, "correlation", Prior("LKJ", eta=2.0)), ""),)
            continue
        slots = []
        for j, component in enumerate(parameter.components):
            if parameter.prior is None:
                raise PriorError(f"{head}[{RESIDUAL}, {component}] has no default prior.")
            own = (f"{head}[{RESIDUAL}, {component}]", *keys)
            slots.append(fill(Slot(own, "vector", parameter.prior, bounds=parameter.bounds_of(j)), ""))
        found[head] = tuple(slots)
    return found
