"""Predictions on a grid, or averaged over the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesglmm.results.effects.asked import Asked
from bayesglmm.results.effects.averages import Cells, Values, predicted_cells, remarks
from bayesglmm.results.effects.grid import GRID
from bayesglmm.results.effects.table import EffectTable, effect_table
from bayesglmm.results.predict import Question
from bayesglmm.results.scales import scale_words
from bayesglmm.results.schema import ESTIMATES

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit


def predictions(fit: Fit, asked: Asked) -> EffectTable:
    """Return predictions; see `Fit.predictions`."""
    rows, question = asked.settled(fit)
    found = asked.cells(fit, rows)
    values = predicted_cells(fit, [rows], found, question)
    return answer(fit, "predictions", found, values, question, asked.prob, remarks(fit, rows))


def answer(
    fit: Fit,
    asked: str,
    found: Cells,
    values: Values,
    question: Question,
    prob: float,
    said: list[str],
    labels: pd.DataFrame | None = None,
    **about: Any,
) -> EffectTable:
    """Return the table of values, which says what was asked.

    Parameters
    ----------
    fit : Fit
    asked : str
        Name of the question: ``"predictions"``.
    found : Cells
    values : Values
        With one arm: what is shown.
    question : Question
    prob : float
    said : list of str
        Further sentences.
    labels : DataFrame, optional
        Of the rows, where they are not those of the cells.
    **about
        For `attrs`.
    """
    held = found.rows.attrs.get(GRID, {}).get("held", {})
    assert fit.design is not None  # rows could not be made without it
    unused = set() if question.offset is None else fit.design.roles.offsets
    shown = {name: value for name, value in held.items() if name not in {*found.labels, *unused}}
    fixed = [f"Held: {', '.join(f'{name} = {_text(value)}' for name, value in shown.items())}."] if shown else []
    sentences = [values.said, found.said, *fixed, *said]
    names = list(found.labels.columns)
    attrs = {
        "note": " ".join(sentence for sentence in sentences if sentence),
        "question": asked,
        "of": _of(fit, question.scale, values),
        **question.attrs,
        "columns": names,
        "held": {name: _plain(value) for name, value in held.items()},
        **about,
    }
    return effect_table(
        found.labels if labels is None else labels,
        values.draws[0],
        values.point[0] if values.point else None,
        values.axis,
        values.chains,
        prob,
        attrs,
        ESTIMATES in fit.data.children,
    )


def _of(fit: Fit, scale: str, values: Values) -> str:
    """Return what the numbers are, for the axis of a figure."""
    response, main = fit.problem.response, fit.problem.family.main_predictors(fit.problem.response)
    if scale == "link":
        return scale_words(fit.problem, main[0]).plain
    if values.axis is not None:
        return f"probability of {response.name}"
    whole = response.trials is not None or len(response.categories) == 2
    return f"probability of {response.name}" if scale == "response" and whole else f"{_WHAT[scale]} {response.name}"


_WHAT = {"response": "expected", "outcome": "future"}


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
