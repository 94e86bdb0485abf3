"""Whose group effects a prediction uses: those of its rows' own levels, none, a new level's, or all averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.arraymath import NUMPY, SEMIDEFINITE, semidefinite_factor
from bayesglmm.blocks import Floats, Predictor, RandomBlock
from bayesglmm.errors import DataError, UnknownNameError, did_you_mean
from bayesglmm.linalg import precision_draws, symmetric
from bayesglmm.results.draws import check_choice
from bayesglmm.results.protocols import NewRows

if TYPE_CHECKING:
    from bayesglmm.graph.problem import BlockParts, Problem

THESE, TYPICAL, NEW, AVERAGE, KNOWN_OR_NEW = "these", "typical", "new", "average", "these or new"
_MOST_NUMBERS = 5e8
_DENSE = 200  # coefficients per level up to which a dense factor is quicker than a sparse one
CHOICES = (THESE, TYPICAL, NEW, AVERAGE, KNOWN_OR_NEW)


def choices(problem: Problem, groups: str | Mapping[str, str]) -> dict[str, str]:
    """Return for every grouping factor whose effects are meant.

    Parameters
    ----------
    problem : Problem
    groups : str or mapping of str to str
        One word for all grouping factors, or one per factor; factors that are absent keep their own levels, but
        for interactions: a new level of ``g`` implies a new level of ``g:s``.

    Raises
    ------
    SettingsError, UnknownNameError
        For an unknown word or grouping factor.
    """
    known = list(dict.fromkeys(part.block.group for part in problem.blocks if part.block.kind == "group"))
    if isinstance(groups, str) or not isinstance(groups, Mapping):
        check_choice("groups", groups, CHOICES)
        return _possible(problem, dict.fromkeys(known, groups))
    for name, word in groups.items():
        if name not in known:
            raise UnknownNameError(f"groups: no grouping factor is called {name!r}. {did_you_mean(name, known)}")
        check_choice(f"groups[{name!r}]", word, CHOICES)
    return _possible(problem, {name: groups.get(name) or _implied(name, groups) for name in known})


def _possible(problem: Problem, chosen: dict[str, str]) -> dict[str, str]:
    """Return the choices, all of which the covariance structures can answer."""
    for part in problem.blocks:
        word, reason = chosen.get(part.block.group, THESE), part.covariance.new_levels
        if reason and word in (NEW, AVERAGE, KNOWN_OR_NEW):
            raise DataError(
                f"groups={word!r} needs the distribution of a new {part.block.group}, which `{part.block.label}` "
                f"does not give: {reason}. groups={THESE!r} takes the known ones, groups={TYPICAL!r} an "
                "effect of zero."
            )
    return chosen


def _implied(name: str, groups: Mapping[str, str]) -> str:
    """Return the word of a grouping factor that was not named: a level of g that was never seen has no known g:s."""
    parts = name.split(":")
    words = [word for group, word in groups.items() if set(group.split(":")) < set(parts)]
    return next((word for word in (NEW, AVERAGE, KNOWN_OR_NEW) if word in words), THESE)


def require_known(problem: Problem, rows: NewRows, chosen: Mapping[str, str]) -> None:
    """Raise if rows that should use their own levels have levels that the model has never seen."""
    for levels in (each for blocks in rows.new_levels.values() for each in blocks):
        if levels.levels and chosen.get(levels.group) == THESE:
            shown = ", ".join(map(repr, levels.levels[:10])) + (", ..." if len(levels.levels) > 10 else "")
            many = f"{len(levels.levels)} levels" if len(levels.levels) > 1 else "a level"
            own = next(part.block.levels for part in problem.blocks if part.block.group == levels.group)
            raise DataError(
                f"The new data have {many} of {levels.group!r} that the model has not seen: {shown}. "
                f"{did_you_mean(levels.levels[0], own)} There is no estimate of unknown effects. "
                f"groups={NEW!r} predicts for a new {levels.group} (its effect is drawn from the distribution of "
                f"{levels.group}), groups={KNOWN_OR_NEW!r} does so for the unknown levels only, groups={TYPICAL!r} "
                f"sets group effects to zero, groups={AVERAGE!r} averages over them."
            )


def level_factor(part: BlockParts, draws: Mapping[str, Floats]) -> Floats:
    """Return Lambda, shape (S, k, k): the effects of a new level are Lambda z with z standard normal.

    Raises
    ------
    DataError
        Where these are too many numbers: thousands of coefficients per level at each of thousands of draws.
    """
    size, k = len(draws[part.names.b]), len(part.block.terms)
    if float(size) * k * k > _MOST_NUMBERS:
        raise DataError(
            f"The covariance of the {k:,} coefficients of `{part.block.label}` at each of {size:,} draws is "
            f"{8e-9 * size * k * k:,.0f} GB, too much; groups={THESE!r} and groups={TYPICAL!r} need none."
        )
    factor: Floats = part.covariance.factor(level_values(part, draws), k, SEMIDEFINITE)
    return factor


def level_values(part: BlockParts, draws: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the parameters of a block's covariance by class, shape (S, ...), as its structure takes them."""
    values: dict[str, Any] = part.block.constants
    for declared in part.covariance.parameters(part.block):
        drawn = draws[part.names.variable(declared.name)]
        if declared.kind == "correlation":
            # Undefined beside a standard deviation of zero: whatever stands there is multiplied by it.
            known = np.where(np.isnan(drawn), np.eye(np.shape(drawn)[-1]), drawn)
            values[declared.name] = semidefinite_factor(known)
        else:
            # Undefined, too, and so is what stands there.
            values[declared.name] = np.where(np.isnan(drawn), 0.0, drawn)
    return values


def simulated_effects(part: BlockParts, draws: Mapping[str, Floats], rng: np.random.Generator) -> Floats:
    """Return effects of all levels drawn from their distribution at each draw of its parameters, shape (S, J, k)."""
    block, size = part.block, len(draws[part.names.b])
    alone = not part.covariance.new_levels  # levels are independent of each other
    if alone and (block.latent == "spherical" or len(block.terms) <= _DENSE):
        z = rng.standard_normal(np.shape(draws[part.names.b]))
        return np.asarray(z @ np.swapaxes(level_factor(part, draws), -1, -2))
    rows, columns = part.covariance.couplings(block)
    found = np.empty(np.shape(draws[part.names.b]))
    for s in range(size):
        own = {name: draws[part.names.variable(name)][s] for name in part.parameters}
        if np.any(own.get("sd", np.ones(1)) == 0.0):
            found[s] = 0.0
            continue
        entries, _ = part.covariance.precision(block.constants | own, block, NUMPY)
        Q = symmetric(np.asarray(entries), rows, columns, found[s].size)
        found[s] = precision_draws(Q, rng.standard_normal((found[s].size, 1)))[:, 0].reshape(found[s].shape)
    return found


@dataclass(frozen=True, eq=False)
class Effects:
    """Group effects put in place for a prediction.

    Attributes
    ----------
    draws : mapping of str to ndarray, shape (S, ...)
        Posterior variables, with the coefficients of replaced blocks.
    predictors : mapping of str to Predictor
        Rows, with the index of replaced blocks.
    averaged : mapping of str to tuple
        By family parameter the pairs (varying columns (n, k), Lambda (S, k, k)) that are to be averaged over.
    """

    draws: Mapping[str, Floats]
    predictors: Mapping[str, Predictor]
    averaged: Mapping[str, tuple[tuple[Floats, Floats], ...]]


def place(
    problem: Problem,
    draws: Mapping[str, Floats],
    predictors: Mapping[str, Predictor],
    chosen: Mapping[str, str],
    rng: np.random.Generator,
) -> Effects:
    """Replace the coefficients of grouping factors as chosen; smooths always stay.

    A new level has one effect per draw, which all of its rows share: averages and differences of rows then have the
    right spread, and curves over a grid of rows come out smooth.

    Parameters
    ----------
    problem : Problem
    draws : mapping of str to ndarray, shape (S, ...)
    predictors : mapping of str to Predictor
    chosen : mapping of str to str
        As `choices` made it.
    rng : numpy.random.Generator
        For new levels.
    """
    draws, replaced, averaged = dict(draws), {}, {}
    for parts in problem.predictors:
        name = parts.names.parameter
        blocks, variances = [], []
        for part, block in zip(parts.blocks, predictors[name].random, strict=True):
            word = chosen[block.group] if block.kind == "group" else THESE
            if word == AVERAGE:
                variances.append((block.X, level_factor(part, draws)))
            block, b = _replaced(part, block, draws, word, rng)
            draws[part.names.b] = b
            blocks.append(block)
        replaced[name] = replace(predictors[name], random=tuple(blocks))
        averaged[name] = tuple(variances)
    return Effects(draws, replaced, averaged)


def _replaced(
    part: BlockParts, block: RandomBlock, draws: Mapping[str, Floats], word: str, rng: np.random.Generator
) -> tuple[RandomBlock, Any]:
    b = draws[part.names.b]
    if word == THESE or (word == KNOWN_OR_NEW and not (block.index < 0).any()):
        return block, b
    size, k = len(b), len(block.terms)
    everyone = np.zeros(len(block.X), dtype=np.intp)
    if word in (TYPICAL, AVERAGE):
        return replace(block, levels=("typical",), index=everyone, shares=None), np.zeros((size, 1, k))
    count = 1 if word == NEW else -int(block.index.min())  # a row may belong to several levels that are new
    if word == NEW and block.shares is None:  # rows of one level share its effect, whatever level that is
        found, own = np.unique(block.index, return_inverse=True)
        count, everyone = len(found), own.reshape(-1)
    new = np.einsum("sij,slj->sli", level_factor(part, draws), rng.standard_normal((size, count, k)))
    if word == NEW:
        names = tuple(f"new {j + 1}" for j in range(count))
        return replace(block, levels=names, index=everyone, shares=None), new
    index = np.where(block.index < 0, b.shape[1] - 1 - block.index, block.index)
    names = ("new",) if count == 1 else tuple(f"new {j + 1}" for j in range(count))
    return replace(block, levels=(*block.levels, *names), index=index), np.concatenate([b, new], axis=1)
