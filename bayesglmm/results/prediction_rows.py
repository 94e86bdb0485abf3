"""The rows of a prediction: those of the model, or new ones, with the levels and offsets that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats, OffsetBlock, Predictor, RandomBlock, Response
from bayesglmm.design.frame import as_frame
from bayesglmm.errors import DataError, SettingsError, UnknownNameError, did_you_mean
from bayesglmm.results.levels import KNOWN_OR_NEW, NEW, THESE, require_known
from bayesglmm.results.protocols import NewRows, Rebindable
from bayesglmm.results.schema import row_labels

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows to predict.

    Attributes
    ----------
    predictors : mapping of str to Predictor
        Levels that the model has not seen have negative numbers, each its own.
    response : Response
        With the trials and weights that apply to them.
    labels : array, shape (n,)
    notes : tuple of str
        Sentences about what is predicted.
    remarks : tuple of str
        Sentences that warn: where smooths are extrapolated.
    """

    predictors: Mapping[str, Predictor]
    response: Response
    labels: Any
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def own_rows(problem: Problem, offset: Any = None) -> Rows:
    """Return the rows that the model used."""
    predictors = {part.names.parameter: part.predictor for part in problem.predictors}
    replaced, notes = with_offset(problem, predictors, offset)
    return Rows(replaced, problem.response, row_labels(problem), notes)


def new_rows(
    evaluator: Evaluator,
    design: Rebindable | None,
    new: Any,
    chosen: Mapping[str, str],
    scale: str,
    offset: Any = None,
) -> Rows:
    """Return new rows.

    Parameters
    ----------
    evaluator : Evaluator
    design : Rebindable or None
        What codes them.
    new : DataFrame or mapping
    chosen : mapping of str to str
        Whose effects are meant, as `levels.choices` made it.
    scale : {"response", "link", "outcome"}
    offset : number, array of shape (n,), or mapping of str to these, optional
        Instead of the offsets that the formula computes.

    Raises
    ------
    DataError
        For columns that lack, and levels that the model has not seen where their own effects are asked for.
    """
    if design is None:
        raise DataError("This fit does not hold the design that new data need; only its own rows can be predicted.")
    problem = evaluator.problem
    frame = as_frame(new)
    if offset is not None:
        frame = _without_offset_columns(problem, design, frame, offset)
    needed = _needs_groups(design, frame, chosen)
    rows = design.rebind(_with_idle_groups(design, frame, chosen) if needed else frame, groups=needed)
    require_known(problem, rows, chosen)
    labels = new.index.to_numpy() if isinstance(new, pd.DataFrame) else np.arange(rows.n)
    predictors, said = with_offset(problem, numbered(rows), offset)
    response, notes = _response(problem, rows, labels, scale)
    return Rows(predictors, response, labels, (*said, *notes), rows.remarks)


def _needs_groups(design: Rebindable, frame: pd.DataFrame, chosen: Mapping[str, str]) -> bool:
    """Return whether levels are read: where they must be, and where new ones are told apart by them."""
    words = set(chosen.values())
    return bool(words & {THESE, KNOWN_OR_NEW}) or (NEW in words and design.roles.groups <= set(frame.columns))


def _with_idle_groups(design: Rebindable, frame: pd.DataFrame, chosen: Mapping[str, str]) -> pd.DataFrame:
    """Return new data whose absent grouping factors hold any level, where no question is about it."""
    lacking: dict[str, Any] = {}
    for name in design.roles.groups - design.roles.population - set(frame.columns):
        words = {word for group, word in chosen.items() if name in group.split(":")}
        if words and not words & {THESE, KNOWN_OR_NEW}:
            lacking[name] = design.data[name].dropna().iloc[0]
    return frame.assign(**lacking) if lacking else frame


def numbered(rows: NewRows) -> dict[str, Predictor]:
    """Return the predictors; of levels that the model has not seen each has a negative number of its own."""
    found = {}
    for name, predictor in rows.predictors.items():
        unknown = iter(rows.new_levels.get(name, ()))
        blocks = []
        for block in predictor.random:
            levels = next(unknown, None) if block.kind == "group" else None
            if levels is not None and np.shape(levels.index) == np.shape(block.index):
                block = replace(block, index=np.where(levels.index >= 0, -1 - levels.index, block.index))
            blocks.append(block)
        found[name] = replace(predictor, random=tuple(blocks))
    return found


def with_offset(
    problem: Problem, predictors: Mapping[str, Predictor], offset: Any
) -> tuple[dict[str, Predictor], tuple[str, ...]]:
    """Return the predictors with offsets as given, and a sentence that says so.

    Parameters
    ----------
    problem : Problem
    predictors : mapping of str to Predictor
    offset : number, array of shape (n,), mapping of str to these, or None
        On the scale of the linear predictor; a mapping is by family parameter, else it is that of the main formula.

    Raises
    ------
    SettingsError
        If it is not numbers, or there is no offset to replace.
    """
    if offset is None:
        return dict(predictors), ()
    given = _by_parameter(problem, predictors, offset)
    found = dict(predictors)
    for name, value in given.items():
        numbers = _numbers(value, found[name].n)
        found[name] = replace(found[name], offsets=(OffsetBlock("offset=", numbers),))
    texts = {name: f"{float(value):g}" if np.ndim(value) == 0 else "as given" for name, value in given.items()}
    if len(set(texts.values())) == 1 and not {name for name in found if found[name].offsets} - set(texts):
        return found, (f"The offset is {next(iter(texts.values()))}, not computed from the data.",)
    shown = ", ".join(f"that of {name} is {text}" for name, text in texts.items()).removeprefix("that ")
    return found, (f"The offset {shown}, not computed from the data.",)


def _by_parameter(problem: Problem, predictors: Mapping[str, Predictor], offset: Any) -> dict[str, Any]:
    having = [name for name, predictor in predictors.items() if predictor.offsets]
    if not having:
        raise SettingsError("offset= replaces the offset of the formula, and this formula has no offset(...) term.")
    if isinstance(offset, Mapping):
        for name in offset:
            if name not in having:
                raise UnknownNameError(f"offset: {name!r} has no offset. {did_you_mean(str(name), having)}")
        return dict(offset)
    main = [name for name in having if name in problem.family.main_predictors(problem.response)]
    return dict.fromkeys(main or having, offset)


def _numbers(value: Any, n: int) -> Floats:
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if numbers.shape not in ((), (n,)) or not np.isfinite(numbers).all():
        raise SettingsError(
            f"offset must be a finite number, or one for each of the {n} rows, on the scale of the linear predictor: "
            "offset=0, offset=np.log(1000)."
        )
    return np.broadcast_to(numbers, n).copy()


def _without_offset_columns(problem: Problem, design: Rebindable, frame: pd.DataFrame, offset: Any) -> pd.DataFrame:
    """Return new data whose offset columns hold any valid number where they lack: their offsets are given."""
    parameters = {part.names.parameter for part in problem.predictors if part.predictor.offsets}
    if isinstance(offset, Mapping) and not parameters <= set(offset):
        return frame
    lacking = [name for name in design.roles.offsets if name not in frame.columns]
    data = design.data
    return frame.assign(**{name: data[name].dropna().iloc[0] for name in lacking})


def _response(problem: Problem, rows: NewRows, labels: Any, scale: str) -> tuple[Response, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    trials = rows.trials
    if trials is None and problem.response.trials is not None:
        trials = np.ones(rows.n)
        if scale == "outcome":
            notes = ("The new data do not say how many trials there are: outcomes are of one trial each.",)
    weights = None if problem.response.weights is None else np.ones(rows.n)
    if weights is not None and scale == "outcome":  # nothing else depends on them
        if rows.weights is None:
            notes = ("The new data do not have the precision weights: outcomes are of weight 1 each.",)
        else:
            weights = _checked_weights(rows.weights, labels)
    response = Response(
        problem.response.name,
        np.zeros(rows.n),
        trials=trials,
        categories=problem.response.categories,
        weights=weights,
        covariates=rows.covariates,
    )
    return response, notes


def _checked_weights(weights: Floats, labels: Any) -> Floats:
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        i = int(np.argmax(bad))
        raise DataError(
            f"The precision weights of new rows must be positive and finite; row {labels[i]} has {weights[i]:g}."
        )
    return weights


def drawn(predictors: Mapping[str, Predictor], chosen: Mapping[str, str], n: int) -> Any:
    """Return which rows use effects of levels that are drawn, shape (n,); their predictions are no plain number."""
    found = np.zeros(n, dtype=bool)
    for block in (block for predictor in predictors.values() for block in predictor.random):
        word = _word(block, chosen)
        unknown = (block.index < 0).reshape(n, -1).any(axis=1)
        found |= (word == NEW) | ((word == KNOWN_OR_NEW) & unknown)
    return found


def _word(block: RandomBlock, chosen: Mapping[str, str]) -> str:
    return chosen[block.group] if block.kind == "group" else THESE
