"""Prior slots: a scalar parameter with its prior, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesglmm.errors import PriorError
from bayesglmm.priors import Prior

if TYPE_CHECKING:
    from bayesglmm.covariances import CovarianceParameter

type Kind = Literal["coefficient", "normal", "scale", "vector", "correlation", "dispersion"]

_RANGES = {"real": (-np.inf, np.inf), "positive": (0.0, np.inf), "unit": (0.0, 1.0)}


@dataclass(frozen=True)
class Slot:
    """One scalar parameter (or one correlation matrix) that takes a prior.

    Attributes
    ----------
    keys : tuple of str
        Keys of ``priors=`` that reach it, the most specific first.
    kind : {"coefficient", "normal", "scale", "vector", "correlation", "dispersion"}
    prior : Prior
        The default, or what the user gave.
    source : str
        ``"default"``, the key that the user gave, ``"flat"``, or ``"missing"`` where there is no default.
    domain : {"real", "positive", "unit"}
        Of a dispersion.
    centred : bool
        The default intercept prior sits at the centre of the predictors; an explicit one on the user's intercept.
    start : float or None
        Where searches start, of parameters of a nonlinear predictor; None: where the prior has its centre.
    bounds : tuple of (float, float)
        Of an entry of a vector.
    """

    keys: tuple[str, ...]
    kind: Kind
    prior: Prior
    source: str = "default"
    domain: str = "real"
    centred: bool = False
    start: float | None = None
    bounds: tuple[float, float] = (-np.inf, np.inf)

    @property
    def label(self) -> str:
        """The most specific key."""
        return self.keys[0]

    @property
    def range(self) -> tuple[float, float]:
        """Where the parameter lies whatever its prior."""
        return self.bounds if self.kind == "vector" else _RANGES["positive" if self.kind == "scale" else self.domain]

    @property
    def reach(self) -> tuple[float, float]:
        """Where the prior lets an entry of a vector be: within its bounds, and those of a bounded prior."""
        low, high = self.prior.bounds if self.prior.support == "bounded" else self.bounds
        return max(low, self.bounds[0]), min(high, self.bounds[1])


def covariance_slots(
    parameter: CovarianceParameter, head: str, group: str, prior: Callable[[int], Prior], also: tuple[str, ...] = ()
) -> list[Slot]:
    """Return the slots of one class of parameters of a covariance structure: of its entries, or of one matrix.

    Parameters
    ----------
    parameter : CovarianceParameter
    head : str
        The class as keys have it: ``sd``, ``sigma.sd``.
    group : str
        The word in brackets.
    prior : callable
        Default prior of entry j; correlation matrices have LKJ(2).
    also : tuple of str
        Keys between those of one entry and that of the group.
    """
    own = f"{head}[{group}]"
    if parameter.kind == "correlation":
        return [Slot((*also, own, head), "correlation", Prior("LKJ", eta=2.0))]
    kind: Kind = "scale" if parameter.kind == "scale" else "vector"
    slots = []
    for j, component in enumerate(parameter.components):
        # Of one standard deviation for all columns there is no more to say than its group.
        keys = (own, head) if component == group else (f"{head}[{group}, {component}]", *also, own, head)
        slots.append(Slot(keys, kind, prior(j), bounds=parameter.bounds_of(j)))
    return slots


@dataclass(frozen=True)
class PriorTable:
    """The prior of every parameter of a model.

    Attributes
    ----------
    coefficients : mapping of str to tuple of Slot
        By family parameter, one slot per fixed column.
    blocks : mapping of str to tuple
        By family parameter, for each random block a mapping from parameter class to its slots.
    dispersions : mapping of str to Slot
        Parameters without a formula.
    spread : float
        Standard deviation of the response on the link scale that the defaults were scaled with.
    spreads : mapping of str to float
        The same for the parameters of a nonlinear predictor: how far a priori each may lie from its centre.
    residual : mapping of str to tuple of Slot
        By class, the parameters of the correlation of residuals.
    """

    coefficients: Mapping[str, tuple[Slot, ...]]
    blocks: Mapping[str, tuple[Mapping[str, tuple[Slot, ...]], ...]]
    dispersions: Mapping[str, Slot]
    spread: float = 1.0
    spreads: Mapping[str, float] = field(default_factory=dict)
    residual: Mapping[str, tuple[Slot, ...]] = field(default_factory=dict)

    def require(self) -> None:
        """Raise `PriorError` if a parameter has no prior: then there is no posterior."""
        missing = [slot for slot in self if slot.source == "missing"]
        if missing:
            keys = dict.fromkeys(slot.keys[-1] for slot in missing)
            example = ", ".join(f'"{key}": bg.Prior("Normal", mu=..., sigma=...)' for key in keys)
            raise PriorError(
                "Parameters of a nonlinear predictor have no default priors, since only you know their scales; there "
                f"are none for {', '.join(slot.label for slot in missing)}. Write priors={{{example}}}, or fit by "
                'maximum likelihood: model.fit("laplace", objective="ml").'
            )

    def __iter__(self) -> Any:
        for slots in self.coefficients.values():
            yield from slots
        for blocks in self.blocks.values():
            for block in blocks:
                for slots in block.values():
                    yield from slots
        for slots in self.residual.values():
            yield from slots
        yield from self.dispersions.values()
