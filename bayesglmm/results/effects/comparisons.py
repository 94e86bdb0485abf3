"""Comparisons: what changing one variable does to predictions, as difference, ratio or odds ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.results.draws import check_choice
from bayesglmm.results.effects.asked import Asked
from bayesglmm.results.effects.averages import Cells, Values, predicted_cells, remarks
from bayesglmm.results.effects.columns import ModelColumns
from bayesglmm.results.effects.grid import DATA, GRID
from bayesglmm.results.effects.predictions import answer
from bayesglmm.results.effects.table import EffectTable
from bayesglmm.results.predict import Question
from bayesglmm.results.scales import scale_words

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

KINDS = ("difference", "ratio", "odds ratio")
_OF_FACTORS = ("reference", "pairwise", "sequential")
_OF_NUMBERS = ("sd", "iqr", "ends")


class Pair(NamedTuple):
    """Two versions of the rows.

    Attributes
    ----------
    variable : str
    label : str
        ``"b - a"``, ``"+1"``.
    low, high : DataFrame
    """

    variable: str
    label: str
    low: pd.DataFrame
    high: pd.DataFrame


def comparisons(fit: Fit, variables: Any, contrast: Any, kind: str, asked: Asked) -> EffectTable:
    """Return comparisons; see `Fit.comparisons`."""
    check_choice("kind", kind, KINDS)
    check_choice("scale", asked.scale, ("response", "link"))
    model, (rows, question) = ModelColumns(fit), asked.settled(fit)
    parts = []
    for name, own in _variables(model, variables, contrast).items():
        kept = _without_copies(rows, name, own, model)
        pairs = pairs_of(model, kept, name, own, kind)
        parts.append(_compared(fit, pairs, kind, asked.cells(fit, kept), question))
    labels = pd.concat([part.labels for part in parts], ignore_index=True)
    first = parts[0]
    if len(parts) > 1:  # columns that vary for some variables only
        labels = labels.astype(object).where(labels.notna(), "")
    draws = [joined([part.values.draws[0] for part in parts])]
    point = [joined([part.values.point[0] for part in parts if part.values.point])] if first.values.point else None
    compared = replace(first.values, draws=draws, point=point)
    of_averages = " Averaged first, then compared." if first.cells.said and kind != KINDS[0] else ""
    more = [f"{_about(fit, kind, question.scale)}{of_averages}", *remarks(fit, rows)]
    shown = first.cells if len(parts) == 1 else replace(first.cells, rows=rows, labels=labels.iloc[:, 2:])
    return answer(fit, "comparisons", shown, compared, question, asked.prob, more, labels, kind=kind, null=null(kind))


class Part(NamedTuple):
    """The comparisons of one variable.

    Attributes
    ----------
    labels : DataFrame
    values : Values
    cells : Cells
    """

    labels: pd.DataFrame
    values: Values
    cells: Cells


def _compared(fit: Fit, pairs: Sequence[Pair], kind: str, found: Cells, question: Question) -> Part:
    """Return the comparisons that the pairs of one variable make."""
    values = predicted_cells(fit, [arm for pair in pairs for arm in (pair.low, pair.high)], found, question)
    require_kind(fit, kind, question.scale, values)

    def compared(arms: Sequence[Floats]) -> list[Floats]:
        two_by_two = zip(arms[::2], arms[1::2], strict=True)
        return [joined([compare(low, high, kind, question.scale) for low, high in two_by_two])]

    names = pd.DataFrame([(pair.variable, pair.label) for pair in pairs], columns=["variable", "contrast"])
    point = compared(values.point) if values.point else None
    return Part(crossed(names, found.labels), replace(values, draws=compared(values.draws), point=point), found)


def _without_copies(rows: pd.DataFrame, name: str, contrast: Any, model: ModelColumns) -> pd.DataFrame:
    """Return a grid that says nothing of a variable that is given two values anyway."""
    about = rows.attrs.get(GRID)
    steps = not model.is_factor(name) and not isinstance(contrast, tuple | list) and contrast not in ("iqr", "ends")
    two = contrast is None and len(model.distinct(name)) == 2
    if about is None or about["base"] == DATA or (steps and not two):
        return rows
    if name in about["varied"]:
        others = [column for column in rows if column != name]
        kept = rows.drop_duplicates(others).reset_index(drop=True) if others else rows.head(1)
    else:
        kept = rows.copy()
    varied = [column for column in about["varied"] if column != name]
    held = {column: value for column, value in about["held"].items() if column != name}
    kept.attrs = {GRID: about | {"varied": varied, "held": held}}
    return kept


def _variables(model: ModelColumns, variables: Any, contrast: Any) -> dict[str, Any]:
    """Return the contrast of every variable that is asked for."""
    if isinstance(variables, Mapping):
        if contrast is not None:
            raise SettingsError("contrast= is for one variable; the mapping of variables has the contrasts already.")
        found = dict(variables)
    else:
        if variables is None:
            variables = list(model.predictors)
        found = dict.fromkeys([variables] if isinstance(variables, str) else list(variables), contrast)
    if not found:
        raise SettingsError("There is no variable to change: the model has no predictors.")
    for name in found:
        model.require(str(name), "variable")
    return found


def pairs_of(model: ModelColumns, rows: pd.DataFrame, name: str, contrast: Any, kind: str) -> list[Pair]:
    """Return the versions of the rows that a contrast of one variable compares."""
    sign = "-" if kind == KINDS[0] else "/"

    def pair(low: Any, high: Any) -> Pair:
        versions = [
            rows.assign(**{name: model.column(name, [v] * len(rows)).set_axis(rows.index)}) for v in (low, high)
        ]
        return Pair(name, f"{_text(high)} {sign} {_text(low)}", versions[0], versions[1])

    if isinstance(contrast, tuple | list):
        if len(contrast) != 2:
            raise SettingsError(f"{name}: contrast={contrast!r} is a pair (from, to).")
        return [pair(*model.checked(name, list(contrast)))]
    distinct = model.distinct(name)
    if model.is_factor(name):
        check_choice(f"contrast of {name!r}", contrast or "reference", _OF_FACTORS)
        if contrast == "pairwise":
            return [pair(*two) for two in combinations(distinct, 2)]
        if contrast == "sequential":
            return [pair(*two) for two in pairwise(distinct)]
        return [pair(distinct[0], level) for level in distinct[1:]]
    if contrast is None and len(distinct) == 2:  # of an indicator, what lies beyond means nothing
        return [pair(*distinct)]
    numbers = model.numbers(name)
    if contrast == "iqr":
        return [pair(*np.quantile(numbers, [0.25, 0.75]))]
    if contrast == "ends":
        return [pair(numbers.min(), numbers.max())]
    step = float(numbers.std(ddof=1)) if contrast == "sd" else 1.0 if contrast is None else contrast
    if isinstance(step, str | bool) or not isinstance(step, int | float | np.number) or not np.isfinite(step):
        raise SettingsError(
            f"contrast={contrast!r} of the numbers {name!r}: give a step (2.5), a pair (from, to), or one of "
            f"{', '.join(map(repr, _OF_NUMBERS))}."
        )
    if name not in rows:
        raise SettingsError(f"The rows have no column {name!r} to take a step from; give a pair (from, to).")
    moved = rows.assign(**{name: rows[name].astype(float) + float(step)})
    word = f"{_text(float(step))}{' (sd)' if contrast == 'sd' else ''}"
    return [Pair(name, f"+{word}" if step >= 0 else word, rows, moved)]


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def compare(low: Floats, high: Floats, kind: str, scale: str) -> Floats:
    """Return the comparison of two predictions; on the link scale a ratio is exp of the difference."""
    if kind == "difference":
        return high - low
    if scale == "link":
        return np.asarray(np.exp(high - low))
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "ratio":
            return high / low
        return (high / (1.0 - high)) / (low / (1.0 - low))


def null(kind: str) -> float:
    """Return the value that says that nothing changes."""
    return 0.0 if kind == "difference" else 1.0


def require_kind(fit: Fit, kind: str, scale: str, values: Values) -> None:
    """Raise where a ratio or an odds ratio means nothing.

    Raises
    ------
    SettingsError
        With what can be asked instead.
    """
    if kind == "difference":
        return
    if scale == "link":
        words = scale_words(fit.problem, fit.problem.family.main_predictors(fit.problem.response)[0])
        if words.ratio is None or (kind == "odds ratio" and not words.ratio.startswith("odds ratio")):
            other = f"; it is a {words.ratio}: kind='ratio'" if words.ratio else ""
            raise SettingsError(
                f"exp of a difference of the linear predictor ({words.plain}) is no {kind}{other}. "
                "scale='response' compares expected responses."
            )
        return
    if kind == "odds ratio":
        probabilities = fit.problem.family.main.domain == "unit" or values.axis is not None
        if not probabilities:
            raise SettingsError(
                f"Odds are of probabilities, and the expected response of the family {fit.problem.family.name} is "
                "none: kind='ratio' or kind='difference'."
            )
    elif any((drawn <= 0.0).any() for drawn in values.draws):
        raise SettingsError("A ratio needs positive predictions, and some of these are not: kind='difference'.")


def _about(fit: Fit, kind: str, scale: str) -> str:
    if kind == "difference":
        return "Differences."
    if scale == "link":
        words = scale_words(fit.problem, fit.problem.family.main_predictors(fit.problem.response)[0])
        return f"exp of differences: the {words.ratio}."
    return "Ratios." if kind == "ratio" else "Odds ratios."


def joined(parts: Sequence[Floats]) -> Floats:
    """Return parts of shape (S, C, K) one after the other along C."""
    return np.concatenate(parts, axis=1)


def crossed(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return every row of the first beside every row of the second, the second varying fastest."""
    left = first.loc[first.index.repeat(len(second))].reset_index(drop=True)
    right = pd.concat([second] * len(first), ignore_index=True)
    taken = [name for name in right if name not in left]
    return pd.concat([left, right[taken]], axis=1)
