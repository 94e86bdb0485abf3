"""Which columns a formula needs: the dot expanded, every name found in the data, with carets where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bayesglmm.covariances import COVARIANCES
from bayesglmm.errors import DataError, did_you_mean
from bayesglmm.formula import FormulaSpec, GroupSpec, PredictorSpec
from bayesglmm.formula.spec import Interaction
from bayesglmm.formula.syntax import Call, Name, Node
from bayesglmm.terms import TERMS
from bayesglmm.terms.names import CONSTANTS, INTERCEPT, column_names, reserved_column, unknown_column


def response_names(spec: FormulaSpec) -> dict[str, Name]:
    """Return the columns of the left side."""
    return _first(name for node in (spec.response.value, *spec.response.additions) for name in column_names(node))


def optional_names(spec: FormulaSpec) -> frozenset[str]:
    """Return columns that may be missing or infinite in rows: bounds that not every row has."""
    found: set[str] = set()
    for call in spec.response.additions:
        bounds: tuple[Node, ...] = ()
        if call.function == "cens":
            bounds = (*call.args[1:], *(value for name, value in call.kwargs if name == "y2"))
        elif call.function == "trunc":
            bounds = (*call.args, *(value for _, value in call.kwargs))
        found |= {name.text for bound in bounds for name in column_names(bound)}
    needed = [name for node in (spec.response.value, *_leading(spec)) for name in column_names(node)]
    for predictor in spec.predictors.values():
        needed += predictor_names(predictor).values()
    return frozenset(found - {name.text for name in needed})


def _leading(spec: FormulaSpec) -> Iterator[Node]:
    for call in spec.response.additions:
        if call.function == "cens":
            yield from call.args[:1]
        elif call.function != "trunc":
            yield call


def predictor_names(spec: PredictorSpec, factors: bool = True) -> dict[str, Name]:
    """Return the columns of a right side; with ``factors=False`` without those that are grouping factors only."""
    nodes: list[Node] = [node for term in spec.fixed.terms for node in term]
    for group in spec.groups:
        nodes += [node for term in group.columns.terms for node in term]
        nodes += [group.by] if group.by is not None else []  # decides the distribution of a new level, too
        nodes += [*group.factor, *_column_options(group)] if factors else []
    return _first(name for node in nodes for name in column_names(node))


def matrix_options(group: GroupSpec) -> dict[str, Node]:
    """Return the options of a group term that name a matrix and no column, by keyword."""
    structure = COVARIANCES.get(group.word) if group.word in COVARIANCES else None
    matrices = () if structure is None else structure.matrices
    return {name: node for name, node in group.options if name in matrices}


def _column_options(group: GroupSpec) -> list[Node]:
    matrices = matrix_options(group)
    return [node for name, node in group.options if name not in matrices]


def check_matrices(spec: FormulaSpec, matrices: Any) -> None:
    """Refuse matrices that no term names.

    Raises
    ------
    DataError
        If they are no mapping, or one of them is not used.
    """
    if not isinstance(matrices, Mapping):
        raise DataError(f'cov= is a dict of matrices by name, {{"W": W}}, not a {type(matrices).__name__}.')
    named = [
        str(node)
        for predictor in spec.predictors.values()
        for group in predictor.groups
        for node in matrix_options(group).values()
    ]
    for name in matrices:
        if name not in named:
            hint = did_you_mean(str(name), named) if named else "No term of the formula takes a matrix."
            raise DataError(f"cov= has {name!r}, which no term names. {hint}")


def _first(names: Iterable[Name]) -> dict[str, Name]:
    found: dict[str, Name] = {}
    for name in names:
        found.setdefault(name.text, name)
    return found


def check_known(names: dict[str, Name], known: Sequence[str], formula: str) -> tuple[str, ...]:
    """Return the names that are columns.

    Raises
    ------
    UnknownNameError
        For a name that is neither a column nor a constant, with the nearest column.
    """
    there = set(known)
    for text, name in names.items():
        if text not in there and text not in CONSTANTS:
            raise unknown_column(name, known, formula)
    return tuple(text for text in names if text in there)


def check_reserved(spec: FormulaSpec, known: Sequence[str]) -> None:
    """Refuse a column called `Intercept` where the formula would need to say which one it means."""
    if INTERCEPT not in known:
        return
    if INTERCEPT in spec.names() or any(p.fixed.dot for p in spec.predictors.values()):
        raise reserved_column(INTERCEPT)


def expand_dots(spec: FormulaSpec, known: Sequence[str], taken: Iterable[str] = ()) -> FormulaSpec:
    """Replace ``.`` by the columns that it stands for.

    These are the columns that are not used elsewhere: not in the response, not as a grouping factor, not in a
    term of its own (``offset``, ``s``), not in a main effect (``log(x)``). A column that is only part of an
    interaction, or only varies by group, is included: without its main effect the interaction would mean something
    else.

    Parameters
    ----------
    spec : FormulaSpec
    known : sequence of str
        Columns of the data.
    taken : iterable of str
        Further columns that are used elsewhere: weights.
    """
    if not any(predictor.fixed.dot for predictor in spec.predictors.values()):
        return spec
    elsewhere = set(response_names(spec)) | set(taken)
    for predictor in spec.predictors.values():
        elsewhere |= {name.text for group in predictor.groups for node in group.factor for name in column_names(node)}
    expanded = {key: _without_dot(p, known, elsewhere) for key, p in spec.predictors.items()}
    return replace(spec, predictors=expanded)


def _without_dot(spec: PredictorSpec, known: Sequence[str], elsewhere: set[str]) -> PredictorSpec:
    if not spec.fixed.dot:
        return spec
    mains = [term[0] for term in spec.fixed.terms if len(term) == 1]
    special = [
        node for term in spec.fixed.terms for node in term if isinstance(node, Call) and node.function in TERMS
    ]
    used = elsewhere | {name.text for node in (*mains, *special) for name in column_names(node)}
    removed = {frozenset(term) for term in spec.fixed.removed}
    new: list[Interaction] = [
        (Name(text),) for text in known if text not in used and frozenset([Name(text)]) not in removed
    ]
    kept = [term for term in spec.fixed.terms if frozenset(term) not in removed]
    if not new and not kept:
        raise DataError(f"`.` in `{spec.formula}` stands for no column: all are used elsewhere.")
    terms = sorted([*new, *kept], key=len)
    return replace(spec, fixed=replace(spec.fixed, terms=tuple(terms), dot=False, removed=()))
