"""First reading: a few rows of the table in which all its levels are, and counts of what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from bayesglmm.blocks import Floats
from bayesglmm.covariances import COVARIANCES
from bayesglmm.design.frame import Converted, convert, infinite, select, subset
from bayesglmm.design.needed import predictor_names, response_names
from bayesglmm.errors import BayesglmmError, DataError
from bayesglmm.families.base import Family
from bayesglmm.formula import FormulaSpec
from bayesglmm.formula.syntax import Call, Node
from bayesglmm.sources import Piece
from bayesglmm.terms import TERMS, Columns, Factor, Numeric
from bayesglmm.terms.columns import as_factor
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.names import CONSTANTS, column_names

_DISTINCT = 200  # numbers of a special term that take at most so many values count as levels
_FEW = 1000  # rows found, up to which they are not looked through again


class Distinct(NamedTuple):
    """Expressions whose combinations of values must all be among the rows found.

    Attributes
    ----------
    nodes : tuple of Node
    formula : str
        For messages.
    numbers : {"levels", "ignored", "few"}
        What numbers are: levels, as those of grouping factors; not looked at; or levels where they are few.
    """

    nodes: tuple[Node, ...]
    formula: str
    numbers: str = "ignored"


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the first reading looks for.

    Attributes
    ----------
    names : tuple of str
        Columns that are read.
    distinct : tuple of Distinct
    whole : tuple of str
        Columns of numbers that are kept as they are, because something is learned from all their values.
    every : int
        Besides, every so-manieth row is kept.
    """

    names: tuple[str, ...]
    distinct: tuple[Distinct, ...]
    whole: tuple[str, ...]
    every: int


@dataclass(frozen=True, eq=False)
class Survey:
    """What the first reading found in a stretch of the table.

    Attributes
    ----------
    given, used : int
        Rows, and rows without a missing value.
    missing : mapping of str to int
        Missing values by column.
    rows, sample : DataFrame
        Rows that hold every level, and evenly spaced ones; without missing values.
    whole : mapping of str to list of ndarray
        `Wanted.whole`, of all rows used.
    """

    given: int
    used: int
    missing: Mapping[str, int]
    rows: pd.DataFrame
    sample: pd.DataFrame
    whole: Mapping[str, list[Floats]]


def needed_columns(spec: FormulaSpec, known: Sequence[str], weights: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that a formula needs, in the order of the table."""
    names = {*response_names(spec), *weights}
    for predictor in spec.predictors.values():
        names |= set(predictor_names(predictor))
    names -= CONSTANTS - set(known)
    return tuple(name for name in known if name in names)


def distinct_values(spec: FormulaSpec, family: Family) -> tuple[Distinct, ...]:
    """Return what must all be among the rows from which the design is learned."""
    found: list[Distinct] = []
    for predictor in spec.predictors.values():
        text = predictor.formula
        for term in predictor.fixed.terms:
            special = [node for node in term if isinstance(node, Call) and node.function in TERMS]
            columns = [name for node in special for name in column_names(node)]
            found += [Distinct((name,), text, "few") for name in columns]
            found.append(Distinct(tuple(node for node in term if node not in special), text))
        for group in predictor.groups:
            found.append(Distinct(group.factor, text, "levels"))
            indexed = group.word in COVARIANCES and COVARIANCES.get(group.word).indexed
            found += [Distinct(term, text, "levels" if indexed else "ignored") for term in group.columns.terms]
    if family.response != "numeric":
        found.append(Distinct((spec.response.value,), spec.text, "few"))
    return tuple(dict.fromkeys(one for one in found if one.nodes))


class Surveyor:
    """Surveys pieces of the table; see `Survey`.

    Parameters
    ----------
    wanted : Wanted
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted

    def __call__(self, piece: Piece) -> Survey | None:
        total: Survey | None = None
        for frame in piece.frames:
            own = self.frame(frame)
            total = own if total is None else self.merge(total, own)
        return total

    def frame(self, frame: pd.DataFrame) -> Survey:
        """Return the survey of some rows.

        Raises
        ------
        DataError
            For infinite values, and columns that are neither numbers nor categories.
        """
        frame = select(frame, self.wanted.names)
        converted = {name: convert(name, frame[name]) for name in frame.columns}
        lost = {name: int(column.missing.sum()) for name, column in converted.items()}
        keep = complete(converted)
        columns = Columns(
            int(keep.sum()),
            {name: subset(column.value, keep) for name, column in converted.items()},
            frame.index.to_numpy()[keep],
        )
        refuse_infinite(columns)
        whole = {name: [_numbers(name, columns)] for name in self.wanted.whole}
        used = np.flatnonzero(keep)
        rows, sample = frame.iloc[used[self.picked(columns)]], frame.iloc[used[:: self.wanted.every]]
        return Survey(len(frame), columns.n, lost, rows, sample, whole)

    def picked(self, columns: Columns) -> NDArray[np.intp]:
        """Return positions of rows in which all levels, and the ends of all numbers, are; ascending."""
        chosen: list[NDArray[np.intp]] = []
        if columns.n:
            for value in columns.values.values():
                if isinstance(value, Numeric):
                    chosen.append(np.array([value.values.argmin(), value.values.argmax()], dtype=np.intp))
            chosen += [_first_of_each(distinct, columns) for distinct in self.wanted.distinct]
        return np.unique(np.concatenate(chosen)).astype(np.intp) if chosen else np.zeros(0, dtype=np.intp)

    def merge(self, one: Survey | None, two: Survey | None) -> Survey | None:
        """Return the survey of two stretches, the earlier one first."""
        if one is None or two is None:
            return two if one is None else one
        rows = joined([one.rows, two.rows])
        if len(rows) > _FEW:
            converted = {name: convert(name, rows[name]).value for name in rows.columns}
            rows = rows.iloc[self.picked(Columns(len(rows), converted, rows.index.to_numpy()))]
        return Survey(
            one.given + two.given,
            one.used + two.used,
            {name: count + two.missing[name] for name, count in one.missing.items()},
            rows,
            joined([one.sample, two.sample]),
            {name: values + two.whole[name] for name, values in one.whole.items()},
        )


def complete(converted: Mapping[str, Converted]) -> NDArray[np.bool_]:
    """Return which rows have no missing value."""
    found: NDArray[np.bool_] = ~np.any([column.missing for column in converted.values()], axis=0)
    return found


def columns_of(frame: pd.DataFrame, names: Sequence[str]) -> Columns:
    """Return some rows, those without a missing value, as columns."""
    converted = {name: convert(name, frame[name]) for name in names}
    keep = complete(converted)
    values = {name: subset(column.value, keep) for name, column in converted.items()}
    return Columns(int(keep.sum()), values, frame.index.to_numpy()[keep])


def refuse_infinite(columns: Columns) -> None:
    """Raise `DataError` for infinite values, naming column and row."""
    for name, value in columns.values.items():
        bad = infinite(value)
        if bad is not None:
            raise DataError(
                f"Column {name!r} has infinite values (first: row {columns.rows[int(np.argmax(bad))]}). Replace "
                "them, or make them missing to leave the rows out."
            )


def _numbers(name: str, columns: Columns) -> Floats:
    value = columns[name]
    if isinstance(value, Factor) and not value.boolean:
        raise DataError(f"Column {name!r} holds categories ({', '.join(value.levels[:5])}), but numbers are needed.")
    return value.codes.astype(np.float64) if isinstance(value, Factor) else value.floats


def _first_of_each(distinct: Distinct, columns: Columns) -> NDArray[np.intp]:
    """Return the first row of each combination of levels; none where no expression has levels."""
    combined: NDArray[Any] | None = None
    for node in distinct.nodes:
        try:
            value = Evaluator(columns, distinct.formula).value(node)
        except BayesglmmError:
            continue  # binding says what is wrong with it, of all rows
        if isinstance(value, Numeric) and (distinct.numbers == "ignored" or value.values.ndim != 1):
            continue
        factor = as_factor(value, columns.n)
        if isinstance(value, Numeric) and distinct.numbers == "few" and len(factor.levels) > _DISTINCT:
            continue
        codes = factor.codes if combined is None else combined * len(factor.levels) + factor.codes
        combined = np.unique(codes, return_inverse=True)[1]  # small numbers again, so that products do not overflow
    if combined is None:
        return np.zeros(0, dtype=np.intp)
    return np.unique(combined, return_index=True)[1].astype(np.intp)


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return frames below each other; categories of different frames become those of all, in the order met.

    Raises
    ------
    DataError
        Where ordered categories differ: there is no order of all of them.
    """
    frames = [frame for frame in frames if len(frame)] or list(frames[:1])
    first = frames[0]
    columns = {}
    index = first.index
    for other in frames[1:]:
        index = index.append(other.index)
    for name in first.columns:
        series = [frame[name] for frame in frames]
        kinds = {str(one.dtype) if not isinstance(one.dtype, pd.CategoricalDtype) else "category" for one in series}
        if kinds == {"category"}:
            columns[name] = pd.Series(_categories(name, series), index=index)
        else:
            held = [one.astype(object) if isinstance(one.dtype, pd.CategoricalDtype) else one for one in series]
            columns[name] = pd.concat(held).set_axis(index)
    return pd.DataFrame(columns, index=index)


def _categories(name: str, series: Sequence[pd.Series[Any]]) -> pd.Categorical:
    ordered = any(one.cat.ordered for one in series)
    if ordered and any(one.dtype != series[0].dtype for one in series):
        shown = next(one for one in series if one.dtype != series[0].dtype).cat.categories[:5]
        raise DataError(
            f"The ordered categories of column {name!r} differ between parts of the table "
            f"({', '.join(map(str, series[0].cat.categories[:5]))} and {', '.join(map(str, shown))}): which order "
            "all of them have cannot be told. Give all parts the same categories."
        )
    return union_categoricals(list(series))


def learning_rows(survey: Survey, everything: bool) -> pd.DataFrame:
    """Return the rows from which the design is learned; `everything`: the sample is the whole table."""
    return survey.sample if everything else joined([survey.rows, survey.sample])
