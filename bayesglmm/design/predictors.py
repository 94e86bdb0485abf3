"""One right side + data -> the blocks of one family parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import FIXED, FixedBlock, OffsetBlock, Predictor, RandomBlock
from bayesglmm.design.checks import check_columns
from bayesglmm.errors import FormulaError
from bayesglmm.formula import GroupSpec, PredictorSpec
from bayesglmm.formula.spec import Interaction
from bayesglmm.formula.syntax import Call
from bayesglmm.terms import TERMS, BoundTerm, Columns, Context
from bayesglmm.terms.group import GroupPart, bind_groups, group_text, refuse_shared_columns
from bayesglmm.terms.linear import LinearPart, bind_linear
from bayesglmm.terms.membership import MEMBERSHIP, bind_membership


@dataclass(frozen=True, eq=False)
class PredictorPart:
    """A right side that has met data and can meet other data.

    Attributes
    ----------
    linear : LinearPart
    specials : tuple of BoundTerm
        Terms written as calls.
    groups : tuple of GroupPart
    constant_elsewhere : bool
        Whether cutpoints take the place of the constant.
    """

    linear: LinearPart
    specials: tuple[BoundTerm, ...]
    groups: tuple[GroupPart, ...]
    constant_elsewhere: bool = False

    @property
    def dense_columns(self) -> int:
        """Columns of the length of the data that the blocks will hold."""
        return (
            self.linear.width
            + sum(term.width for term in self.specials)
            + sum(group.left.width + 1 for group in self.groups)
        )

    @property
    def coefficients(self) -> int:
        """Population coefficients and group effects."""
        return (
            self.linear.width
            + sum(term.width for term in self.specials)
            + sum(group.left.width * len(group.levels) for group in self.groups)
        )

    def predictor(self, parameter: str, columns: Columns, groups: bool = True) -> Predictor:
        """Return the blocks for these rows; see `Design.rebind` for `groups`."""
        blocks = [block for term in self.specials for block in term.blocks(columns)]
        linear = (self.linear.block(columns),) if self.linear.width else ()
        return Predictor(
            parameter,
            columns.n,
            (*linear, *(block for block in blocks if isinstance(block, FixedBlock))),
            (
                *(group.block(columns, groups) for group in self.groups),
                *(block for block in blocks if isinstance(block, RandomBlock)),
            ),
            tuple(block for block in blocks if isinstance(block, OffsetBlock)),
        )


def bind_predictor(
    spec: PredictorSpec,
    columns: Columns,
    constant: bool,
    notes: list[str],
    matrices: Mapping[str, Any] | None = None,
) -> PredictorPart:
    """Let a right side meet the data; nothing of the size of the data is made yet.

    Parameters
    ----------
    spec : PredictorSpec
        With ``.`` expanded.
    columns : Columns
    constant : bool
        False where the family's cutpoints take the place of the constant.
    notes : list of str
        Receives what readers should know.
    matrices : mapping, optional
        What covariance structures name: adjacency of regions and the like.
    """
    formula = spec.formula
    calls, plain = [], []
    products: list[tuple[Call, Interaction]] = []
    for term in spec.fixed.terms:
        special = [node for node in term if isinstance(node, Call) and node.function in TERMS]
        if special and len(term) > 1:
            if len(special) > 1 or not TERMS.get(special[0].function).interacts:
                message = f"`{special[0]}` is a term of its own and cannot take part in an interaction."
                raise FormulaError(message, formula, special[0].position)
            products.append((special[0], term))
            continue
        calls += special
        if not special:
            plain.append(term)
    fixed = replace(spec.fixed, terms=tuple(plain))
    context = Context(columns, formula, spec.fixed.intercept or not constant, notes, matrices or {})
    linear = bind_linear(fixed, context, FIXED, constant)
    specials = tuple(TERMS.get(call.function).bind(call, context) for call in calls)
    _refuse_same_smooth(specials, calls, formula)
    for call, term in products:
        others, label = [node for node in term if node != call], ":".join(map(str, term))
        specials += (TERMS.get(call.function).bind_product(call, others, label, context),)
    groups = [_bound_groups(group, context, _label(group, spec.groups)) for group in spec.groups]
    refuse_shared_columns([parts[0] for parts in groups], spec.groups, formula)
    return PredictorPart(linear, specials, tuple(part for parts in groups for part in parts), not constant)


def _refuse_same_smooth(terms: Sequence[BoundTerm], calls: Sequence[Call], formula: str) -> None:
    seen: set[str] = set()
    for term, call in zip(terms, calls, strict=True):
        for smooth in term.smooths:
            if smooth.label in seen:
                message = f"There are two smooths called `{smooth.label}`: their sum is one. Leave one of them out."
                raise FormulaError(message, formula, call.position)
            seen.add(smooth.label)


def _bound_groups(spec: GroupSpec, context: Context, label: str) -> tuple[GroupPart, ...]:
    several = any(isinstance(node, Call) and node.function == MEMBERSHIP for node in spec.factor)
    return (bind_membership(spec, context, label),) if several else bind_groups(spec, context, label)


def _label(group: GroupSpec, groups: Sequence[GroupSpec]) -> str:
    """Return the text of a group term; the parts of ``(1 | a/b)`` share theirs and are told apart."""
    shared = sum(other.text == group.text for other in groups) > 1
    return group_text(group) if shared else group.text


def settle(part: PredictorPart, columns: Columns, notes: list[str], check: bool = True) -> PredictorPart:
    """Leave out combinations of levels that never occur, and refuse columns that cannot be told apart.

    Parameters
    ----------
    part : PredictorPart
    columns : Columns
        Rows in which every combination of levels is.
    notes : list of str
        Receives what was left out.
    check : bool
        False where the rows are too few to tell columns apart; see `check_predictor`.

    Raises
    ------
    DataError
        For constant, duplicate and linearly dependent columns, by name.
    """
    linear = part.linear
    if linear.width:
        X = linear.matrix(columns)
        empty = [c.name for j, c in enumerate(linear.columns) if len(c.pieces) > 1 and not np.any(X[:, j])]
        if empty:
            notes.append(f"No row has the combination {', '.join(empty[:10])}: left out.")
            linear = replace(linear, dropped=frozenset(empty))
    if check:
        if linear.width:
            check_columns(linear.block(columns), part.constant_elsewhere)
        for group in (group for group in part.groups if not group.indexed):
            check_columns(group.left.block(columns), False, f" of {group.label}")
    return replace(part, linear=linear, specials=_settled_terms(part, linear, columns, notes))


def check_predictor(part: PredictorPart, predictor: Predictor) -> None:
    """Refuse columns that cannot be told apart, as `settle` does, from blocks that have been made.

    Raises
    ------
    DataError
        For constant, duplicate and linearly dependent columns, by name.
    """
    if part.linear.width:
        check_columns(predictor.fixed[0], part.constant_elsewhere)
    for group, block in zip(part.groups, predictor.random[: len(part.groups)], strict=True):
        if not group.indexed:
            columns = tuple(column.name for column in group.left.columns)
            check_columns(FixedBlock(FIXED, columns, columns, block.X), False, f" of {group.label}")


def _settled_terms(
    part: PredictorPart, linear: LinearPart, columns: Columns, notes: list[str]
) -> tuple[BoundTerm, ...]:
    """Let each term leave out the fixed columns that the linear part and the simpler terms before it have."""
    terms = list(part.specials)
    X = np.ones((columns.n, int(part.constant_elsewhere)))
    names = ("(the cutpoints)",) if part.constant_elsewhere else ()
    if linear.width:
        block = linear.block(columns)
        X, names = np.hstack([X, block.X]), (*names, *block.columns)
    for i in sorted(range(len(terms)), key=lambda i: terms[i].order):
        terms[i], kept = terms[i].settled(FixedBlock(FIXED, names, names, X), columns, notes)
        if kept:
            X = np.hstack([X, *(own.X for own in kept)])
            names = (*names, *(column for own in kept for column in own.columns))
    return tuple(terms)
