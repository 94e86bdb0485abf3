"""Priors of priors: parameters of a prior distribution that are estimated, shared by all that one entry reaches.

``priors={"sd": Prior("HalfNormal", sigma=Prior("Exponential", lam=1))}`` gives all standard deviations of the model
one common scale (Gelman 2006, section 6; Gelman and Hill 2007, chapter 22). The scale is a free variable of the graph
and one of the hyperparameters theta: nothing but the prior density of the standard deviations depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm

from bayesglmm.graph.names import identifier
from bayesglmm.graph.slot import PriorTable
from bayesglmm.priors import Prior

type Shared = Mapping[tuple[str, str], Any]
"""Variables of such parameters by entry of ``priors=`` and name of the parameter."""


@dataclass(frozen=True)
class Hyperprior:
    """A parameter of a prior that has a prior itself.

    Attributes
    ----------
    name : str
        Variable of the graph.
    label : str
        What tables call it: ``prior[sd, sigma]``.
    prior : Prior
    """

    name: str
    label: str
    prior: Prior

    @property
    def start(self) -> float:
        """Where searches begin, on the unconstrained scale."""
        centre = self.prior.centre or 0.0
        return float(np.log(centre or 1.0)) if self.prior.support == "positive" else centre

    def declare(self) -> Any:
        """Return the free variable."""
        values = {name: np.float64(value) for name, value in self.prior.parameters.items()}
        return getattr(pm, self.prior.distribution)(self.name, **values)


def hyperpriors(table: PriorTable) -> dict[tuple[str, str], Hyperprior]:
    """Return the priors of priors of a model, by entry of ``priors=`` and name of the parameter."""
    found: dict[tuple[str, str], Hyperprior] = {}
    for slot in table:
        for parameter, prior in slot.prior.nested.items():
            if (slot.source, parameter) not in found:
                name = f"prior_{identifier(slot.source)}_{parameter}"
                taken = sum(own.name.startswith(name) for own in found.values())
                label = f"prior[{slot.source}, {parameter}]"
                found[slot.source, parameter] = Hyperprior(f"{name}_{taken + 1}" if taken else name, label, prior)
    return found
