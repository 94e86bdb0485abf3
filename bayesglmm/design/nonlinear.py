"""A nonlinear predictor meets data: its text becomes an `Expression`, and what is data alone becomes columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError, FormulaError, UnknownNameError, did_you_mean
from bayesglmm.expressions import OPERATORS, SMOOTH, Apply, Column, Constant, Expression, Parameter
from bayesglmm.expressions import Node as Tree
from bayesglmm.families.base import Family
from bayesglmm.formula import FormulaSpec, NonlinearSpec
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Node, Unary, walk
from bayesglmm.terms import TERMS, Columns
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.functions import FUNCTIONS
from bayesglmm.terms.names import CONSTANTS, caret, column_names


@dataclass(frozen=True, eq=False)
class NonlinearPart:
    """An expression that has met data and can meet other data.

    Attributes
    ----------
    expression : Expression
    start : mapping of str to float
        Where searches start, as far as the user said.
    nodes : tuple of Node
        What is computed from data alone, in the order of ``expression.columns``.
    formula : str
        For carets.
    state : mapping
        What functions such as ``scale`` learned.
    """

    expression: Expression
    start: Mapping[str, float]
    nodes: tuple[Node, ...]
    formula: str
    state: Mapping[str, Any]

    def covariates(self, columns: Columns) -> dict[str, Floats]:
        """Return what is computed from data alone, for these rows, by its text.

        Raises
        ------
        DataError
            If a value is not finite.
        """
        evaluator = Evaluator(columns, self.formula, self.state)
        found = {}
        for text, node in zip(self.expression.columns, self.nodes, strict=True):
            with np.errstate(all="ignore"):
                values = evaluator.floats(node)
            if values.ndim > 1:
                raise FormulaError(f"`{text}` has several columns; here one number per row is needed.", self.formula)
            values = np.ascontiguousarray(np.broadcast_to(values, (columns.n,)))
            bad = ~np.isfinite(values)
            if bad.any():
                row = columns.rows[int(np.argmax(bad))]
                message = f"`{text}` is not a finite number in {int(bad.sum()):,} rows (first: row {row})."
                raise DataError(caret(message, self.formula, _begin(node)))
            found[text] = values
        return found


def expression_names(spec: FormulaSpec) -> dict[str, Name]:
    """Return the names in the expression that are no parameters: they have to be columns."""
    if spec.nonlinear is None:
        return {}
    found: dict[str, Name] = {}
    for name in column_names(spec.nonlinear.expression):
        if name.text not in spec.nonlinear.parameters:
            found.setdefault(name.text, name)
    return found


def check_names(spec: FormulaSpec, known: Sequence[str], family: Family) -> None:
    """Refuse names that mean nothing, or two things.

    Raises
    ------
    UnknownNameError
        For a name in the expression that is neither column nor parameter.
    DataError
        For a parameter that is called like a column or like a parameter of the family.
    FormulaError
        For the response in a formula of a parameter, and families with several main predictors.
    """
    given = spec.nonlinear
    if given is None:
        return
    for name in given.parameters:
        if name in known:
            raise DataError(
                f"{name!r} is a parameter of the expression and a column of the data. Rename one of them."
            )
        if name in {own.name for own in family.parameters}:
            raise DataError(f"{name!r} is a parameter of the family {family.name!r} already; call yours differently.")
    for text, node in expression_names(spec).items():
        if text not in known and text not in CONSTANTS:
            message = f"{text!r} is neither a column of the data nor a parameter with a formula. "
            message += f"{did_you_mean(text, [*given.parameters, *known])} "
            message += f'To make it a parameter, give it a formula: {text}="~ 1".'
            raise UnknownNameError(caret(message, given.formula, node.position))
    if not isinstance(spec.response.value, Name):
        return
    for key in given.parameters:
        predictor = spec.predictors[key]
        nodes: Iterable[Node] = [node for term in predictor.fixed.terms for node in term]
        for found in (found for node in nodes for found in column_names(node)):
            if found == spec.response.value:
                message = f"`{found}` is the response and cannot explain the parameter {key!r}."
                raise FormulaError(message, predictor.formula, found.position)


def bind_nonlinear(spec: NonlinearSpec, columns: Columns) -> NonlinearPart:
    """Let an expression meet data.

    Parameters
    ----------
    spec : NonlinearSpec
    columns : Columns

    Raises
    ------
    FormulaError, UnknownNameError
        For what cannot stand in an expression of parameters; with a caret.
    """
    translator = _Translator(spec, columns)
    tree = translator.tree(spec.expression)
    expression = Expression(str(spec.expression), spec.parameters, tuple(translator.columns), tree)
    nodes = tuple(translator.columns.values())
    return NonlinearPart(expression, spec.start, nodes, spec.formula, dict(translator.evaluator.learned))


class _Translator:
    """One walk over the syntax tree; gathers the pieces that are data alone."""

    def __init__(self, spec: NonlinearSpec, columns: Columns) -> None:
        self.spec = spec
        self.evaluator = Evaluator(columns, spec.formula)
        self.columns: dict[str, Node] = {}

    def tree(self, node: Node) -> Tree:
        self._refuse_terms(node)
        names = {name.text for name in walk(node) if isinstance(name, Name)}
        if not names & set(self.spec.parameters):
            return self._data(node)
        match node:
            case Name(text):
                return Parameter(self.spec.parameters.index(text))
            case Group(inner):
                return self.tree(inner)
            case Unary(sign, operand):
                return Apply("-", (self.tree(operand),)) if sign == "-" else self.tree(operand)
            case Binary(operator, left, right) if operator in OPERATORS:
                return Apply(operator, (self.tree(left), self.tree(right)))
            case Call(function, (argument,), ()) if function in SMOOTH:
                return Apply(function, (self.tree(argument),))
            case Call():
                self._refuse_call(node)
            case Binary(operator):
                message = f"`{operator}` has steps or comes from linear formulas; an expression of parameters has to "
                message += f"be smooth. Its operators are {' '.join(OPERATORS)}."
                raise FormulaError(message, self.spec.formula, node.position)
        raise FormulaError(f"`{node}` cannot be a number.", self.spec.formula, _begin(node))

    def _data(self, node: Node) -> Tree:
        """Return a constant, or the column that the data make of this piece."""
        with np.errstate(all="ignore"):
            values = self.evaluator.floats(node)
        if values.ndim == 0 and not any(name.text in self.evaluator.columns for name in column_names(node)):
            if not np.isfinite(values):
                raise FormulaError(f"`{node}` is not a finite number.", self.spec.formula, _begin(node))
            return Constant(float(values))
        text = str(node.inner if isinstance(node, Group) else node)
        self.columns.setdefault(text, node)
        return Column(list(self.columns).index(text))

    def _refuse_terms(self, node: Node) -> None:
        if isinstance(node, Call) and node.function in TERMS:
            first = self.spec.parameters[0]
            message = f"`{node}` is a term and belongs into the formula of a parameter: {first}='~ {node}'."
            raise FormulaError(message, self.spec.formula, node.position)

    def _refuse_call(self, node: Call) -> None:
        functions = list(dict.fromkeys(own.name for own in SMOOTH.values()))
        if node.function in SMOOTH:
            message = f"Of a parameter `{node.function}` takes one argument"
            message += ": write log(x) / log(base)." if node.function == "log" else f", not `{node}`."
            raise FormulaError(message, self.spec.formula, node.position)
        if node.function in FUNCTIONS:
            message = f"`{node.function}` cannot be applied to a parameter: the expression has to be smooth. "
            raise FormulaError(message + f"Functions: {', '.join(functions)}.", self.spec.formula, node.position)
        message = f"Unknown function `{node.function}`. {did_you_mean(node.function, list(SMOOTH))}"
        raise UnknownNameError(caret(message, self.spec.formula, node.position))


def _begin(node: Node) -> int:
    return min(part.position for part in walk(node))
