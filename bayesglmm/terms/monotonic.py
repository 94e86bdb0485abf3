"""Monotonic effects of ordered predictors, ``mo(x)``: one coefficient, and how it is shared among the steps.

With D + 1 categories x = 0, ..., D the term adds b D (zeta_1 + ... + zeta_x), where zeta is a simplex (Buerkner and
Charpentier 2020). So b is the mean difference between neighbouring categories, as in brms; zeta says which steps make
it up. An interaction ``mo(x):z`` multiplies by z and has a simplex of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Block, Floats, RandomBlock
from bayesglmm.errors import DataError, FormulaError, did_you_mean
from bayesglmm.formula.syntax import Call, Name, Node
from bayesglmm.terms.atoms import Atom, bind_atom
from bayesglmm.terms.base import TERMS, BoundTerm, Context, Term
from bayesglmm.terms.columns import Columns, Factor, Numeric, level_label
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.names import caret, column_names

MOST = 50


@dataclass(frozen=True, eq=False)
class BoundMonotonic(BoundTerm):
    """A monotonic term that has met data.

    Attributes
    ----------
    label : str
    width : int
        Number of steps D.
    node : Node
        The ordered predictor.
    formula : str
        For carets.
    levels : tuple of str
        Its categories, D + 1 of them, in their order.
    factors : tuple of Atom
        What it is multiplied by.
    """

    label: str
    width: int
    node: Node
    formula: str
    levels: tuple[str, ...]
    factors: tuple[Atom, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(name.text for name in column_names(self.node))

    def blocks(self, columns: Columns) -> tuple[Block, ...]:
        steps = np.arange(self.width)
        X = self.width * (self._codes(columns)[:, None] > steps).astype(np.float64)
        for atom in self.factors:
            X *= atom.numbers(columns)
        names = tuple(f"{low} to {high}" for low, high in zip(self.levels[:-1], self.levels[1:], strict=True))
        index = np.zeros(columns.n, dtype=np.intp)
        return (RandomBlock(self.label, self.label, names, (self.label,), index, X, "monotonic", kind="smooth"),)

    def _codes(self, columns: Columns) -> Floats:
        """Return the category of each row, from 0."""
        value = Evaluator(columns, self.formula).value(self.node)
        match value:
            case Factor():
                names = [value.levels[code] for code in value.codes]
            case Numeric():
                names = [level_label(float(v)) for v in np.broadcast_to(value.floats, (columns.n,))]
        place = {level: i for i, level in enumerate(self.levels)}
        for i, name in enumerate(names):
            if name not in place:
                raise DataError(
                    f"`{self.label}`: row {columns.rows[i]} has {name!r}, which is none of the categories of the "
                    f"model. {did_you_mean(name, self.levels)}"
                )
        return np.array([place[name] for name in names], dtype=np.float64)


class Monotonic(Term):
    """``mo(x)`` and ``mo(x):z``."""

    name = "mo"
    interacts = True

    def bind(self, call: Call, context: Context) -> BoundTerm:
        return self.bind_product(call, (), str(call), context)

    def bind_product(self, call: Call, others: Sequence[Node], label: str, context: Context) -> BoundTerm:
        if len(call.args) != 1 or call.kwargs:
            message = f"`mo` takes one ordered column, mo(x), not `{call}`."
            raise FormulaError(message, context.formula, call.position)
        atoms = tuple(bind_atom(node, context.columns, context.formula, context.notes) for node in others)
        for atom in atoms:
            if len(atom.parts) != 1:
                message = f"`{label}`: a monotonic effect is multiplied by numbers; for the levels of `{atom.label}` "
                message += "make columns of zeros and ones."
                raise FormulaError(message, context.formula, atom.node.position)
        levels = self._levels(call, context)
        return BoundMonotonic(label, len(levels) - 1, call.args[0], context.formula, levels, atoms)

    def _levels(self, call: Call, context: Context) -> tuple[str, ...]:
        node = call.args[0]
        value = Evaluator(context.columns, context.formula).value(node)
        if isinstance(value, Factor):
            levels = value.levels
            if not value.ordered and not value.boolean:
                name = node.text if isinstance(node, Name) else str(node)
                message = f"The categories of `{node}` have no order: make it pandas.Categorical({name}, "
                message += f"categories=[...], ordered=True). Its levels are {', '.join(levels[:8])}."
                raise DataError(caret(message, context.formula, call.position))
        else:
            numbers = np.broadcast_to(value.floats, (context.columns.n,))
            if np.any(numbers != np.round(numbers)):
                first = numbers[np.argmax(numbers != np.round(numbers))]
                message = f"`{call}` needs an ordered factor or whole numbers, one per category; it has {first:g}."
                raise DataError(caret(message, context.formula, call.position))
            low, high = int(numbers.min()), int(numbers.max())
            if high - low > MOST:
                message = f"`{node}` runs from {low} to {high}: `mo` is for at most {MOST} steps; a smooth, "
                message += f"s({node}), takes numbers as numbers."
                raise DataError(caret(message, context.formula, call.position))
            levels = tuple(str(value) for value in range(low, high + 1))
        if len(levels) < 2:
            message = f"`{node}` has one category ({', '.join(levels)}): it has no effect."
            raise DataError(caret(message, context.formula, call.position))
        return levels


TERMS.register(Monotonic())
