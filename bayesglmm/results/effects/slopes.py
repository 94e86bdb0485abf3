"""Slopes: the derivative of predictions with respect to a number, by central differences."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import ModelWarning, SettingsError
from bayesglmm.results.draws import check_choice
from bayesglmm.results.effects.asked import Asked
from bayesglmm.results.effects.averages import Cells, Values, predicted_cells, remarks
from bayesglmm.results.effects.columns import ModelColumns
from bayesglmm.results.effects.comparisons import crossed, joined
from bayesglmm.results.effects.predictions import answer
from bayesglmm.results.effects.table import EffectTable
from bayesglmm.results.predict import Question, prepare

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

STEP = 1e-4  # standard deviations of the variable: the error of the difference is some 1e-8 of its size
KINK = 0.03  # difference of the slopes to both sides, relative to the largest slope, that is no curvature any more


def slopes(fit: Fit, variables: Any, step: float | None, asked: Asked) -> EffectTable:
    """Return slopes; see `Fit.slopes`."""
    check_choice("scale", asked.scale, ("response", "link"))
    model, (rows, question) = ModelColumns(fit), asked.settled(fit)
    names = _variables(model, rows, variables)
    steps = {name: _step(model, name, step) for name in names}
    found = asked.cells(fit, rows)
    arms = [moved(rows, name, side * steps[name]) for name in names for side in (-1.0, 1.0)]
    values = predicted_cells(fit, arms, found, question)
    widths = [2.0 * steps[name] for name in names]
    shown = Values(
        [_slopes(values.draws, widths)],
        [_slopes(values.point, widths)] if values.point else None,
        values.axis,
        values.said,
        values.chains,
    )
    doubts = [text for name in names if (text := _doubt(fit, rows, name, steps[name], found, question))]
    labels = crossed(pd.DataFrame({"variable": names}), found.labels)
    said = [f"Change per unit of {', '.join(names)}.", *doubts, *remarks(fit, rows)]
    return answer(fit, "slopes", found, shown, question, asked.prob, said, labels, null=0.0)


def _variables(model: ModelColumns, rows: pd.DataFrame, variables: Any) -> list[str]:
    if variables is None:
        variables = [name for name in model.predictors if not model.is_factor(name)]
        if not variables:
            raise SettingsError(
                "The model has no numeric predictor to take a slope of: fit.comparisons() does factors."
            )
    names = [variables] if isinstance(variables, str) else list(variables)
    for name in names:
        model.require(name, "variable")
        if model.is_factor(name):
            raise SettingsError(
                f"{name!r} is a factor and has no slope: fit.comparisons({name!r}) compares its levels."
            )
        if name not in rows:
            raise SettingsError(f"The rows have no column {name!r}.")
    return names


def _step(model: ModelColumns, name: str, step: float | None) -> float:
    if step is None:
        numbers = model.numbers(name)
        return STEP * (float(numbers.std(ddof=1)) or 1.0)
    if (
        isinstance(step, bool)
        or not isinstance(step, int | float | np.number)
        or not (np.isfinite(step) and step > 0)
    ):
        raise SettingsError(f"step must be a positive number, in units of the variable, not {step!r}.")
    return float(step)


def moved(rows: pd.DataFrame, name: str, by: float) -> pd.DataFrame:
    """Return rows with one column shifted."""
    return rows.assign(**{name: rows[name].astype(float) + by})


def _slopes(arms: list[Floats], widths: list[float]) -> Floats:
    found = [(high - low) / w for low, high, w in zip(arms[::2], arms[1::2], widths, strict=True)]
    return joined(found)


def _doubt(fit: Fit, rows: pd.DataFrame, name: str, step: float, found: Cells, question: Question) -> str:
    """Return a warning where the slope depends on the step: the prediction has a kink or a jump there.

    Judged row by row at the posterior mean of the parameters, by the slope to each side: where it is smooth, they
    differ by a step times the curvature.
    """
    plain = replace(question, seed=0, draws=None)
    values = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        for side in (-1.0, 0.0, 1.0):
            prepared = prepare(fit._evaluator, fit.point, fit.design, moved(rows, name, side * step), plain)
            part = slice(0, len(rows))
            values.append(np.asarray(prepared.values(part), dtype=float).reshape(len(rows), -1))
    left, right = (values[1] - values[0]) / step, (values[2] - values[1]) / step
    largest, rounding = float(np.max(np.abs([left, right]))), 1e-13 * float(np.max(np.abs(values))) / step
    jump = np.abs(right - left) > KINK * largest + rounding
    rough = jump.any(axis=1)
    if not rough.any():
        return ""
    text = (
        f"Predictions have a kink or jump along {name} in {int(rough.sum()):,} of {len(rows):,} rows: the slopes to "
        "the two sides differ, and what is reported is their mean. fit.comparisons() asks for a finite step."
    )
    warnings.warn(text, ModelWarning, stacklevel=4)
    return text
