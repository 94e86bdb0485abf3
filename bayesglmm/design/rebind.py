"""New data, coded as those of the model were coded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Predictor, Response
from bayesglmm.design.frame import as_frame, convert, infinite, select
from bayesglmm.design.needed import predictor_names, response_names
from bayesglmm.design.nonlinear import NonlinearPart, expression_names
from bayesglmm.design.predictors import PredictorPart
from bayesglmm.design.response import ResponseCoder
from bayesglmm.design.roles import offset_columns
from bayesglmm.errors import DataError, did_you_mean
from bayesglmm.formula import FormulaSpec
from bayesglmm.terms import Columns, Numeric
from bayesglmm.terms.group import NewLevels
from bayesglmm.terms.names import CONSTANTS


@dataclass(frozen=True, eq=False)
class Rebound:
    """New rows, ready for the graph of the model.

    Attributes
    ----------
    n : int
        Rows.
    predictors : mapping of str to Predictor
        As in `Design`; rows of levels not seen have the index -1.
    trials : ndarray, shape (n,), or None
        Binomial trials, where their columns are in the new data.
    new_levels : mapping of str to tuple of NewLevels
        By family parameter, for each group term: the levels that the model does not know.
    response : Response or None
        The left side, if it was asked for.
    weights : ndarray, shape (n,), or None
        The column of the model's `weights=`, where it is in the new data; unchecked.
    remarks : tuple of str
        What readers of predictions for these rows should know: where smooths are extrapolated.
    covariates : mapping of str to ndarray
        As in `Response`, of a nonlinear predictor.
    """

    n: int
    predictors: Mapping[str, Predictor]
    trials: Floats | None
    new_levels: Mapping[str, tuple[NewLevels, ...]]
    response: Response | None = None
    weights: Floats | None = None
    remarks: tuple[str, ...] = ()
    covariates: Mapping[str, Floats] = field(default_factory=dict)


def rebind(
    spec: FormulaSpec,
    parts: Mapping[str, PredictorPart],
    coder: ResponseCoder,
    data: Any,
    groups: bool = True,
    response: bool = False,
    weights: Floats | str | None = None,
    nonlinear: NonlinearPart | None = None,
) -> Rebound:
    """Code new data; see `Design.rebind`.

    Parameters
    ----------
    spec : FormulaSpec
    parts : mapping of str to PredictorPart
        What the model learned, by family parameter.
    coder : ResponseCoder
    data : DataFrame or mapping
    groups, response : bool
    weights : str, ndarray or None
        The model's argument: a column name is looked up in the new data.
    nonlinear : NonlinearPart, optional

    Raises
    ------
    DataError
        For columns that lack, missing values, and unknown levels.
    """
    frame = as_frame(data)
    there = set(frame.columns)
    needed = {name for p in spec.predictors.values() for name in predictor_names(p, groups)}
    needed |= set(expression_names(spec))
    left = set(response_names(spec)) | ({weights} if isinstance(weights, str) else set())
    needed |= left if response else set()
    needed -= CONSTANTS - there
    missing = sorted(needed - there)
    if missing:
        population = {name for p in spec.predictors.values() for name in predictor_names(p, factors=False)}
        population |= set(expression_names(spec))
        hint = did_you_mean(missing[0], there)
        if set(missing) <= offset_columns(spec):
            hint = (
                "The offset is computed from it. Add it, or give the offset: offset=0 predicts per unit of exposure "
                "where the offset is the log of one."
            )
        elif not set(missing) & population:
            hint = 'groups="typical", "new" and "average" predict without knowing the group.'
        raise DataError(f"The new data lack the column {', '.join(map(repr, missing))}, which the model uses. {hint}")
    chosen = select(frame, [name for name in frame.columns if name in needed | left])
    columns = new_columns(chosen, needed)
    held_weights = columns.values.get(weights) if isinstance(weights, str) else None
    trial_weights = held_weights.floats if isinstance(held_weights, Numeric) else None
    shared = {id(part): part.predictor("", columns, groups) for part in parts.values()}
    new: dict[str, tuple[NewLevels, ...]] = {}
    predictors: dict[str, Predictor] = {}
    for parameter, part in parts.items():
        held = shared[id(part)]
        predictors[parameter] = Predictor(parameter, held.n, held.fixed, held.random, held.offsets)
        new[parameter] = tuple(group.new_levels(columns) for group in part.groups) if groups else ()
    coded = coder.code(columns, trial_weights, None, []) if response else None
    covariates = {} if nonlinear is None else nonlinear.covariates(columns)
    coded = coded if coded is None else replace(coded, covariates=covariates)
    remarks = dict.fromkeys(
        said for part in parts.values() for term in part.specials for said in term.remarks(columns)
    )
    trials = coder.trials(columns, trial_weights)
    return Rebound(columns.n, predictors, trials, new, coded, trial_weights, tuple(remarks), covariates)


def new_columns(frame: Any, needed: set[str]) -> Columns:
    """Return new rows as columns; those that are needed hold neither missing nor infinite values."""
    values = {}
    rows = frame.index.to_numpy()
    for name in frame.columns:
        value, missing = convert(name, frame[name])
        inf = infinite(value)
        for bad, what in ((missing, "missing"), (inf, "infinite")):
            if bad is not None and bad.any() and name in needed:
                raise DataError(
                    f"The new data have {int(bad.sum()):,} {what} values in {name!r} "
                    f"(first: row {rows[np.argmax(bad)]}); every row needs a value for its prediction. "
                    "Drop or fill these rows."
                )
        values[name] = value
    return Columns(len(frame), values, rows)
