"""What a model asks of the data that they cannot tell: findings that need no fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Predictor, RandomBlock, Response
from bayesglmm.design.separation import separation
from bayesglmm.results.checking.concurvity import concurvity
from bayesglmm.results.checks import Check, Word

if TYPE_CHECKING:
    from bayesglmm.families import Family
    from bayesglmm.graph.problem import Problem
    from bayesglmm.links import Link

_DETERMINED = 0.99  # share of a column that others determine: standard errors are ten times as large
_FEW_LEVELS = 5
_ALONE = 0.5  # share of levels with one row
_WIDEST = 400  # columns and levels that aliasing is looked for in
_CURVES = 0.98  # share of the worst curve of a smooth that other terms can draw


@dataclass(frozen=True, eq=False)
class Structure:
    """A model before it is fitted.

    Attributes
    ----------
    family : Family
    links : mapping of str to Link
    response : Response
    predictors : mapping of str to Predictor
        By family parameter, the main ones first.
    """

    family: Family
    links: Mapping[str, Link]
    response: Response
    predictors: Mapping[str, Predictor]

    @classmethod
    def of(cls, problem: Problem) -> Structure:
        """Return the structure of a problem."""
        predictors = {part.names.parameter: part.predictor for part in problem.predictors}
        return cls(problem.family, problem.links, problem.response, predictors)

    @property
    def main(self) -> tuple[str, Predictor]:
        """Name and blocks of the first main predictor."""
        return next(iter(self.predictors.items()))

    def prefix(self, parameter: str) -> str:
        """Return what comes before the names of a predictor: nothing for the main one, else ``sigma.``."""
        return "" if parameter == self.main[0] else f"{parameter}."


def findings(structure: Structure, coefficients: Mapping[str, Mapping[str, Any]] | None = None) -> list[Check]:
    """Return what is wrong between model and data; empty where nothing was found.

    Parameters
    ----------
    structure : Structure
    coefficients : mapping of str to mapping, optional
        By family parameter, estimated coefficients of every smooth by its label, where the model has been fitted:
        concurvity is then that of the estimated curve.
    """
    whole = (
        structure.response.moments is None
    )  # else a few rows stand for all: their columns do, row by row they do not
    found = [*_separated(structure)] if whole else []
    main = structure.family.main_predictors(structure.response)[1:]  # that share the blocks of the first
    for name, predictor in structure.predictors.items():
        if name not in main:
            prefix = structure.prefix(name)
            found += [*_collinear(predictor, prefix), *(_aliased_groups(predictor, prefix) if whole else ())]
            found += _levels(structure, name, predictor)
            found += [*_drawn_by_others(predictor, prefix, (coefficients or {}).get(name))]
    return found


def _separated(structure: Structure) -> Iterator[Check]:
    family, response, (name, predictor) = structure.family, structure.response, structure.main
    if name not in structure.links or not predictor.columns or response.covariates:
        return
    # Counts whose mean falls to zero with the predictor, where nothing else makes zeros.
    sure = all(parameter.domain != "unit" for parameter in family.parameters)
    zeros = family.discrete and family.response == "numeric" and structure.links[name].name == "log" and sure
    direction = separation(family.response, response, predictor.X, predictor.columns, zeros)
    if direction is None:
        return
    what = "zero counts" if family.response == "numeric" else "responses"
    named = tuple(column for column in direction.columns if column in predictor.columns)
    how = "complete" if direction.complete else "quasi-complete"
    several = len(direction.columns) > 1
    yield Check(
        "separation",
        direction.rows / direction.total,
        "0",
        "check",
        f"{'The combination ' if several else ''}{direction.combination} decides {direction.rows:,} of "
        f"{direction.total:,} {what} ({how} separation).",
        "The likelihood rises for ever along it: maximum likelihood has no finite estimate, and a posterior has the "
        "size that the prior gives it.",
        "Choose the prior of these coefficients on purpose, such as "
        f'priors={{"{(named or direction.columns)[0]}": bg.Prior("Normal", 0, 1)}}, or merge levels.',
        "model",
        named,
    )


def _collinear(predictor: Predictor, prefix: str) -> Iterator[Check]:
    """Find the column that others determine best; exact dependencies were refused when the model was made."""
    X, names = predictor.X, predictor.columns
    varying = [j for j in range(X.shape[1]) if np.ptp(X[:, j]) > 0.0]
    if len(varying) < 2 or len(varying) > _WIDEST:
        return
    own = X[:, varying] - X[:, varying].mean(axis=0) if predictor.intercept is not None else X[:, varying]
    own = own / np.linalg.norm(own, axis=0)
    inverse = np.linalg.pinv(own.T @ own, hermitian=True)
    inflation = np.diag(inverse)
    worst = int(np.argmax(inflation))
    share = 1.0 - 1.0 / max(float(inflation[worst]), 1.0)
    if share < _DETERMINED:
        return
    weights = np.abs(inverse[worst])
    weights[worst] = 0.0
    partners = [j for j in np.argsort(-weights) if weights[j] > 0.1 * weights.max()][:3]
    column, others = names[varying[worst]], [names[varying[j]] for j in partners]
    yield Check(
        "aliasing",
        share,
        f"< {_DETERMINED}",
        "check",
        f"{_nearly_all(share)} of the variation of {prefix}{column} is that of {', '.join(others)}.",
        f"Their coefficients can hardly be told apart: intervals are {np.sqrt(inflation[worst]):.0f} times as wide "
        "as for unrelated columns, and samplers are slow.",
        "Leave one out, or centre and scale: poly(x, 2) for powers, scale(x) in interactions.",
        "model",
        tuple(f"{prefix}{name}" for name in (column, *others)),
    )


def _nearly_all(share: float) -> str:
    """Return 0.99996 as ``99.996%``: as many nines as there are."""
    digits = int(np.clip(-np.floor(np.log10(max(1.0 - share, 1e-12))) - 2, 1, 6))
    return f"{100.0 * share:.{digits}f}%"


def _aliased_groups(predictor: Predictor, prefix: str) -> Iterator[Check]:
    """Find varying intercepts that population columns already draw, and factors with the same levels."""
    blocks = [
        b for b in predictor.random if b.kind == "group" and np.ndim(b.index) == 1 and _intercept(b) is not None
    ]
    X = predictor.X
    if 0 < X.shape[1] <= _WIDEST:
        Q = np.linalg.qr(X)[0]
        for block in blocks:
            if len(block.levels) <= min(_WIDEST, X.shape[1]) and _inside(Q, block):
                yield Check(
                    "aliasing",
                    1.0,
                    f"< {_DETERMINED}",
                    "check",
                    f"The population columns can draw an effect for each level of {prefix}{block.group}.",
                    f"The group effects of {block.label} add nothing that the data show: their standard deviation is "
                    "what its prior says.",
                    f"Drop {block.label}, or population terms that are constant within its levels.",
                    "model",
                    (block.label,),
                )
    for first, second in combinations(blocks, 2):
        if first.group != second.group and _same_levels(first, second):
            yield Check(
                "aliasing",
                1.0,
                f"< {_DETERMINED}",
                "check",
                f"{prefix}{first.group} and {prefix}{second.group} divide the rows in the same way.",
                "Only the sum of their variances can be told.",
                f"Drop {second.label}.",
                "model",
                (first.label, second.label),
            )


def _intercept(block: RandomBlock) -> int | None:
    """Return the position of the constant column of a block, None where there is none."""
    return next((j for j in range(block.X.shape[1]) if np.ptp(block.X[:, j]) == 0.0 and block.X[0, j] != 0.0), None)


def _inside(Q: Floats, block: RandomBlock) -> bool:
    """Return whether the indicators of all levels are combinations of orthonormal columns."""
    J = len(block.levels)
    sums = np.stack([np.bincount(block.index, q, minlength=J)[:J] for q in Q.T])
    sizes = np.bincount(block.index, minlength=J)[:J]
    return bool(np.all(sizes - np.square(sums).sum(axis=0) < 1e-8 * np.maximum(sizes, 1)))


def _same_levels(first: RandomBlock, second: RandomBlock) -> bool:
    pairs = len(np.unique(first.index.astype(np.int64) * (len(second.levels) + 1) + second.index))
    return pairs == len(np.unique(first.index)) == len(np.unique(second.index))


def _levels(structure: Structure, name: str, predictor: Predictor) -> Iterator[Check]:
    prefix = structure.prefix(name)
    for block in predictor.random:
        if block.kind != "group" or np.ndim(block.index) != 1 or _intercept(block) is None:
            continue
        sizes = np.bincount(block.index, minlength=len(block.levels))
        alone, J = int((sizes == 1).sum()), len(block.levels)
        label = f"{prefix}{block.group}"
        if alone > _ALONE * J:
            yield _one_row(structure, label, block, alone, J)
        elif J < _FEW_LEVELS:
            yield Check(
                "few levels",
                float(J),
                f">= {_FEW_LEVELS}",
                "check",
                f"{label} has {J} levels.",
                "So few say little about a standard deviation: its prior decides much.",
                f'Say what you know, priors={{"sd[{block.group}]": ...}}, or make {block.group} a population factor.',
                "model",
                (block.label,),
            )


def _one_row(structure: Structure, label: str, block: RandomBlock, alone: int, J: int) -> Check:
    beside = structure.family.normal_residual and alone == J
    everything = "Each of the" if alone == J else f"{alone:,} of the"
    word: Word = "check" if beside or len(block.terms) > 1 else "good"
    return Check(
        "one-row groups",
        alone / J,
        f"<= {_ALONE}" if word == "check" else "reported only",
        word,
        f"{everything} {J:,} levels of {label} {'has' if alone == J else 'have'} one row.",
        "The group effects and the residual cannot be told apart."
        if beside
        else "One row says nothing about a slope of its own."
        if len(block.terms) > 1
        else "The standard deviation is that of single observations: an effect per row.",
        f"Drop {block.label}." if beside else f"Use (1 | {block.group})." if len(block.terms) > 1 else "",
        "model",
        (block.label,),
    )


def _drawn_by_others(
    predictor: Predictor, prefix: str, coefficients: Mapping[str, Any] | None = None
) -> Iterator[Check]:
    table = concurvity(predictor, coefficients)
    if table is None:
        return
    measure = "observed" if coefficients is not None else "worst"
    for row in table.itertuples():
        value = float(getattr(row, measure))
        if value < _CURVES:
            continue
        which = "the estimated curve" if coefficients is not None else "a curve"
        yield Check(
            "concurvity",
            value,
            f"< {_CURVES}",
            "check",
            f"The other terms can draw {value:.0%} of {which} of {prefix}{row.term} (concurvity, as in mgcv).",
            "Which of them has the effect cannot be told; their intervals are wide and depend on each other.",
            f"Drop one of them, or give {prefix}{row.term} a smaller k.",
            "model",
            (f"{prefix}{row.term}",),
        )
