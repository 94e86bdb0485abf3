"""Hypotheses about parameters, ``"x > 0"``, ``"sd[herd] > sd[farm]"``: posterior probability and evidence ratio.

The text is read by the parser of formulas and evaluated by walking its tree with a fixed table of functions; nothing
of it is run as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from bayesglmm.blocks import Floats
from bayesglmm.errors import FormulaError, SettingsError, UnknownNameError, did_you_mean
from bayesglmm.formula.parser import parse_expression
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Node, Number, Unary
from bayesglmm.results.draws import interval
from bayesglmm.results.effects.table import EffectTable, effect_table
from bayesglmm.results.schema import ESTIMATES
from bayesglmm.results.tables import parameters

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.results.fit import Fit

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "tanh": np.tanh,
    "logit": special.logit,
    "qlogis": special.logit,
    "inv_logit": special.expit,
    "expit": special.expit,
    "plogis": special.expit,
    "pnorm": special.ndtr,
    "min": np.minimum,
    "max": np.maximum,
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}
_SIGNS = {">": 1.0, ">=": 1.0, "<": -1.0, "<=": -1.0}


def hypothesis(fit: Fit, hypotheses: str | Sequence[str], prob: float) -> EffectTable:
    """Return what the draws say of hypotheses; see `Fit.hypothesis`."""
    interval(prob)
    texts = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise SettingsError('A hypothesis is text such as "x > 0"; give one or several.')
    estimated = ESTIMATES in fit.data.children
    of_draws = named_values(fit, fit.draws)
    of_point = named_values(fit, fit.point) if estimated else None
    draws, point, shares = [], [], []
    for text in texts:
        tree = read(text, of_draws)
        difference = evaluate(tree.left, of_draws, text) - evaluate(tree.right, of_draws, text)
        flat = np.broadcast_to(difference, _size(of_draws)).reshape(-1)
        if np.isnan(flat).any():
            raise SettingsError(f"{text!r} is not a number in {int(np.isnan(flat).sum()):,} of {flat.size:,} draws.")
        draws.append(flat)
        shares.append(float(np.mean(_SIGNS[tree.operator] * flat > 0.0)))
        if of_point is not None:
            at = evaluate(tree.left, of_point, text) - evaluate(tree.right, of_point, text)
            point.append(float(np.asarray(at).reshape(-1)[0]))
    labels = pd.DataFrame({"hypothesis": texts})
    values = np.stack(draws, axis=-1)[:, :, None]
    note = "Left side minus right side; probability: the share of draws in which the hypothesis holds"
    note += " (of a flat prior, to the normal approximation)." if estimated else "."
    about = {"note": note, "question": "hypothesis", "columns": ["hypothesis"], "null": 0.0}
    at_estimates = np.array(point)[None, :, None] if estimated else None
    table = effect_table(labels, values, at_estimates, None, _size(of_draws), prob, about, estimated)
    table["probability"] = shares
    with np.errstate(divide="ignore"):
        table["evidence_ratio"] = np.array(shares) / (1.0 - np.array(shares))
    return table


def _size(values: Mapping[str, Floats]) -> tuple[int, int]:
    shape = next(iter(values.values())).shape
    return shape[0], shape[1]


def named_values(fit: Fit, dataset: xr.Dataset) -> dict[str, Floats]:
    """Return draws by the names of `Fit.summary`, and ``sd[g]`` for the only standard deviation of a factor."""
    found = parameters(fit.problem, dataset)
    values = {parameter.label: np.asarray(parameter.values, dtype=float) for parameter in found}
    for kind in ("sd", "cor"):
        own = [parameter for parameter in found if parameter.kind == kind]
        for parameter in own:
            short = f"{parameter.label.split('[')[0]}[{parameter.group}]"
            alike = [other for other in own if other.label.startswith(f"{short[:-1]},")]
            if len(alike) == 1 and short not in values:
                values[short] = values[alike[0].label]
    return values


def read(text: str, known: Mapping[str, Any]) -> Binary:
    """Return the comparison that a hypothesis is.

    Parameters
    ----------
    text : str
    known : mapping
        By names that may stand in it as they are, brackets and colons included.

    Raises
    ------
    SettingsError
        If it is no comparison in one direction.
    FormulaError
        If it cannot be read.
    """
    marked = with_backticks(text, known)
    if re.search(r"(?<![<>=!])=(?![=])|==|!=", re.sub(r"`[^`]*`", "", marked)):
        raise SettingsError(
            f'{text!r}: to be exactly equal has posterior probability 0. Ask for a direction, "a > b", or for '
            'a range that counts as no difference, "abs(a - b) < 0.1".'
        )
    outside = re.sub(r"`[^`]*`", "", marked)
    if unknown := re.search(r"[\w.]+\[[^\]]*\](:[\w.\[\]]+)?", outside):
        raise UnknownNameError(f"{text!r}: no parameter is called {unknown[0]!r}. {did_you_mean(unknown[0], known)}")
    if len(re.findall(r"[<>]=?", outside)) > 1:
        raise SettingsError(f'{text!r} compares more than once; give several hypotheses: ["a > b", "b > c"].')
    tree = parse_expression(marked)
    while isinstance(tree, Group):
        tree = tree.inner
    if not (isinstance(tree, Binary) and tree.operator in _SIGNS):
        raise SettingsError(f'{text!r} is no hypothesis: write a comparison with > or <, such as "x > 0".')
    return tree


def with_backticks(text: str, known: Mapping[str, Any]) -> str:
    """Put known names that are no plain words into backticks, the longest name that fits first; spaces are free."""
    names = sorted(known, key=len, reverse=True)
    patterns = [r"\s*".join(re.escape(piece) for piece in re.split(r"\s+", name)) for name in names]
    pattern = re.compile("|".join(f"(?P<n{j}>{own})" for j, own in enumerate(patterns)))
    pieces, at = [], 0
    while at < len(text):
        if text[at] == "`":
            end = text.find("`", at + 1)
            end = len(text) if end < 0 else end + 1
            pieces.append(text[at:end])
            at = end
            continue
        found = pattern.match(text, at) if not (at and _inside(text[at - 1])) else None
        if found and not (_inside(found[0][-1]) and found.end() < len(text) and _inside(text[found.end()])):
            name = names[int(str(found.lastgroup)[1:])]
            pieces.append(f"`{name}`")
            at = found.end()
            continue
        pieces.append(text[at])
        at += 1
    return "".join(pieces)


def _inside(character: str) -> bool:
    return character.isalnum() or character in "_."


def evaluate(node: Node, values: Mapping[str, Floats], text: str) -> Any:
    """Return the value of an expression of parameters, draw by draw.

    Raises
    ------
    UnknownNameError
        For names and functions that there are not.
    """
    match node:
        case Number():
            return float(node.value)
        case Name():
            if node.text not in values:
                raise UnknownNameError(
                    f"{text!r}: no parameter is called {node.text!r}. {did_you_mean(node.text, values)}"
                )
            return values[node.text]
        case Group():
            return evaluate(node.inner, values, text)
        case Unary(operator, operand) if operator in "+-":
            own = evaluate(operand, values, text)
            return -own if operator == "-" else own
        case Binary(operator, left, right) if operator in _OPERATORS:
            with np.errstate(all="ignore"):
                return _OPERATORS[operator](evaluate(left, values, text), evaluate(right, values, text))
        case Call():
            return _called(node, values, text)
    raise FormulaError(f"{text!r}: `{node}` has no meaning in a hypothesis; it takes + - * / ^ and functions.")


def _called(node: Call, values: Mapping[str, Floats], text: str) -> Any:
    if node.function not in FUNCTIONS:
        raise UnknownNameError(
            f"{text!r}: no function is called {node.function!r} here. {did_you_mean(node.function, FUNCTIONS)}"
        )
    wanted = 2 if node.function in ("min", "max") else 1
    if len(node.args) != wanted or node.kwargs:
        raise FormulaError(f"{text!r}: `{node.function}` takes {wanted} argument{'s' if wanted > 1 else ''}.")
    with np.errstate(all="ignore"):
        return FUNCTIONS[node.function](*(evaluate(argument, values, text) for argument in node.args))
