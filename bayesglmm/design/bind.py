"""The recipe: formula + data frame -> `Design`. Every check of the data happens here, before anything compiles."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesglmm.blocks import Floats, Predictor, Response, group_sizes
from bayesglmm.design.checks import separated
from bayesglmm.design.design import Design, FactorCoding, Rows
from bayesglmm.design.frame import as_frame, convert, infinite, select, subset
from bayesglmm.design.memory import check_memory, gigabytes
from bayesglmm.design.missing import check_unobserved, said, unobserved
from bayesglmm.design.needed import (
    check_known,
    check_matrices,
    check_reserved,
    expand_dots,
    optional_names,
    predictor_names,
    response_names,
)
from bayesglmm.design.nonlinear import bind_nonlinear, check_names, expression_names
from bayesglmm.design.predictors import PredictorPart, bind_predictor, settle
from bayesglmm.design.residual import ResidualSpec, bind_residual, read_residual
from bayesglmm.design.response import ResponseCoder
from bayesglmm.errors import DataError, FormulaError, ModelWarning, UnknownNameError, did_you_mean
from bayesglmm.families.base import Family
from bayesglmm.formula import FormulaSpec
from bayesglmm.terms import Columns, Factor
from bayesglmm.terms.columns import Value
from bayesglmm.terms.names import caret

MAIN = ""


class Loaded(NamedTuple):
    """Data that have been read: columns without missing values, and the two kinds of weights for the same rows."""

    columns: Columns
    rows: Rows
    data: pd.DataFrame
    weights: Floats | None
    likelihood_weights: Floats | None


def bind(
    spec: FormulaSpec,
    data: Any,
    family: Family,
    weights: str | ArrayLike | None = None,
    likelihood_weights: str | ArrayLike | None = None,
    memory_limit: float | None = None,
    matrices: Mapping[str, Any] | None = None,
    residual: str | None = None,
) -> Design:
    """Let a formula meet data.

    Parameters
    ----------
    spec : FormulaSpec
        From `formula.parse`.
    data : DataFrame or mapping of columns
        One row per observation. Rows with a missing value in a column that is used are left out and counted.
    family : Family
    weights : str or array of shape (rows,), optional
        Column name or values: precision weights (gaussian, student_t), trials of binomial proportions.
    likelihood_weights : str or array of shape (rows,), optional
        Multiply each row's log density.
    memory_limit : float, optional
        In GB; default is what is free now.
    matrices : mapping of str to matrix, optional
        What covariance structures name: ``{"W": W}`` for ``car(1 | region, adjacency=W)``.
    residual : str, optional
        How residuals of a normal response are correlated within groups: ``"ar1(time | g)"``.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError, UnknownNameError
        For formulas that mean nothing with these columns; with a caret.
    DataError
        For data that do not fit; names column, level or row.

    Warns
    -----
    ModelWarning
        Where a level or a column decides a binary response completely.
    """
    frame = as_frame(data)
    known = list(frame.columns)
    check_reserved(spec, known)
    check_names(spec, known, family)
    refuse_response_on_the_right(spec)
    taken = [w for w in (weights, likelihood_weights) if isinstance(w, str)]
    correlated = None if residual is None else read_residual(residual)
    beside = {} if correlated is None else correlated.names
    spec = expand_dots(spec, known, [*taken, *expression_names(spec), *beside])
    check_matrices(spec, matrices or {})
    loaded = load(spec, frame, weights, likelihood_weights, correlated)
    notes = row_notes(loaded.rows)
    coder = ResponseCoder(spec.response, spec.text, family)
    response = coder.code(loaded.columns, loaded.weights, loaded.likelihood_weights, notes)
    family.check(response)
    coder = ResponseCoder(spec.response, spec.text, family, response.categories or None)
    nonlinear = None if spec.nonlinear is None else bind_nonlinear(spec.nonlinear, loaded.columns)
    if nonlinear is not None and residual is not None:
        raise DataError(f"residual={residual!r} is for linear predictors; this one is nonlinear.")
    if nonlinear is not None:
        _refuse_several_predictors(spec, family, response)
        response = replace(response, covariates=nonlinear.covariates(loaded.columns))
    parts = bind_parts(spec, loaded.columns, family, notes, matrices)
    check_memory(parts.values(), loaded.columns.n, memory_limit)
    notes += one_row_per_level(parts, loaded.columns.n, family)
    parts = {key: settle(part, loaded.columns, notes) for key, part in parts.items()}
    blocks = {key: part.predictor(key, loaded.columns) for key, part in parts.items()}
    names = {key: (key,) if key != MAIN else family.main_predictors(response) for key in parts}
    predictors = {name: _named(name, blocks[key]) for key in parts for name in names[key]}
    binary = family.response in ("binary", "binomial") and MAIN in parts
    if binary and blocks[MAIN].fixed and parts[MAIN].linear.width:
        _warn_separation(separated(parts[MAIN].linear, blocks[MAIN].fixed[0], loaded.columns, response), notes)
    design = Design(
        spec,
        response,
        predictors,
        loaded.columns.n,
        loaded.rows,
        coding(parts),
        group_sizes((group.group, group.levels) for part in parts.values() for group in part.groups),
        tuple(notes),
        loaded.data,
        {name: parts[key] for key in parts for name in names[key]},
        coder,
        _as_given(weights),
        _as_given(likelihood_weights),
        nonlinear,
        None if correlated is None else bind_residual(correlated, loaded.columns, family, response),
    )
    return check_unobserved(design)


def _as_given(weights: str | ArrayLike | None) -> str | Floats | None:
    return weights if isinstance(weights, str) or weights is None else np.asarray(weights, dtype=np.float64)


def memory_estimate(spec: FormulaSpec, data: Any, family: Family) -> float:
    """Return about how much memory the design of a model will take, in GB, without making it.

    Parameters
    ----------
    spec : FormulaSpec
    data : DataFrame or mapping of columns
    family : Family
    """
    frame = as_frame(data)
    spec = expand_dots(spec, list(frame.columns))
    loaded = load(spec, frame, None, None)
    return gigabytes(bind_parts(spec, loaded.columns, family, []).values(), loaded.columns.n)


def load(
    spec: FormulaSpec,
    frame: pd.DataFrame,
    weights: Any,
    likelihood_weights: Any,
    residual: ResidualSpec | None = None,
    empty: bool = False,
) -> Loaded:
    """Read the columns that are used and leave out rows with missing values; `empty`: there may be no others."""
    known = list(frame.columns)
    used = list(check_known(response_names(spec), known, spec.text))
    used += check_known(expression_names(spec), known, spec.text)
    for predictor in spec.predictors.values():
        used += check_known(predictor_names(predictor), known, predictor.formula)
    if residual is not None:
        used += check_known(residual.names, known, residual.text)
    given = {"weights": weights, "likelihood_weights": likelihood_weights}
    used += [known_weight(key, value, known) for key, value in given.items() if isinstance(value, str)]
    data = select(frame, used)
    converted = {name: convert(name, data[name]) for name in data.columns}
    optional = optional_names(spec) - set(expression_names(spec))
    missing = {name: c.missing for name, c in converted.items() if name not in optional}
    arrays = {
        key: _weight_values(key, value, len(frame)) for key, value in given.items() if not isinstance(value, str)
    }
    missing |= {f"{key}=": np.isnan(a) for key, a in arrays.items() if a is not None}
    absent = unobserved(spec, missing, len(frame), residual is not None)
    gaps = [mask for mask in missing.values() if mask.any()]
    counts = {name: int(lost.sum()) for name, mask in missing.items() if (lost := mask & ~absent).any()}
    keep = ~np.any(gaps, axis=0) if gaps else None
    positions = np.arange(len(frame)) if keep is None else np.flatnonzero(keep)
    labels = frame.index.to_numpy() if keep is None else frame.index.to_numpy()[keep]
    rows = Rows(len(frame), len(positions), counts, positions, labels, np.flatnonzero(absent))
    if not len(positions) and not empty:
        raise DataError(" ".join(["No rows are left: every row has a missing value.", *row_notes(rows)]))
    values = {name: subset(c.value, keep) for name, c in converted.items()}
    _refuse_infinite({name: value for name, value in values.items() if name not in optional}, labels)
    columns = Columns(len(positions), values, labels)
    chosen: dict[str, Floats | None] = {}
    for key, value in given.items():
        array = arrays.get(key)
        chosen[key] = array if array is None or keep is None else array[keep]
        if isinstance(value, str):
            chosen[key] = _numeric_weights(key, value, columns)
    return Loaded(columns, rows, data, chosen["weights"], chosen["likelihood_weights"])


def known_weight(key: str, name: str, known: list[str]) -> str:
    if name not in known:
        raise UnknownNameError(f"`{key}={name!r}`: there is no such column in the data. {did_you_mean(name, known)}")
    return name


def _weight_values(key: str, given: ArrayLike | None, n: int) -> Floats | None:
    if given is None:
        return None
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"`{key}=` is a column name or numbers, one per row; got {type(given).__name__}.") from None
    if values.shape != (n,):
        raise DataError(f"`{key}=` has the shape {values.shape}; the data have {n:,} rows.")
    return values


def _numeric_weights(key: str, name: str, columns: Columns) -> Floats:
    value = columns[name]
    if isinstance(value, Factor):
        raise DataError(
            f"`{key}={name!r}`: the column holds categories ({', '.join(value.levels[:5])}), not numbers."
        )
    return value.floats


def _refuse_infinite(values: Mapping[str, Value], rows: NDArray[Any]) -> None:
    for name, value in values.items():
        bad = infinite(value)
        if bad is not None:
            count = int(bad.sum())
            raise DataError(
                f"Column {name!r} has {count:,} infinite {'value' if count == 1 else 'values'} "
                f"(first: row {rows[int(np.argmax(bad))]}). Replace them, or make them missing to leave the rows out."
            )


def row_notes(rows: Rows) -> list[str]:
    """Say which rows are not used."""
    shown = ", ".join(f"{name} ({count:,})" for name, count in rows.missing.items())
    dropped = f"{rows.dropped:,} of {rows.given:,} rows dropped: missing values in {shown}."
    aside = said(len(rows.unobserved))
    return [dropped] * bool(rows.dropped) + [aside] * bool(len(rows.unobserved))


def bind_parts(
    spec: FormulaSpec,
    columns: Columns,
    family: Family,
    notes: list[str],
    matrices: Mapping[str, Any] | None = None,
) -> dict[str, PredictorPart]:
    """Bind every right side; keyed as in the formula."""
    parts = {}
    for key, predictor in spec.predictors.items():
        if key != MAIN and (spec.nonlinear is None or key not in spec.nonlinear.parameters):
            _check_parameter(key, predictor.formula, family)
        parts[key] = bind_predictor(predictor, columns, family.intercept or key != MAIN, notes, matrices)
    return parts


def _check_parameter(name: str, formula: str, family: Family) -> None:
    open_ones = [p.name for p in family.parameters[1:] if not p.ordered]
    if name == family.main.name:
        raise FormulaError(f"The main formula is that of {name!r} already.", formula, 0)
    if name in [p.name for p in family.parameters] and name not in open_ones:
        raise FormulaError(f"The parameter {name!r} of family {family.name!r} takes no formula.", formula, 0)
    if name not in open_ones:
        message = f"Family {family.name!r} has no parameter {name!r}. {did_you_mean(name, open_ones)}"
        raise UnknownNameError(caret(message, formula, 0))


def _refuse_several_predictors(spec: FormulaSpec, family: Family, response: Response) -> None:
    if family.main_predictors(response) != (family.main.name,):
        message = f"The family {family.name!r} has one predictor per category; an expression gives one."
        raise FormulaError(message, spec.text, 0)


def refuse_response_on_the_right(spec: FormulaSpec) -> None:
    if MAIN not in spec.predictors:
        return
    main = spec.predictors[MAIN]
    for term in main.fixed.terms:
        if term == (spec.response.value,):
            message = f"`{spec.response.value}` is the response and cannot explain itself."
            raise FormulaError(message, spec.text, term[0].position)


def one_row_per_level(parts: Mapping[str, PredictorPart], n: int, family: Family) -> list[str]:
    names = dict.fromkeys(
        g.group
        for part in parts.values()
        for g in part.groups
        if len(g.levels) == n and not g.related and g.members == 1
    )
    alone = family.normal_residual and "sigma" not in parts
    residual = " The data cannot tell it from the residual." if alone else ""
    return [f"Grouping factor `{g}` has one row per level: an observation-level effect.{residual}" for g in names]


def _named(name: str, predictor: Predictor) -> Predictor:
    return Predictor(name, predictor.n, predictor.fixed, predictor.random, predictor.offsets)


def coding(parts: Mapping[str, PredictorPart]) -> tuple[FactorCoding, ...]:
    """Describe every factor of the fixed effects once; reduced coding says more than full coding."""
    found: dict[str, FactorCoding] = {}
    for part in parts.values():
        linear = part.linear
        for run in linear.coded:
            for i, full in zip(run.atoms, run.full, strict=True):
                atom = linear.atoms[i]
                if not atom.is_factor or (full and atom.label in found):
                    continue
                if full:
                    found[atom.label] = FactorCoding(atom.label, atom.levels, "levels", None)
                    continue
                base = atom.contrast.base(atom.levels)
                reference = None if base is None else atom.levels[base]
                found[atom.label] = FactorCoding(atom.label, atom.levels, atom.contrast.kind, reference)
    return tuple(found.values())


def _warn_separation(found: list[str], notes: list[str]) -> None:
    if not found:
        return
    more = f", and {len(found) - 5} more" if len(found) > 5 else ""
    message = (
        f"Complete separation: {'; '.join(found[:5])}{more}. Maximum likelihood has no finite estimate of these "
        "effects; in a posterior their size is what the prior makes it."
    )
    notes.append(message)
    warnings.warn(message, ModelWarning, stacklevel=3)
