"""Predictions: for rows used or new rows, for these groups, a typical one, a new one, or on average over groups."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.errors import ModelWarning
from bayesglmm.results.draws import (
    STATISTICS,
    check_choice,
    interval,
    pieces,
    require_memory,
    seeded,
    stacked,
    summarise,
)
from bayesglmm.results.levels import AVERAGE, NEW, THESE, TYPICAL, Effects, choices, place
from bayesglmm.results.prediction_rows import Rows, drawn, new_rows, own_rows
from bayesglmm.results.prediction_values import axis_of, nodes_of, values_of
from bayesglmm.results.printed import AnswerTable
from bayesglmm.results.protocols import Rebindable

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem

SCALES = ("response", "link", "outcome")
_QUESTIONS = {
    "these": "for the groups of these rows",
    "typical": "for a typical group (group effects zero)",
    "new": "for a new group, drawn from the distribution of groups",
    "average": "averaged over the distribution of groups",
    "these or new": "for the groups of these rows; unknown groups are drawn from the distribution of groups",
}
_OF_ONE = {
    "these": "the effects of each row's own {group}",
    "typical": "the effects of {group} set to zero",
    "new": "the effects of a new {group}, drawn from their distribution",
    "average": "the average over the distribution of {group}",
    "these or new": "the effects of each row's own {group} (drawn from their distribution where it is unknown)",
}
_WHAT = {"response": "Expected response", "link": "Linear predictor", "outcome": "A future observation"}


@dataclass(frozen=True)
class Question:
    """What is asked of a prediction.

    Attributes
    ----------
    groups : str or mapping of str to str
    scale : {"response", "link", "outcome"}
    seed : int or None
    draws : int or None
        How many draws to use; all if None.
    offset : number, array, mapping or None
    """

    groups: str | Mapping[str, str] = THESE
    scale: str = "response"
    seed: int | None = None
    draws: int | None = None
    offset: Any = None

    def __post_init__(self) -> None:
        check_choice("scale", self.scale, SCALES)

    @property
    def attrs(self) -> dict[str, Any]:
        """What a table says was asked."""
        groups = self.groups if isinstance(self.groups, str) else dict(self.groups)
        return {"groups": groups, "scale": self.scale, "seed": self.seed}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows and draws with the group effects in place: predictions of any slice of the rows follow.

    Attributes
    ----------
    evaluator : Evaluator
    question : Question
    effects : Effects
    rows : Rows
    drawn : ndarray of bool, shape (n,)
        Which rows use effects of levels that are drawn: their predictions are no plain number.
    said : str
        What is predicted, in sentences.
    rng : numpy.random.Generator
        For outcomes.
    """

    evaluator: Evaluator
    question: Question
    effects: Effects
    rows: Rows
    drawn: NDArray[np.bool_]
    said: str
    rng: np.random.Generator

    @property
    def note(self) -> str:
        """What is predicted, and what to beware of."""
        return " ".join([self.said, *self.rows.remarks])

    @property
    def size(self) -> int:
        """Number of draws."""
        return len(next(iter(self.effects.draws.values())))

    @property
    def axis(self) -> tuple[str, tuple[str, ...]] | None:
        """Name and labels of the axis after the rows, if there is one."""
        return axis_of(self.evaluator, self.rows.response, self.question.scale)

    @property
    def cost(self) -> int:
        """Numbers that one row takes in memory."""
        width = len(self.axis[1]) if self.axis else 1
        nodes = len(nodes_of(self.effects)[1]) if self.question.scale == "response" else 1
        return self.size * width * nodes

    def values(self, part: slice, codes: bool = False) -> Any:
        """Return the predictions of a slice of rows, shape (S, m) or (S, m, K).

        Outcomes that are categories are indicators with the axis of categories, or with `codes` their codes.
        """
        found = values_of(self.evaluator, self.effects, self.rows.response, part, self.question.scale, self.rng)
        if self.question.scale == "outcome" and self.axis is not None and not codes:
            return (found[..., None] == np.arange(len(self.axis[1]))).astype(float)
        return found

    def warn(self, stacklevel: int = 4) -> None:
        """Say where smooths are extrapolated."""
        for remark in self.rows.remarks:
            warnings.warn(remark, ModelWarning, stacklevel=stacklevel)


def prepare(
    evaluator: Evaluator, posterior: xr.Dataset, design: Rebindable | None, new: Any, question: Question
) -> Prepared:
    """Put rows, draws and group effects together.

    Parameters
    ----------
    evaluator : Evaluator
    posterior : xarray.Dataset
    design : Rebindable or None
        Needed for new data only.
    new : DataFrame, mapping or None
        None for the rows used.
    question : Question
    """
    problem, rng = evaluator.problem, seeded(question.seed)
    chosen = choices(problem, question.groups)
    if new is None:
        rows = own_rows(problem, question.offset)
    else:
        rows = new_rows(evaluator, design, new, chosen, question.scale, question.offset)
    sentences = [
        f"{_WHAT[question.scale]}{_whose(question.groups, chosen)}.",
        *_kept_smooths(problem, question.groups),
    ]
    said = " ".join([*sentences, *rows.notes])
    if question.scale == "outcome":  # a future observation of an average group is one of a new group
        chosen = {group: NEW if word == AVERAGE else word for group, word in chosen.items()}
    random = drawn(rows.predictors, chosen, len(rows.labels))
    effects = place(problem, stacked(posterior, question.draws), rows.predictors, chosen, rng)
    return Prepared(evaluator, question, effects, rows, random, said, rng)


def predict(
    evaluator: Evaluator,
    posterior: xr.Dataset,
    design: Rebindable | None,
    new: Any,
    question: Question,
    prob: float = 0.95,
) -> AnswerTable:
    """Predict; see `Fit.predict`.

    Parameters
    ----------
    evaluator, posterior, design, new, question
        As of `prepare`.
    prob : float
    """
    interval(prob)
    prepared = prepare(evaluator, posterior, design, new, question)
    tables = [summarise(prepared.values(part), prob) for part in pieces(len(prepared.rows.labels), prepared.cost)]
    found = {name: np.concatenate([t[name] for t in tables]) for name in STATISTICS}
    frame = _frame(found, prepared.rows.labels, prepared.axis)
    frame.attrs |= {"note": prepared.note, **question.attrs, "prob": prob, "draws": prepared.size}
    prepared.warn()
    return frame


def prediction_draws(
    evaluator: Evaluator, posterior: xr.Dataset, design: Rebindable | None, new: Any, question: Question
) -> xr.DataArray:
    """Return predictions draw by draw; see `Fit.predicted_draws`."""
    import xarray as xr

    prepared = prepare(evaluator, posterior, design, new, question)
    n, codes = len(prepared.rows.labels), question.scale == "outcome" and prepared.axis is not None
    width = len(prepared.axis[1]) if prepared.axis and not codes else 1
    require_memory((prepared.size, width, n), "Predictions draw by draw")
    values = np.concatenate([prepared.values(part, codes=True) for part in pieces(n, prepared.cost)], axis=1)
    whole = question.draws is None
    shape = (posterior.sizes["chain"], posterior.sizes["draw"]) if whole else (1, prepared.size)
    dims, coords = ["chain", "draw", "row"], {"row": prepared.rows.labels}
    attrs = {"note": prepared.note, **question.attrs}
    if codes and prepared.axis:
        attrs["categories"] = list(prepared.axis[1])
    elif prepared.axis:
        name, labels = prepared.axis
        dims, coords = [*dims, name], coords | {name: np.array(labels, dtype=object)}
    coords |= {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    prepared.warn()
    return xr.DataArray(
        values.reshape(*shape, *values.shape[1:]), coords, dims, name=_NAMES[question.scale], attrs=attrs
    )


_NAMES = {"response": "mean", "link": "linear_predictor", "outcome": "outcome"}


def predicted_draws(
    evaluator: Evaluator,
    posterior: xr.Dataset,
    design: Rebindable | None,
    new: Any,
    scale: str,
    groups: str | Mapping[str, str] = TYPICAL,
) -> Floats:
    """Return what `predict` summarises, draw by draw, for a few new rows: shape (S, m), or (S, m, K).

    Parameters
    ----------
    evaluator, posterior, design, new
        As of `prepare`.
    scale : {"response", "link"}
    groups : str or mapping
    """
    check_choice("scale", scale, SCALES[:2])
    # The seed is of nothing: neither new groups nor outcomes are drawn.
    prepared = prepare(evaluator, posterior, design, new, Question(groups, scale, seed=0))
    return np.asarray(prepared.values(slice(0, len(prepared.rows.labels))))


def drawn_rows(
    evaluator: Evaluator,
    design: Rebindable | None,
    new: Any,
    groups: str | Mapping[str, str],
    offset: Any = None,
) -> NDArray[np.bool_]:
    """Return which rows use effects of levels that are drawn, shape (n,); their predictions are no plain number.

    Parameters
    ----------
    evaluator, design, new
        As of `prepare`.
    groups : str or mapping
    offset : number, array, mapping or None
    """
    chosen = choices(evaluator.problem, groups)
    own = new is None
    rows = own_rows(evaluator.problem) if own else new_rows(evaluator, design, new, chosen, "link", offset)
    return np.asarray(drawn(rows.predictors, chosen, len(rows.labels)))


def _whose(groups: str | Mapping[str, str], chosen: Mapping[str, str]) -> str:
    """Say in words whose group effects are meant: of a model without groups, nothing."""
    if not chosen:
        return ""
    return f" {_QUESTIONS[groups] if isinstance(groups, str) else _mixed(chosen)}"


def _mixed(chosen: Mapping[str, str]) -> str:
    """Say in words which effects of each grouping factor are meant."""
    said = [_OF_ONE[word].format(group=group) for group, word in chosen.items()]
    return f"with {', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else f"with {said[0]}"


def _kept_smooths(problem: Problem, groups: str | Mapping[str, str]) -> list[str]:
    """Return what must be said of smooths with effects of levels: `groups` does not reach them."""
    own = dict.fromkeys(part.block.label for part in problem.blocks if _has_levels(part.block))
    if groups == THESE or not own:
        return []
    return [f"The effects in {', '.join(own)} stay those of each row's own level, which must be known."]


def _has_levels(block: RandomBlock) -> bool:
    return block.kind == "smooth" and len(block.levels) > 1


def _frame(found: Mapping[str, Floats], index: Any, axis: tuple[str, tuple[str, ...]] | None) -> AnswerTable:
    if axis is None:
        return AnswerTable(dict(found), index=pd.Index(index))
    name, labels = axis
    columns = {name: np.tile(np.array(labels, dtype=object), len(index))}
    flat = {key: values.ravel() for key, values in found.items()}
    return AnswerTable(columns | flat, index=pd.Index(np.repeat(index, len(labels))))
