"""Estimated marginal means: equal weights for the levels of every other factor, whatever the data hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.results.draws import check_choice, interval
from bayesglmm.results.effects.averages import Cells, Values, cells, predicted_cells, remarks
from bayesglmm.results.effects.columns import ModelColumns
from bayesglmm.results.effects.comparisons import KINDS, compare, joined, null, require_kind
from bayesglmm.results.effects.grid import BALANCED, GRID, grid
from bayesglmm.results.effects.predictions import answer
from bayesglmm.results.effects.table import EffectTable
from bayesglmm.results.predict import Question

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit


def emmeans(
    fit: Fit,
    factors: Any,
    by: Any,
    at: Mapping[str, Any] | None,
    pairwise: bool,
    kind: str,
    question: Question,
    prob: float,
) -> EffectTable:
    """Return estimated marginal means, or their pairwise comparisons; see `Fit.emmeans`."""
    interval(prob)
    check_choice("kind", kind, KINDS)
    check_choice("scale", question.scale, ("response", "link"))
    model = ModelColumns(fit)
    names, inner = ([own] if isinstance(own, str) else list(own or []) for own in (factors, by))
    for name in (*names, *inner):
        model.require(name, "emmeans")
        if not model.is_factor(name) and name not in (at or {}) and len(model.distinct(name)) > 2:
            raise SettingsError(
                f"{name!r} holds numbers: say at which values, at={{{name!r}: [...]}}, or take fit.slopes({name!r})."
            )
    if not names:
        raise SettingsError("emmeans needs the factors whose means are asked for.")
    rows = reference_grid(fit, {**dict.fromkeys([*names, *inner], "levels"), **dict(at or {})})
    found = cells(fit, rows, [*inner, *names], True)
    others = [name for name in rows.attrs[GRID]["varied"] if name not in {*names, *inner}]
    over = f"Equal weights for the levels of {', '.join(others)}." if others else ""
    found = replace(found, said=over)
    values = predicted_cells(fit, [rows], found, question)
    said = [*_empty(fit), *remarks(fit, rows)]
    if not pairwise:
        return answer(fit, "emmeans", found, values, question, prob, said)
    require_kind(fit, kind, question.scale, values)
    labels, draws, point = _pairs(found, values, names, inner, kind, question.scale)
    compared = Values([draws], point, values.axis, values.said, values.chains)
    words = "Pairwise differences." if kind == KINDS[0] else f"Pairwise comparisons ({kind})."
    return answer(
        fit, "comparisons", found, compared, question, prob, [words, *said], labels, kind=kind, null=null(kind)
    )


def reference_grid(fit: Fit, values: Mapping[str, Any]) -> pd.DataFrame:
    """Return the balanced grid, with the values given for some of its columns."""
    return grid(fit, dict(values), at=BALANCED)


def _pairs(
    found: Cells, values: Values, names: list[str], inner: list[str], kind: str, scale: str
) -> tuple[pd.DataFrame, Floats, list[Floats] | None]:
    """Return labels, draws and estimates of "first - second" for all pairs of cells within a level of `inner`."""
    labels = found.labels
    keys = labels[inner].apply(tuple, axis=1).tolist() if inner else [()] * len(labels)
    words = [" ".join(str(value) for value in row) for row in labels[names].itertuples(index=False)]
    pairs = [(i, j) for i, j in combinations(range(len(labels)), 2) if keys[i] == keys[j]]
    if not pairs:
        raise SettingsError(f"There are no two levels of {', '.join(names)} to compare.")
    sign = "-" if kind == KINDS[0] else "/"
    table = pd.DataFrame({"contrast": [f"{words[i]} {sign} {words[j]}" for i, j in pairs]})
    for name in inner:
        table[name] = [labels[name].iloc[i] for i, _ in pairs]

    def compared(own: Floats) -> Floats:
        return joined([compare(own[:, [j]], own[:, [i]], kind, scale) for i, j in pairs])

    point = [compared(values.point[0])] if values.point else None
    return table, compared(values.draws[0]), point


def _empty(fit: Fit) -> list[str]:
    """Return a sentence where combinations of levels have no data: their means rest on columns that were left out."""
    parts: Any = getattr(fit.design, "parts", {})
    dropped = sorted({name for part in parts.values() for name in part.linear.dropped})
    if not dropped:
        return []
    shown = ", ".join(dropped[:5]) + (", ..." if len(dropped) > 5 else "")
    return [f"No row has {shown}: means over these combinations take their interaction as zero, which no data show."]
