"""What each column of the data is in a model: read from the formula and the bound terms, never from labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bayesglmm.design.needed import predictor_names
from bayesglmm.design.nonlinear import expression_names
from bayesglmm.design.predictors import PredictorPart
from bayesglmm.formula import FormulaSpec
from bayesglmm.formula.syntax import Call, Node
from bayesglmm.terms import TERMS
from bayesglmm.terms.atoms import Atom
from bayesglmm.terms.names import CONSTANTS, column_names


class ColumnRoles(NamedTuple):
    """Columns of the data by what the model makes of them; one column can be several things.

    Attributes
    ----------
    response : frozenset of str
        Those that the left side mentions.
    groups : frozenset of str
        Those that the grouping factors are computed from.
    factors : frozenset of str
        Those whose values are coded as levels, numbers among them: ``C(year)``. Grouping factors count, conditions
        such as ``x > 3`` do not.
    population : frozenset of str
        Those that a prediction needs whatever the groups: columns of all linear predictors but for their grouping
        factors, and of a nonlinear expression.
    offsets : frozenset of str
        Those of `population` that only offsets are computed from.
    """

    response: frozenset[str]
    groups: frozenset[str]
    factors: frozenset[str]
    population: frozenset[str] = frozenset()
    offsets: frozenset[str] = frozenset()


def roles(spec: FormulaSpec, parts: Mapping[str, PredictorPart]) -> ColumnRoles:
    """Return what each column is in a model.

    Parameters
    ----------
    spec : FormulaSpec
        With ``.`` expanded.
    parts : mapping of str to PredictorPart
    """
    groups = _named(node for own in spec.predictors.values() for group in own.groups for node in group.factor)
    smooths = [smooth for part in parts.values() for term in part.specials for smooth in term.smooths]
    selectors = {name for smooth in smooths for name in smooth.selectors}
    selectors |= {name for part in parts.values() for term in part.specials for name in term.categories}
    coded = _named(
        atom.node for part in parts.values() for atom in _atoms(part) if atom.is_factor and not atom.boolean
    )
    response = _named([spec.response.value, *spec.response.additions])
    population = {name for own in spec.predictors.values() for name in predictor_names(own, factors=False)}
    population |= set(expression_names(spec))
    return ColumnRoles(
        response, groups, groups | selectors | coded, frozenset(population) - CONSTANTS, offset_columns(spec)
    )


def offset_columns(spec: FormulaSpec) -> frozenset[str]:
    """Return the columns that offsets are computed from and nothing else is."""
    known: list[Node] = []
    other: list[Node] = []
    for own in spec.predictors.values():
        for node in (node for term in own.fixed.terms for node in term):
            is_known = isinstance(node, Call) and node.function in TERMS and TERMS.get(node.function).known
            (known if is_known else other).append(node)
        other += [node for group in own.groups for term in group.columns.terms for node in term]
        other += [node for group in own.groups for node in group.factor]
    return _named(known) - _named(other) - set(expression_names(spec)) - CONSTANTS


def _atoms(part: PredictorPart) -> Iterable[Atom]:
    yield from part.linear.atoms
    for group in part.groups:
        yield from group.left.atoms


def _named(nodes: Iterable[Node]) -> frozenset[str]:
    return frozenset(name.text for node in nodes for name in column_names(node))
