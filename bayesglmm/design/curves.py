"""One smooth of a design alone, at new covariate values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.blocks import Block
from bayesglmm.design.frame import as_frame, select
from bayesglmm.design.predictors import PredictorPart
from bayesglmm.design.rebind import new_columns
from bayesglmm.errors import DataError, did_you_mean
from bayesglmm.terms import Smooth


def smooths(parts: Mapping[str, PredictorPart]) -> dict[str, tuple[Smooth, ...]]:
    """Return the smooths of every predictor, in the order of the formula."""
    return {name: tuple(s for term in part.specials for s in term.smooths) for name, part in parts.items()}


def curve(parts: Mapping[str, PredictorPart], parameter: str, label: str, data: Any) -> tuple[Block, ...]:
    """Return the blocks of one smooth at new covariate values; see `Design.curve`."""
    smooth, term = next((s, term) for term in parts[parameter].specials for s in term.smooths if s.label == label)
    frame = as_frame(data)
    needed = {*smooth.names, *(smooth.selectors if smooth.factor else ())}
    missing = sorted(needed - set(frame.columns))
    if missing:
        raise DataError(
            f"`{label}` is a function of {', '.join(map(repr, sorted(needed)))}, but the data lack "
            f"{', '.join(map(repr, missing))}. {did_you_mean(missing[0], frame.columns)}"
        )
    there = [name for name in frame.columns if name in needed or name in smooth.multipliers]
    return term.curve(label, new_columns(select(frame, there), set(there)))
