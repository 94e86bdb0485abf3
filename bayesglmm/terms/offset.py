"""``offset(expression)``: a known part of the predictor, with coefficient one."""

from __future__ import annotations

from dataclasses import dataclass

from bayesglmm.blocks import Block, OffsetBlock
from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula.syntax import Call
from bayesglmm.terms.atoms import Atom, bind_atom
from bayesglmm.terms.base import TERMS, BoundTerm, Context, Term
from bayesglmm.terms.columns import Columns
from bayesglmm.terms.names import caret


@dataclass(frozen=True, eq=False)
class BoundOffset(BoundTerm):
    """An offset that has met data; new rows bring their own values.

    Attributes
    ----------
    label : str
        ``offset(log(t))``.
    atom : Atom
        The expression.
    width : int
        It makes one column.
    """

    label: str
    atom: Atom
    width: int = 1

    def blocks(self, columns: Columns) -> tuple[Block, ...]:
        return (OffsetBlock(self.label, self.atom.numbers(columns)[:, 0].copy()),)


class Offset(Term):
    """``offset(log(t))``."""

    name = "offset"
    known = True

    def bind(self, call: Call, context: Context) -> BoundTerm:
        if len(call.args) != 1 or call.kwargs:
            message = f"`offset` takes one expression, as in `offset(log(t))`, not `{call}`."
            raise FormulaError(message, context.formula, call.position)
        atom = bind_atom(call.args[0], context.columns, context.formula, context.notes)
        if len(atom.parts) != 1:
            message = f"`{call}`: an offset is one column of numbers."
            raise DataError(caret(message, context.formula, call.position))
        return BoundOffset(str(call), atom)


TERMS.register(Offset())
