"""Binding a formula on the few rows of the survey, with what must come from all rows put in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats, Response
from bayesglmm.design.bind import MAIN, Loaded, bind_parts, load
from bayesglmm.design.predictors import PredictorPart, settle
from bayesglmm.design.response import ResponseCoder
from bayesglmm.errors import BayesglmmError, FormulaError
from bayesglmm.families.base import Family
from bayesglmm.formula import FormulaSpec
from bayesglmm.formula.syntax import Call, Node, walk
from bayesglmm.terms import TERMS, Columns, Numeric
from bayesglmm.terms.atoms import Atom
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.linear import LinearPart
from bayesglmm.terms.membership import MEMBERSHIP
from bayesglmm.terms.names import column_names

CURVES = 1_000_000
"""Rows from which smooths are learned: all, or evenly spaced ones where there are more."""
FEW = 5_000
"""Evenly spaced rows beside those with every level, where nothing is learned from the distribution of a column."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What the second reading codes rows with.

    Attributes
    ----------
    loaded : Loaded
        The rows of the survey.
    parts : mapping of str to PredictorPart
        Keyed as in the formula.
    coder : ResponseCoder
    response : Response
        Of the rows of the survey.
    notes : list of str
    """

    loaded: Loaded
    parts: Mapping[str, PredictorPart]
    coder: ResponseCoder
    response: Response
    notes: list[str]


def refuse_unsupported(spec: FormulaSpec, weights: Mapping[str, Any], residual: str | None) -> None:
    """Refuse what needs all rows at once.

    Raises
    ------
    FormulaError
    """
    way = "Read the table into memory for it: bg.Model(formula, pandas.read_parquet(...))."
    if residual is not None:
        raise FormulaError(f"residual={residual!r} is not possible for a table that is read piece by piece. {way}")
    for name, given in weights.items():
        if given is not None and not isinstance(given, str):
            raise FormulaError(f"{name}= is the name of a column where the table is read piece by piece. {way}")
    if spec.nonlinear is not None:
        raise FormulaError(f"A nonlinear predictor is not possible for a table that is read piece by piece. {way}")
    for call in spec.response.additions:
        if call.function == "mi":
            message = f"`mi()` is not possible for a table that is read piece by piece. {way}"
            raise FormulaError(message, spec.text, call.position)
    for predictor in spec.predictors.values():
        for group in predictor.groups:
            several = any(isinstance(node, Call) and node.function == MEMBERSHIP for node in group.factor)
            if several or group.by is not None:
                what = "`mm()`" if several else "`by=`"
                message = f"{what} of a group term is not possible for a table that is read piece by piece. {way}"
                raise FormulaError(message, predictor.formula, group.position)


def learns_curves(spec: FormulaSpec) -> bool:
    """Return whether special terms learn from the distribution of their columns: smooths."""
    return any(
        isinstance(node, Call) and node.function in TERMS and not TERMS.get(node.function).known
        for predictor in spec.predictors.values()
        for term in predictor.fixed.terms
        for node in term
    )


def remembering(spec: FormulaSpec, columns: Columns) -> tuple[tuple[Node, str], ...]:
    """Return the expressions in linear terms that learn from all their values, ``scale(x)``, with their formulas.

    Parameters
    ----------
    spec : FormulaSpec
    columns : Columns
        Some rows of the table.
    """
    found: dict[Node, str] = {}
    for predictor in spec.predictors.values():
        terms = [*predictor.fixed.terms, *(term for group in predictor.groups for term in group.columns.terms)]
        terms += [group.factor for group in predictor.groups]
        for node in dict.fromkeys(node for term in terms for node in term):
            if isinstance(node, Call) and node.function in TERMS:
                continue
            evaluator = Evaluator(columns, predictor.formula)
            try:
                evaluator.value(node)
                learns = bool(evaluator.learned)
            except BayesglmmError:  # such as a column that happens to be constant in these rows
                learns = any(isinstance(inner, Call) for inner in walk(node)) and _numeric(node, columns)
            if learns:
                found.setdefault(node, predictor.formula)
    return tuple(found.items())


def _numeric(node: Node, columns: Columns) -> bool:
    names = [name.text for name in column_names(node)]
    return bool(names) and all(name in columns and isinstance(columns[name], Numeric) for name in names)


def states(nodes: Sequence[tuple[Node, str]], whole: Mapping[str, Floats]) -> dict[str, Mapping[str, Any]]:
    """Return what expressions learn from whole columns, by their text."""
    found: dict[str, Mapping[str, Any]] = {}
    for node, formula in nodes:
        names = dict.fromkeys(name.text for name in column_names(node))
        own = {name: Numeric(whole[name]) for name in names if name in whole}
        n = len(next(iter(own.values())).values)
        evaluator = Evaluator(Columns(n, own, np.arange(n)), formula)
        evaluator.value(node)
        found[str(node)] = evaluator.learned
    return found


def learn(
    spec: FormulaSpec,
    rows: pd.DataFrame,
    family: Family,
    weights: tuple[str | None, str | None],
    matrices: Mapping[str, Any] | None,
    state: Mapping[str, Mapping[str, Any]],
) -> Learned:
    """Bind a formula on the rows of the survey.

    Parameters
    ----------
    spec : FormulaSpec
    rows : DataFrame
    family : Family
    weights : tuple of (str or None)
        Columns of weights and likelihood weights.
    matrices : mapping, optional
        Of covariance structures.
    state : mapping of str to mapping
        From `states`.
    """
    notes: list[str] = []
    loaded = load(spec, rows, *weights)
    coder = ResponseCoder(spec.response, spec.text, family)
    response = coder.code(loaded.columns, loaded.weights, loaded.likelihood_weights, notes)
    family.check(response)
    coder = replace(coder, categories=response.categories or None)
    parts = bind_parts(spec, loaded.columns, family, notes, matrices)
    parts = {key: _stateful(part, state) for key, part in parts.items()}
    parts = {key: settle(part, loaded.columns, notes, check=False) for key, part in parts.items()}
    return Learned(loaded, parts, coder, response, notes)


def _stateful(part: PredictorPart, state: Mapping[str, Mapping[str, Any]]) -> PredictorPart:
    """Return a part whose functions remember all rows, not those that it was bound on."""

    def atoms(given: tuple[Atom, ...]) -> tuple[Atom, ...]:
        return tuple(replace(atom, state=state.get(str(atom.node), atom.state)) for atom in given)

    def linear(given: LinearPart) -> LinearPart:
        return replace(given, atoms=atoms(given.atoms))

    groups = tuple(replace(own, left=linear(own.left), factors=atoms(own.factors)) for own in part.groups)
    return replace(part, linear=linear(part.linear), groups=groups)


def predictor_names_of(parts: Mapping[str, PredictorPart], family: Family, response: Response) -> dict[str, str]:
    """Return the key of the formula for every predictor, in the order of the model."""
    main = family.main_predictors(response)
    return {name: key for key in parts for name in (main if key == MAIN else (key,))}
