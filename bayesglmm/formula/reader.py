"""The way in: formula text -> `FormulaSpec`."""

from __future__ import annotations

from collections.abc import Sequence

from bayesglmm.errors import FormulaError
from bayesglmm.formula.expand import expand, refuse_bars_and_dots, summands
from bayesglmm.formula.nonlinear import Nonlinear, parse_expression_of, parse_parameters
from bayesglmm.formula.parser import Sides, parse_sides
from bayesglmm.formula.spec import FormulaSpec, PredictorSpec, ResponseSpec
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Node, walk

MAIN = ""
"""Key of the main formula's predictor."""


def parse(formulas: str | Sequence[str]) -> FormulaSpec:
    """Read the formulas of a model.

    Parameters
    ----------
    formulas : str, sequence of str or Nonlinear
        ``"y ~ x + (1 | g)"``, or the main formula followed by those of further family parameters, whose left side
        is the parameter's name: ``["y ~ x + (1 | g)", "sigma ~ z"]``.

    Returns
    -------
    FormulaSpec

    Raises
    ------
    FormulaError
        With a caret below the place at which the text makes no sense.

    Examples
    --------
    >>> spec = parse("cbind(incidence, size - incidence) ~ period + (1 | herd)")
    >>> [str(factor) for factor in spec.predictors[""].groups[0].factor]
    ['herd']
    """
    given = formulas if isinstance(formulas, Nonlinear) else None
    main, *others = _texts(formulas) if given is None else (given.main, *given.others)
    sides = parse_sides(main)
    response = _response(sides, main)
    predictors = {MAIN: _predictor(sides, main)} if given is None else parse_parameters(given)
    expression = None if given is None else parse_expression_of(given, sides.right, response.value)
    for text in others:
        parsed = parse_sides(text)
        parameter = _parameter(parsed, text, response)
        if parameter in predictors:
            raise FormulaError(f"`{parameter}` has two formulas.", text, 0)
        predictors[parameter] = _predictor(parsed, text)
    return FormulaSpec(main, response, predictors, expression)


def _texts(formulas: object) -> list[str]:
    example = "such as 'y ~ x + (1 | g)', or a list of them"
    if isinstance(formulas, str):
        return [formulas]
    if not isinstance(formulas, Sequence) or isinstance(formulas, bytes | bytearray):
        raise FormulaError(f"A formula is a text {example}, not {formulas!r} of type {type(formulas).__name__}.")
    if not formulas:
        raise FormulaError(f"The list of formulas is empty. Give a text {example}.")
    for text in formulas:
        if not isinstance(text, str):
            raise FormulaError(f"A formula is a text {example}; the list holds {text!r}.")
    return list(formulas)


def _predictor(sides: Sides, formula: str) -> PredictorSpec:
    fixed, groups = expand(sides.right, formula)
    return PredictorSpec(str(sides.right), fixed, groups, formula)


def _parameter(sides: Sides, formula: str, response: ResponseSpec) -> str:
    example = "`sigma ~ x`"
    match sides.left:
        case None:
            message = f"A further formula names the family parameter on its left side, as in {example}."
            raise FormulaError(message, formula, sides.tilde)
        case Name(parameter) if parameter != ".":
            if sides.left in list(walk(response.value)):
                message = (
                    f"`{parameter}` already is the response; a model has one. A further formula is for a family "
                )
                raise FormulaError(message + f"parameter, as in {example}.", formula, sides.left.position)
            return parameter
        case left:
            message = f"The left side of a further formula is the plain name of a family parameter, as in {example}, "
            raise FormulaError(message + f"not `{left}`; its link belongs to the family.", formula, _start(left))


def _response(sides: Sides, formula: str) -> ResponseSpec:
    match sides.left:
        case None:
            message = "The response is missing: write `y ~ ...`."
            raise FormulaError(message, formula, sides.tilde)
        case Binary("|", value, additions):
            found = _additions(additions, formula)
        case value:
            found = ()
    _check_value(value, formula)
    return ResponseSpec(str(sides.left), value, found)


def _check_value(value: Node, formula: str) -> None:
    match value:
        case Group(Binary("|", inner, added)):
            message = f"Write the response without the parentheses: `{inner} | {added}`."
            raise FormulaError(message, formula, value.position)
        case Binary("|" | "||"):
            message = "After the response stands one bar, and additions are joined by `+`: "
            message += "`y | trials(n) + weights(w)`."
            raise FormulaError(message, formula, value.position)
    refuse_bars_and_dots(value, formula)
    if not any(isinstance(node, Name) for node in walk(value)):
        raise FormulaError(f"The response `{value}` names no column.", formula, _start(value))


def _additions(tree: Node, formula: str) -> tuple[Call, ...]:
    found: dict[str, Call] = {}
    for minus, part in summands(tree):
        if minus or not isinstance(part, Call):
            message = "After `|` in a response stand calls joined by `+`, as in `y | trials(n) + weights(w)`"
            raise FormulaError(f"{message}; found `{'-' if minus else ''}{part}`.", formula, _start(part))
        if part.function in found:
            raise FormulaError(f"`{part.function}(...)` is given twice.", formula, part.position)
        refuse_bars_and_dots(part, formula)
        found[part.function] = part
    return tuple(found.values())


def _start(node: Node) -> int:
    """Return where the text of a node begins; an operation itself stands at its operator."""
    return min(part.position for part in walk(node))
