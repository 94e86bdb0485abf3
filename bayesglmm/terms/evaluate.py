"""Evaluation of the arithmetic inside a formula, on our own tree: numbers, columns and the functions on a list.

Nothing is handed to Python's `eval`, and names are looked up in the data alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError, FormulaError, UnknownNameError
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Node, Number, String, Unary
from bayesglmm.terms.base import TERMS
from bayesglmm.terms.columns import Columns, Factor, Numeric, Value, boolean_factor, level_label
from bayesglmm.terms.functions.base import FUNCTIONS
from bayesglmm.terms.names import INTERCEPT, caret, unknown_column, unknown_function

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "%%": np.mod,
    "%/%": np.floor_divide,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_NUMBERS = {"pi": np.pi, "Inf": np.inf}
_FLAGS = {"TRUE": True, "T": True, "True": True, "FALSE": False, "F": False, "False": False}


class Evaluator:
    """Evaluates expressions of one formula on one set of rows.

    Functions with a memory (``scale``, ``poly``) learn from the rows of the model and are replayed on new ones.

    Parameters
    ----------
    columns : Columns
        The rows.
    formula : str
        Text of the whole formula, for carets.
    state : mapping of str to mapping, optional
        What an earlier evaluator learned, by the text of the call. Without it this one learns, into `learned`.
    """

    def __init__(self, columns: Columns, formula: str, state: Mapping[str, Any] | None = None) -> None:
        self.columns = columns
        self.formula = formula
        self.replays = state is not None
        self.learned: dict[str, Any] = dict(state or {})

    # ------------------------------------------------------------------------------------------- values

    def value(self, node: Node) -> Value:
        """Return what an expression stands for.

        Raises
        ------
        UnknownNameError
            For columns and functions that do not exist.
        FormulaError, DataError
            For expressions that mean nothing, or not with these data.
        """
        with np.errstate(all="ignore"):  # whatever is not finite is reported by name, once, where it is used
            return self._value(node)

    def _value(self, node: Node) -> Value:
        match node:
            case Number():
                return Numeric(np.asarray(node.value))
            case Name():
                return self._name(node)
            case Group(inner):
                return self._value(inner)
            case Unary(sign, operand):
                values = self.floats(operand)
                return Numeric(-values if sign == "-" else values)
            case Binary(operator) if operator in _ARITHMETIC:
                return Numeric(_ARITHMETIC[operator](self.floats(node.left), self.floats(node.right)))
            case Binary(operator) if operator in _COMPARISONS:
                return self._comparison(node)
            case Call(function):
                if function in FUNCTIONS:
                    return FUNCTIONS.get(function).run(self, node)
                if function in TERMS:
                    self.fail(f"`{node}` is a term of its own and cannot stand inside another expression.", node)
                raise unknown_function(node, self.formula)
            case String():
                self.fail(f"The text {node} cannot be a value here; a column is named without quotes.", node)
            case _:
                self.fail(f"`{node}` is not arithmetic.", node)

    def _name(self, node: Name) -> Value:
        if node.text in self.columns:
            return self.columns[node.text]
        if node.text == INTERCEPT:
            return Numeric(np.ones(self.columns.n))
        if node.text in _NUMBERS:
            return Numeric(np.asarray(_NUMBERS[node.text]))
        if node.text in _FLAGS:
            return boolean_factor(np.full(self.columns.n, _FLAGS[node.text]))
        raise unknown_column(node, self.columns.values, self.formula)

    def _comparison(self, node: Binary) -> Value:
        sides: list[Node] = [node.left, node.right]
        values = [None if isinstance(side, String) else self._value(side) for side in sides]
        text = [isinstance(v, Factor) and not v.boolean for v in values]
        if not any(text) and None not in values:
            left, right = (self.floats(side) for side in sides)
            return boolean_factor(np.broadcast_to(_COMPARISONS[node.operator](left, right), (self.columns.n,)))
        if node.operator not in ("==", "!="):
            self.fail(f"`{node}` compares text by `{node.operator}`; only == and != are possible.", node)
        labels = [self._labels(side, value) for side, value in zip(sides, values, strict=True)]
        equal = np.broadcast_to(labels[0] == labels[1], (self.columns.n,))
        return boolean_factor(equal if node.operator == "==" else ~equal)

    def _labels(self, side: Node, value: Value | None) -> Any:
        match value:
            case None:
                return self.text(side)
            case Factor(codes, levels):
                return np.array(levels, dtype=object)[codes]
            case Numeric(values):
                return np.array([level_label(v) for v in np.atleast_1d(values).tolist()], dtype=object)

    def floats(self, node: Node) -> Floats:
        """Return an expression as numbers in double precision, shape (), (n,) or (n, m).

        Raises
        ------
        DataError
            If it holds text or categories.
        """
        match self._value(node):
            case Numeric() as value:
                return value.floats
            case Factor(codes, levels, boolean=boolean):
                if boolean:
                    return codes.astype(np.float64)
                shown = ", ".join(levels[:5]) + (", ..." if len(levels) > 5 else "")
                message = f"`{node}` holds categories ({shown}), but numbers are needed here."
                raise DataError(caret(message, self.formula, node.position))

    # --------------------------------------------------------------------------- arguments of functions

    def match(self, call: Call, names: Sequence[str], required: int = 1) -> dict[str, Node]:
        """Return the arguments of a call by name: first the named ones, then the others in order, as R does.

        Parameters
        ----------
        call : Call
        names : sequence of str
            What the function takes.
        required : int
            How many of them, from the first, must be given.

        Raises
        ------
        FormulaError
            For spare, unknown or missing arguments.
        """
        found = dict(call.kwargs)
        for name, value in call.kwargs:
            if name not in names:
                self.fail(f"`{call.function}` has no argument `{name}`; it takes {', '.join(names)}.", value)
        free = [name for name in names if name not in found]
        if len(call.args) > len(free):
            self.fail(f"`{call}` has too many arguments; it takes {', '.join(names)}.", call)
        found |= dict(zip(free, call.args, strict=False))
        missing = [name for name in names[:required] if name not in found]
        if missing:
            self.fail(f"`{call}` lacks the argument {', '.join(missing)}.", call)
        return found

    def text(self, node: Node) -> str:
        """Return a string argument; numbers count as the level of that name."""
        match node:
            case String(text):
                return text
            case Number():
                return level_label(node.value)
        self.fail(f"Here stands a text in quotes, not `{node}`.", node)

    def texts(self, node: Node) -> tuple[str, ...]:
        """Return the strings of ``c("a", "b")``, or of one string."""
        match node:
            case Call("c", args, ()):
                return tuple(self.text(arg) for arg in args)
        return (self.text(node),)

    def flag(self, node: Node) -> bool:
        """Return a truth value."""
        match node:
            case Name(text) if text in _FLAGS:
                return _FLAGS[text]
        self.fail(f"Here stands TRUE or FALSE, not `{node}`.", node)

    def whole(self, node: Node) -> int:
        """Return a whole number."""
        match node:
            case Number() if node.value % 1 == 0:
                return int(node.value)
            case Unary("-", Number() as number) if number.value % 1 == 0:
                return -int(number.value)
        self.fail(f"Here stands a whole number, not `{node}`.", node)

    def fail(self, message: str, node: Node) -> NoReturn:
        """Raise a `FormulaError` with a caret below `node`."""
        raise FormulaError(message, self.formula, node.position)

    def recall(self, call: Call, learn: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return what a call learned from the rows of the model; learn it if these are they."""
        key = str(call)
        if key not in self.learned:
            if self.replays:
                raise UnknownNameError(f"`{key}` was never evaluated on the data of the model.")
            self.learned[key] = dict(learn())
        found: Mapping[str, Any] = self.learned[key]
        return found
