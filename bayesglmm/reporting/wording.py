"""The model of a fit in sentences."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bayesglmm.results.scales import scale_words

if TYPE_CHECKING:
    from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem
    from bayesglmm.results.fit import Fit

_NAMED = 8
_MODIFIERS = {
    "weights": "Rows have precision weights.",
    "likelihood_weights": "The log-likelihood of each row is multiplied by its weight.",
    "censoring": "Some responses are censored: known only to lie below, above or between bounds.",
}


def several(names: Sequence[str], most: int = _NAMED) -> str:
    """Return names as a sentence lists them, cut to a readable length."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def first_line(thing: object) -> str:
    """Return the first paragraph of the docstring of a class, which says what it is."""
    return " ".join((inspect.getdoc(type(thing)) or "").split("\n\n")[0].split())


def in_words(fit: Fit) -> list[str]:
    """Return the model in paragraphs."""
    problem = fit.problem
    return [
        _response(problem),
        *(_predictor(problem, part) for part in problem.predictors),
        *(text for part in problem.predictors for text in _effects(part)),
        *_smooths(fit),
        *_others(problem),
    ]


def _response(problem: Problem) -> str:
    family, response = problem.family, problem.response
    what = first_line(family).split(";")[0].rstrip(".")
    said = f"The response is {response.name}, of the family {family.name}" + (f": {what}." if what else ".")
    if response.categories:
        said += f" Its categories are {several(response.categories, 20)}."
    extra = [text for name, text in _MODIFIERS.items() if getattr(response, name, None) is not None]
    if getattr(response, "lower", None) is not None or getattr(response, "upper", None) is not None:
        extra.append("The distribution is truncated.")
    if (residual := problem.residual) is not None:
        where = "of all rows" if residual.block.group == "1" else f"of rows of the same {residual.block.group}"
        extra.append(f"Residuals {where} are correlated, {residual.block.label}: {first_line(residual.structure)}")
    return " ".join([said, *extra])


def _predictor(problem: Problem, part: PredictorParts) -> str:
    name = part.names.parameter
    columns = part.predictor.columns
    linear = {own.names.parameter for own in problem.linear_predictors}
    scale = scale_words(problem, name).plain if name in linear else f"the parameter {name} of the expression"
    intercept = part.predictor.intercept
    slopes = [column for j, column in enumerate(columns) if j != intercept]
    parts = ["an intercept"] if intercept is not None else []
    if slopes:
        parts.append(f"population effects of {several(slopes)}")
    groups = list(dict.fromkeys(block.block.group for block in part.blocks if block.block.kind == "group"))
    if groups:
        parts.append(f"effects of the levels of {several(groups)}")
    curves = [block.label for block in part.predictor.fixed if block.label != "fixed"]
    curves += [block.block.label for block in part.blocks if block.block.kind == "smooth"]
    if curves:
        parts.append(f"the functions {several(list(dict.fromkeys(curves)))}")
    if part.predictor.offsets:
        parts.append(f"the known part {several([offset.label for offset in part.predictor.offsets])}")
    link = problem.links[name].name
    how = f"The parameter {name}, through its {link} link (scale: {scale})," if name in linear else f"T{scale[1:]}"
    return f"{how} is the sum of {'; '.join(parts) or 'nothing: it is zero'}."


def _effects(part: PredictorParts) -> Iterator[str]:
    for own in part.blocks:
        if own.block.kind == "group":
            yield _block(own)


def _block(own: BlockParts) -> str:
    block = own.block
    terms = several(block.terms)
    levels = f"{len(block.levels):,} levels" + (f" with {block.portion.label}" if block.portion is not None else "")
    if len(block.terms) == 1 and set(own.parameters) == {"sd"} and not own.covariance.new_levels:
        spread = "independently of each other, and are normal with mean 0 and one standard deviation"
    else:
        structure = own.covariance
        what = first_line(structure).rstrip(".")
        spread = f"and are normal with mean 0 and the covariance structure {structure.name}" + (
            f" ({what})" if what else ""
        )
    return f"The effects of {terms} vary by {block.group} ({levels}) {spread}. This is {block.label} of the formula."


def _smooths(fit: Fit) -> Iterator[str]:
    if fit.design is None:
        return
    shared = set()
    for found in fit.design.smooths.values():
        for smooth in found:
            if smooth.label not in shared:
                shared.add(smooth.label)
                yield f"{smooth.label} is a smooth function of the data: {smooth.title}."


def _others(problem: Problem) -> Iterator[str]:
    names = list(problem.dispersions)
    if names:
        verb = "is one number" if len(names) == 1 else "are numbers"
        yield f"{several(names)} {verb} for all rows, estimated with the rest."
