"""Draws of predictions on rows, put together in cells: each row its own, or the rows of a cell averaged."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bayesglmm.blocks import Floats, Ints
from bayesglmm.errors import DataError, ModelWarning, SettingsError, UnknownNameError, did_you_mean
from bayesglmm.results.draws import pieces, require_memory
from bayesglmm.results.effects.columns import ModelColumns
from bayesglmm.results.effects.grid import DATA, GRID, grid
from bayesglmm.results.levels import THESE, TYPICAL
from bayesglmm.results.predict import Question, prepare
from bayesglmm.results.schema import ESTIMATES

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit
    from bayesglmm.results.predict import Prepared


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows and how they are put together.

    Attributes
    ----------
    rows : DataFrame
        n rows that predictions take.
    index : ndarray of int, shape (n,)
        The cell of each row; a cell is the mean of its rows.
    labels : DataFrame
        One row per cell: what tells the cells apart.
    said : str
        How rows were put together, in words; empty where nothing was.
    """

    rows: pd.DataFrame
    index: Ints
    labels: pd.DataFrame
    said: str


@dataclass(frozen=True, eq=False)
class Values:
    """Predictions in cells.

    Attributes
    ----------
    draws : list of ndarray, each of shape (S, C, K)
        One array per arm.
    point : list of ndarray, each of shape (1, C, K), or None
        The same at maximum likelihood estimates, where they are no averages of what was drawn.
    axis : (str, tuple of str) or None
        Name and labels of K.
    said : str
        What was predicted.
    chains : tuple of int
        Chains, and draws of each.
    """

    draws: list[Floats]
    point: list[Floats] | None
    axis: tuple[str, tuple[str, ...]] | None
    said: str
    chains: tuple[int, int]


def asked_rows(fit: Fit, new: Any, at: Any) -> pd.DataFrame:
    """Return the rows that a question is about: given, a grid, or the data.

    Raises
    ------
    SettingsError
        If both rows and a grid are given.
    """
    if at is not None:
        if new is not None:
            raise SettingsError("new= and at= both say which rows; give one of them.")
        return grid(fit, at=at) if isinstance(at, str) else grid(fit, dict(at))
    if new is None:
        return grid(fit, at=DATA)
    from bayesglmm.design.frame import as_frame

    rows = as_frame(new)
    return rows if rows.index.is_unique and isinstance(rows.index, pd.RangeIndex) else rows.reset_index(drop=True)


def cells(fit: Fit, rows: pd.DataFrame, by: Any, average: bool | None) -> Cells:
    """Return rows with the cells that they belong to.

    Parameters
    ----------
    fit : Fit
    rows : DataFrame
    by : str, sequence of str or None
        Columns whose values tell cells apart.
    average : bool or None
        Whether rows of a cell are averaged. By default rows of the data are, those of a grid at reference values and
        of new data are not.
    """
    model, about = ModelColumns(fit), rows.attrs.get(GRID, {})
    names = [by] if isinstance(by, str) else list(by or [])
    for name in names:
        if name not in rows:
            raise UnknownNameError(f"by: the rows have no column {name!r}. {did_you_mean(str(name), map(str, rows))}")
    varied = [name for name in about.get("varied", ()) if name in rows]
    observed = about.get("base") == DATA
    if average is None:
        average = observed or bool(names)
    if not average:
        if names:
            raise SettingsError("by= says what to average over; it needs average=True (the default with by=).")
        known = [name for name in rows if name in {*model.population, *model.groups}]
        shown = varied if about and not observed else known
        plain = pd.DataFrame(rows[shown].reset_index(drop=True))
        return Cells(rows, np.arange(len(rows)), plain, "")
    names = names or (varied if observed else [])
    if not names:
        labels, index = pd.DataFrame(index=range(1)), np.zeros(len(rows), dtype=np.intp)
    else:
        grouped = rows.groupby(names, observed=True, sort=True, dropna=False)
        index = grouped.ngroup().to_numpy().astype(np.intp)
        first = pd.Series(np.arange(len(rows))).groupby(index).first().to_numpy()
        labels = pd.DataFrame(rows[names].iloc[first].reset_index(drop=True))
    kind = "the rows of the data" if observed else "the rows"
    copies = " (each at every value of the grid)" if observed and varied else ""
    size = len(model.data) if observed else len(rows)
    within = f" within {', '.join(names)}" if names else ""
    return Cells(rows, index, labels, f"Averaged over {kind} ({size:,}){copies}{within}.")


def default_groups(fit: Fit, rows: pd.DataFrame, groups: Any) -> Any:
    """Return whose effects are meant where nobody said: the rows' own where they name their groups, else none."""
    if groups is not None:
        return groups
    columns = ModelColumns(fit).groups
    return THESE if columns <= set(map(str, rows.columns)) else TYPICAL


def predicted_cells(fit: Fit, arms: Sequence[pd.DataFrame], found: Cells, question: Question) -> Values:
    """Return draws of predictions of several versions of the same rows, averaged in cells.

    All versions share the draws of new levels, so that differences between them are those of one group.

    Parameters
    ----------
    fit : Fit
    arms : sequence of DataFrame
        Each with the rows of `found`, some columns changed.
    found : Cells
    question : Question
    """
    rows, question = pd.concat(arms, ignore_index=True), _repeated(question, len(arms))
    count, of = len(found.labels), np.concatenate([found.index + a * len(found.labels) for a in range(len(arms))])
    posterior = fit.draws
    with warnings.catch_warnings():  # of extrapolation one is told once, for the rows as they were asked for
        warnings.simplefilter("ignore", ModelWarning)
        prepared = prepare(fit._evaluator, posterior, fit.design, rows, question)
        drawn = _averaged(prepared, of, len(arms) * count)
        point = None
        if ESTIMATES in fit.data.children and question.scale != "outcome" and not prepared.drawn.any():
            at = prepare(fit._evaluator, fit.point, fit.design, rows, replace(question, draws=None))
            point = np.split(_averaged(at, of, len(arms) * count), len(arms), axis=1)
    if not np.isfinite(drawn).all():
        raise DataError("Some predictions of these rows are not finite; look at fit.predict(rows).")
    sizes = (posterior.sizes["chain"], posterior.sizes["draw"]) if question.draws is None else (1, prepared.size)
    return Values(np.split(drawn, len(arms), axis=1), point, prepared.axis, prepared.said, sizes)


def _repeated(question: Question, times: int) -> Question:
    """Return the question with offsets that are given by row repeated for every version of the rows."""

    def repeated(value: Any) -> Any:
        return np.tile(np.asarray(value), times) if np.ndim(value) else value

    offset = question.offset
    if isinstance(offset, Mapping):
        return replace(question, offset={name: repeated(value) for name, value in offset.items()})
    return replace(question, offset=repeated(offset))


def _averaged(prepared: Prepared, of: Ints, count: int) -> Floats:
    """Return means of rows by cell, shape (S, count, K)."""
    width = len(prepared.axis[1]) if prepared.axis else 1
    require_memory((prepared.size, width, count), "Draws of these predictions")
    weights = 1.0 / np.bincount(of, minlength=count)[of]
    total = np.zeros((count, prepared.size * width))
    for part in pieces(len(of), prepared.cost):
        values = np.asarray(prepared.values(part), dtype=float).reshape(prepared.size, -1, width)
        flat = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
        own = np.arange(values.shape[1])
        gather = sparse.csr_array((weights[part], (of[part], own)), shape=(count, len(own)))
        total += gather @ flat
    return np.moveaxis(total.reshape(count, prepared.size, width), 0, 1)


def remarks(fit: Fit, rows: pd.DataFrame) -> list[str]:
    """Warn of rows outside of the data of a smooth, and return what was said."""
    assert fit.design is not None
    said = list(fit.design.rebind(_with_offsets(fit, rows), groups=False).remarks)
    for remark in said:
        warnings.warn(remark, ModelWarning, stacklevel=4)
    return said


def _with_offsets(fit: Fit, rows: pd.DataFrame) -> pd.DataFrame:
    assert fit.design is not None
    lacking = [name for name in fit.design.roles.offsets if name not in rows]
    data: Any = fit.design.data
    return rows.assign(**{name: data[name].dropna().iloc[0] for name in lacking})
