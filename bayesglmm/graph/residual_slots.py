"""Prior slots of the correlation of residuals; tables show them under the group ``Residual``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bayesglmm.blocks import ResidualBlock
from bayesglmm.covariances import CovarianceParameter
from bayesglmm.errors import PriorError
from bayesglmm.graph.slot import Slot, covariance_slots
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
        slots = covariance_slots(parameter, parameter.name, RESIDUAL, partial(_prior, parameter))
        found[parameter.name] = tuple(fill(slot, "") for slot in slots)
    return found


def _prior(parameter: CovarianceParameter, j: int) -> Prior:
    if parameter.prior is None:  # nothing says on which scale it would lie
        raise PriorError(f"{parameter.name}[{RESIDUAL}, {parameter.components[j]}] has no default prior.")
    return parameter.prior
