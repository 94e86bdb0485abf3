"""Prior slots: a scalar parameter with its prior, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bayesglmm.errors import PriorError
from bayesglmm.priors import Prior

type Kind = Literal["coefficient", "scale", "correlation", "dispersion"]


@dataclass(frozen=True)
class Slot:
    """One scalar parameter (or one correlation matrix) that takes a prior.

    Attributes
    ----------
    keys : tuple of str
        Keys of ``priors=`` that reach it, the most specific first.
    kind : {"coefficient", "scale", "correlation", "dispersion"}
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
    """

    keys: tuple[str, ...]
    kind: Kind
    prior: Prior
    source: str = "default"
    domain: str = "real"
    centred: bool = False
    start: float | None = None

    @property
    def label(self) -> str:
        """The most specific key."""
        return self.keys[0]


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
    """

    coefficients: Mapping[str, tuple[Slot, ...]]
    blocks: Mapping[str, tuple[Mapping[str, tuple[Slot, ...]], ...]]
    dispersions: Mapping[str, Slot]
    spread: float = 1.0
    spreads: Mapping[str, float] = field(default_factory=dict)

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
        yield from self.dispersions.values()
