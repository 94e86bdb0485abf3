"""The model of a fit as equations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bayesglmm.blocks import RandomBlock
from bayesglmm.reporting.markup import Html, html, region, tag
from bayesglmm.reporting.notation import Expr, call, display, joined, row, sign, sub, symbol, words
from bayesglmm.results.tables import prefix_of

if TYPE_CHECKING:
    from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem

_SHOWN = 12  # columns of one predictor; the table of estimates has them all
_PER_LINE = 3
INTERCEPT = "Intercept"

type Line = tuple[Expr, Expr, Expr]


def equations(problem: Problem, expression: str = "") -> Html:
    """Return response, predictors and group effects of a model as MathML.

    Parameters
    ----------
    problem : Problem
    expression : str
        Right side of a nonlinear main formula.
    """
    lines = [_response(problem)]
    if expression:
        name = problem.family.main.name
        lines.append((_linked(name, problem.links[name].name), sign("="), words(expression)))
    for part in problem.predictors:
        lines += _predictor(problem, part)
    effects = [line for part in problem.predictors for line in _effects(part, prefix_of(problem, part))]
    return html([region("Equations of the model", display([*lines, *effects]))])


def _index(name: str) -> Expr:
    return sub(symbol(name), symbol("i"))


def _response(problem: Problem) -> Line:
    response, family = problem.response, problem.family
    arguments = [] if response.trials is None else [_index("n")]
    modelled = {part.names.parameter for part in problem.predictors}
    for own in family.parameters:
        names = family.main_predictors(response) if own is family.main else (own.name,)
        arguments += [_index(name) if own is family.main or name in modelled else symbol(name) for name in names]
    called = "".join(word.capitalize() for word in family.name.split("_"))
    return sub(symbol("y"), symbol("i")), sign("∼"), call(called, *arguments)


def _linked(name: str, link: str) -> Expr:
    return _index(name) if link == "identity" else call(link, _index(name))


def _predictor(problem: Problem, part: PredictorParts) -> Iterator[Line]:
    """Yield one predictor in lines of a few terms."""
    name = part.names.parameter
    left = _linked(name, problem.links[name].name)
    terms = list(_terms(part, prefix_of(problem, part))) or [words("0")]
    for start in range(0, len(terms), _PER_LINE):
        piece = joined(terms[start : start + _PER_LINE], sign("+"))
        nothing = words("")
        yield (left, sign("="), piece) if start == 0 else (nothing, nothing, row(sign("+"), piece))


def _terms(part: PredictorParts, prefix: str) -> Iterator[Expr]:
    predictor = part.predictor
    columns = [column for block in predictor.fixed if block.label == "fixed" for column in block.columns]
    for column in columns[:_SHOWN]:
        coefficient = sub(symbol("beta"), words(f"{prefix}{column}"))
        yield coefficient if column == INTERCEPT else _times(coefficient, column)
    if len(columns) > _SHOWN:
        yield words(f"... ({len(columns) - _SHOWN} more columns)")
    smooths = [block.label for block in predictor.fixed if block.label != "fixed"]
    smooths += [block.label for block in predictor.random if block.kind == "smooth"]
    for label in dict.fromkeys(smooths):
        yield sub(words(label), symbol("i"))
    for block in predictor.random:
        if block.kind == "group":
            yield from _of_group(block, prefix)
    for offset in predictor.offsets:
        yield sub(words(offset.label), symbol("i"))


def _times(coefficient: Expr, column: str) -> Expr:
    return row(coefficient, sign("·"), sub(words(column), symbol("i")))


def _of_group(block: RandomBlock, prefix: str) -> Iterator[Expr]:
    level = sub(words(block.group), symbol("i"))
    for term, column in list(zip(block.terms, block.columns, strict=True))[:_SHOWN]:
        effect = sub(symbol("b"), words(f"{prefix}{term}"), level)
        if block.portion is not None:  # one in the rows of its levels, else zero
            effect = _times(effect, block.portion.label)
        yield effect if column == INTERCEPT else _times(effect, column)
    if len(block.terms) > _SHOWN:
        yield words(f"... ({len(block.terms) - _SHOWN} more effects of {block.group})")


def _effects(part: PredictorParts, prefix: str) -> Iterator[Line]:
    """Yield the distribution of the effects of a level of every grouping factor."""
    for own in part.blocks:
        if own.block.kind == "group":
            yield _vector(own.block, prefix), sign("∼"), call("Normal", words("0"), _variance(own, prefix))


def _vector(block: RandomBlock, prefix: str) -> Expr:
    """Return the effects of one level."""
    level = words(block.group)
    terms: Sequence[str] = block.terms[:_SHOWN]
    effects = [sub(symbol("b"), words(f"{prefix}{term}"), level) for term in terms]
    if len(block.terms) > _SHOWN:
        effects.append(words("..."))
    return effects[0] if len(effects) == 1 else row(sign("("), joined(effects, sign(",")), sign(")"))


def _variance(own: BlockParts, prefix: str) -> Expr:
    """Return a squared standard deviation where that is all there is, else a matrix."""
    alone = len(own.block.terms) == 1 and set(own.parameters) == {"sd"} and not own.covariance.new_levels
    if not alone:
        some = () if own.block.portion is None else (words(own.block.portion.label),)
        return sub(symbol("Σ"), words(f"{prefix}{own.block.group}"), *some)
    spread = sub(words(f"{prefix}sd"), words(own.block.group), words(own.block.terms[0]))  # as tables call it
    return Expr(tag("msup", spread.markup, tag("mn", "2")), f"{spread.text}²")
