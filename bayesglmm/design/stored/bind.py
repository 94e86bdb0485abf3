"""The recipe for a table that is read piece by piece -> `Design`, whose rows are in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Predictor, Response, ResponseMoments, group_sizes
from bayesglmm.design.bind import (
    coding,
    known_weight,
    one_row_per_level,
    refuse_response_on_the_right,
    row_notes,
)
from bayesglmm.design.design import Design, Rows
from bayesglmm.design.memory import check_memory
from bayesglmm.design.needed import (
    check_known,
    check_matrices,
    check_reserved,
    expand_dots,
    predictor_names,
    response_names,
)
from bayesglmm.design.nonlinear import check_names
from bayesglmm.design.predictors import check_predictor
from bayesglmm.design.stored.chunks import Chunks, Writer, merge
from bayesglmm.design.stored.divide import ROWS, gathered, order_of
from bayesglmm.design.stored.learn import (
    CURVES,
    FEW,
    Learned,
    learn,
    learns_curves,
    predictor_names_of,
    refuse_unsupported,
    remembering,
    states,
)
from bayesglmm.design.stored.moments import digest, few_responses, picked
from bayesglmm.design.stored.spool import Layout, PredictorLayout, Spool
from bayesglmm.design.stored.survey import (
    Survey,
    Surveyor,
    Wanted,
    columns_of,
    distinct_values,
    learning_rows,
    needed_columns,
)
from bayesglmm.errors import DataError
from bayesglmm.families.base import Family, proportions
from bayesglmm.formula import FormulaSpec
from bayesglmm.parts import Parts
from bayesglmm.sources import Source
from bayesglmm.terms.names import column_names

_STANDING = 50  # rows that stand for all, at least
_EXAMPLES = 50  # responses that are checked with those of every piece


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Where all rows of a design are.

    Attributes
    ----------
    parts : Parts
        None of them where the design is that of a file, which does not hold the rows.
    spool : Spool or None
        The folder; it lives as long as this object.
    name : str
        What messages call the table.
    """

    parts: Parts
    spool: Spool | None
    name: str


@dataclass(frozen=True, eq=False)
class LearnedRows:
    """Some rows of a table, from which the design for all of them can be learned again.

    Attributes
    ----------
    rows : DataFrame
        `Design.data` of a design whose rows are stored.
    name : str
        What messages call the table.
    given, used : int
        Rows of the table, and those without a missing value.
    missing : mapping of str to int
    moments : ResponseMoments
        Of all rows used.
    """

    rows: pd.DataFrame
    name: str
    given: int
    used: int
    missing: Mapping[str, int]
    moments: ResponseMoments


@dataclass(frozen=True)
class Limits:
    """How many rows are looked at at once.

    Attributes
    ----------
    curves, few : int
        Rows from which terms are learned, with smooths and without; see `learn`.
    part : int
        Rows of a part.
    """

    curves: int = CURVES
    few: int = FEW
    part: int = ROWS


def bind_source(
    spec: FormulaSpec,
    source: Source,
    family: Family,
    weights: Any = None,
    likelihood_weights: Any = None,
    matrices: Mapping[str, Any] | None = None,
    residual: str | None = None,
    scratch: str | os.PathLike[str] | None = None,
    limits: Limits = Limits(),
) -> Design:
    """Let a formula meet a table that is read piece by piece.

    Parameters
    ----------
    spec : FormulaSpec
    source : Source
    family : Family
    weights, likelihood_weights : str, optional
        Columns.
    matrices, residual : optional
        As in `bayesglmm.design.bind`; correlated residuals are refused.
    scratch : path, optional
        Where the folder for the numbers of the rows is made; all workers must see it.
    limits : Limits

    Returns
    -------
    Design
        Its blocks have a few rows that stand for all; `Design.stored` has all.

    Raises
    ------
    FormulaError, UnknownNameError, DataError
        As `bayesglmm.design.bind`.
    """
    known = source.columns
    given = {"weights": weights, "likelihood_weights": likelihood_weights}
    refuse_unsupported(spec, given, residual)
    check_reserved(spec, known)
    check_names(spec, list(known), family)
    refuse_response_on_the_right(spec)
    taken = [known_weight(key, name, list(known)) for key, name in given.items() if name is not None]
    spec = expand_dots(spec, known, taken)
    check_matrices(spec, matrices or {})
    _check_columns(spec, known)
    names = needed_columns(spec, known, taken)
    survey, learned = _learned(spec, source, family, names, (weights, likelihood_weights), matrices, limits)
    check_memory(learned.parts.values(), min(survey.used, limits.part), None)
    spool = Spool(scratch)
    chunks, layout = _written(spec, source, names, learned, spool, (weights, likelihood_weights))
    distinct = _distinct(learned)
    axes = max(len(moments.mean) for moments in chunks.moments.columns)
    standing = tuple(
        digest(predictor, moments, axes, _STANDING)
        for predictor, moments in zip(distinct, chunks.moments.columns, strict=True)
    )
    for part, predictor in zip(_parts(learned), standing, strict=True):
        check_predictor(part, predictor)
    parts = gathered(source, chunks, distinct, layout, spool.folder, limits.part)
    stored = StoredRows(parts, spool, source.name)
    response = few_responses(learned.response, chunks.moments.response, standing[0].n)
    return _design(spec, survey, learned, standing, response, stored, given)


def _check_columns(spec: FormulaSpec, known: Sequence[str]) -> None:
    check_known(response_names(spec), known, spec.text)
    for predictor in spec.predictors.values():
        check_known(predictor_names(predictor), known, predictor.formula)


def _learned(
    spec: FormulaSpec,
    source: Source,
    family: Family,
    names: tuple[str, ...],
    weights: tuple[str | None, str | None],
    matrices: Mapping[str, Any] | None,
    limits: Limits,
) -> tuple[Survey, Learned]:
    """Read the table for the first time, and bind the formula on what was found."""
    distinct = distinct_values(spec, family)
    first = columns_of(source.peek(names), names)
    every = max(1, -(-source.rows // (limits.curves if learns_curves(spec) else limits.few)))
    nodes = remembering(spec, first) if every > 1 else ()
    whole = tuple(dict.fromkeys(name.text for node, _ in nodes for name in column_names(node) if name.text in names))
    surveyor = Surveyor(Wanted(names, distinct, whole, every))
    survey = source.fold(names, surveyor, surveyor.merge)
    if survey is None or not survey.used:
        counts = {} if survey is None else survey.missing
        said = ", ".join(f"{name} ({count:,})" for name, count in counts.items() if count)
        raise DataError(f"No rows are left: every row has a missing value, in {said}." if said else "No rows.")
    state = states(nodes, {name: np.concatenate(values) for name, values in survey.whole.items()})
    learned = learn(spec, learning_rows(survey, every == 1), family, weights, matrices, state)
    if every > 1 and learns_curves(spec):
        learned.notes.append(f"Smooths were learned from {len(survey.sample):,} evenly spaced rows.")
    return survey, learned


def _parts(learned: Learned) -> tuple[Any, ...]:
    return tuple(learned.parts.values())


def _distinct(learned: Learned) -> tuple[Predictor, ...]:
    return tuple(part.predictor(key, learned.loaded.columns) for key, part in learned.parts.items())


def _written(
    spec: FormulaSpec,
    source: Source,
    names: tuple[str, ...],
    learned: Learned,
    spool: Spool,
    weights: tuple[str | None, str | None],
) -> tuple[Chunks, Layout]:
    """Read the table for the second time, and write its numbers."""
    response = learned.response
    distinct = _distinct(learned)
    layout = Layout(
        tuple(PredictorLayout.of(predictor) for predictor in distinct),
        _which(learned),
        response.name,
        response.categories,
        order_of(distinct),
    )
    examples = _examples(response)
    writer = Writer(spec, _parts(learned), learned.coder, *weights, examples, layout, spool.folder)
    chunks = source.fold(names, writer, merge)
    if chunks is None:
        raise DataError(f"The rows of {source.name!r} changed while they were read.")
    return chunks, layout


def _examples(response: Response) -> Response:
    """Return some responses: the least, the largest, one of each category, and evenly spaced ones."""
    y = proportions(response)
    n = len(y)
    chosen = [np.array([y.argmin(), y.argmax()]), np.linspace(0, n - 1, min(n, _EXAMPLES)).astype(np.intp)]
    if response.categories:
        chosen.append(np.unique(response.y, return_index=True)[1])
    return picked(response, np.unique(np.concatenate(chosen)))


def bind_learned(
    spec: FormulaSpec,
    table: LearnedRows,
    family: Family,
    weights: Any = None,
    likelihood_weights: Any = None,
    matrices: Mapping[str, Any] | None = None,
) -> Design:
    """Return the design of a table of which only the rows are left from which terms were learned.

    Parameters
    ----------
    spec, family, weights, likelihood_weights, matrices
        As of `bind_source`.
    table : LearnedRows

    Returns
    -------
    Design
        For predictions: `Design.stored` has no parts.
    """
    given = {"weights": weights, "likelihood_weights": likelihood_weights}
    spec = expand_dots(
        spec, list(map(str, table.rows.columns)), [name for name in given.values() if name is not None]
    )
    learned = learn(spec, table.rows, family, (weights, likelihood_weights), matrices, {})
    rows = _distinct(learned)
    means = tuple(rows[w].X.mean(axis=0) for w in _which(learned))
    stored = StoredRows(Parts((), means), None, table.name)
    response = replace(learned.response, moments=table.moments)
    survey = Survey(table.given, table.used, table.missing, table.rows, table.rows, {})
    return _design(spec, survey, learned, rows, response, stored, given)


def _which(learned: Learned) -> tuple[int, ...]:
    """Return for every predictor of the model which of the distinct ones it is."""
    keys = list(learned.parts)
    names = predictor_names_of(learned.parts, learned.coder.family, learned.response)
    return tuple(keys.index(key) for key in names.values())


def _design(
    spec: FormulaSpec,
    survey: Survey,
    learned: Learned,
    standing: Sequence[Predictor],
    response: Response,
    stored: StoredRows,
    given: Mapping[str, Any],
) -> Design:
    keys = list(learned.parts)
    names = predictor_names_of(learned.parts, learned.coder.family, learned.response)
    m = standing[0].n
    predictors = {name: replace(standing[keys.index(key)], parameter=name) for name, key in names.items()}
    frame = learned.loaded.data
    missing = {name: count for name, count in survey.missing.items() if count}
    rows = Rows(survey.given, survey.used, missing, np.arange(len(frame)), np.arange(m))
    family = learned.coder.family
    notes = [*row_notes(rows), *learned.notes, *one_row_per_level(learned.parts, survey.used, family)]
    return Design(
        spec,
        response,
        predictors,
        survey.used,
        rows,
        coding(learned.parts),
        group_sizes((group.group, group.levels) for part in learned.parts.values() for group in part.groups),
        tuple(notes),
        frame,
        {name: learned.parts[key] for name, key in names.items()},
        learned.coder,
        given["weights"],
        given["likelihood_weights"],
        stored=stored,
    )
