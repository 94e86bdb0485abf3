"""Prior slots of the parameters of a nonlinear predictor, and where searches for them start.

There are no default priors: nothing in the data says on which scale a parameter lives. The standard deviations of its
group effects have a default, since that scale is known once its own prior is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bayesglmm.blocks import Floats, Predictor
from bayesglmm.errors import PriorError
from bayesglmm.families.base import ResponseScale
from bayesglmm.graph.slot import Slot
from bayesglmm.priors import Prior

type Fill = Callable[[Slot, str], Slot]


def parameter_slots(
    name: str, predictor: Predictor, fill: Fill, start: float | None
) -> tuple[tuple[Slot, ...], ResponseScale]:
    """Return the slots of a parameter's population coefficients, and the scale that its group effects live on.

    Parameters
    ----------
    name : str
    predictor : Predictor
    fill : callable
        Puts the user's prior into a slot.
    start : float or None
        A typical value of the parameter, if the user gave one.

    Returns
    -------
    slots : tuple of Slot
        With starts.
    scale : ResponseScale
        Its spread is that of the prior of the intercept (of the widest prior, where there is none), so that default
        priors let groups differ by as much as their centre is uncertain.

    Raises
    ------
    PriorError
        Where there is neither a start nor a prior with a centre, or the start lies outside of the prior.
    """
    slots = []
    # The name alone means the level of the parameter: a prior for that does not suit slopes and differences.
    levels = "Intercept" not in predictor.columns
    for column, term in zip(predictor.columns, predictor.column_terms, strict=True):
        inner = () if column == "Intercept" else (f"{name}.{term}", f"{name}.fixed")
        keys = dict.fromkeys((f"{name}.{column}", *inner, *((name,) if levels or not inner else ())))
        slot = fill(Slot(tuple(keys), "coefficient", Prior("Flat")), "")
        slots.append(replace(slot, source="missing") if slot.source == "default" else slot)
    started = tuple(
        replace(slot, start=value) for slot, value in zip(slots, _starts(name, predictor, slots, start), strict=True)
    )
    spreads = [slot.prior.spread for slot in started]
    own = spreads[predictor.intercept] if predictor.intercept is not None else None
    known = [spread for spread in spreads if spread is not None]
    value = start if start is not None else max((abs(slot.start or 0.0) for slot in started), default=0.0)
    return started, ResponseScale(value, own or max(known, default=0.0) or 0.5 * abs(value) or 1.0)


def _starts(name: str, predictor: Predictor, slots: Sequence[Slot], start: float | None) -> Floats:
    """Return start values of the coefficients: with a start for the parameter, those that give it in every row."""
    centres = [slot.prior.centre for slot in slots]
    if start is None:
        for slot, centre in zip(slots, centres, strict=True):
            if centre is None:
                raise PriorError(
                    f"{slot.label} has neither a prior with a centre nor a start value, so a search cannot begin. "
                    f'Give it a prior, priors={{"{slot.keys[-1]}": bg.Prior("Normal", mu=..., sigma=...)}}, or for '
                    f"maximum likelihood a typical value: bg.nonlinear(..., start={{{name!r}: ...}})."
                )
        return np.array(centres, dtype=float)
    X = predictor.X
    held = np.array([slot.prior.distribution == "Fixed" for slot in slots], dtype=bool)
    found = np.array([centre if h else 0.0 for centre, h in zip(centres, held, strict=True)], dtype=float)
    target = start - X @ found - (0.0 if predictor.offset is None else predictor.offset)
    if predictor.intercept is not None and not held[predictor.intercept]:
        found[predictor.intercept] += float(np.mean(target))
    elif not held.all():
        found[~held] = np.linalg.lstsq(X[:, ~held], target, rcond=None)[0]
    for slot, value in zip(slots, found, strict=True):
        low, high = slot.prior.bounds
        if not low <= value <= high or (value in (low, high) and not slot.prior.distribution == "Fixed"):
            raise PriorError(
                f"start={{{name!r}: {start:g}}} puts {slot.label} at {value:.4g}, where its prior {slot.prior} has "
                "no mass."
            )
    return found
