"""Predictions: for rows used or new rows, for these groups, a typical one, a new one, or on average over groups."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesglmm.blocks import FixedBlock, Floats, OffsetBlock, Predictor, RandomBlock, Response
from bayesglmm.errors import DataError, ModelWarning
from bayesglmm.results.draws import STATISTICS, check_choice, interval, pieces, seeded, stacked, summarise
from bayesglmm.results.levels import (
    AVERAGE,
    KNOWN_OR_NEW,
    NEW,
    THESE,
    TYPICAL,
    Effects,
    choices,
    place,
    require_known,
)
from bayesglmm.results.protocols import Rebindable
from bayesglmm.results.schema import row_labels

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem

SCALES = ("response", "link", "outcome")
# Nodes of Gauss-Hermite quadrature: 31 are exact to four digits for a logit link and a standard deviation of 3.
NODES = 31
_QUESTIONS = {
    "these": "for the groups of these rows",
    "typical": "for a typical group (group effects zero)",
    "new": "for a new group, drawn from the distribution of groups",
    "average": "averaged over the distribution of groups",
    "these or new": "for the groups of these rows; unknown groups are drawn from the distribution of groups",
}
_OF_ONE = {
    "these": "the effects of each row's own {group}",
    "typical": "the effects of {group} set to zero",
    "new": "the effects of a new {group}, drawn from their distribution",
    "average": "the average over the distribution of {group}",
    "these or new": "the effects of each row's own {group} (drawn from their distribution where it is unknown)",
}
_WHAT = {"response": "Expected response", "link": "Linear predictor", "outcome": "A future observation"}


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows to predict.

    Attributes
    ----------
    predictors : mapping of str to Predictor
    response : Response
        With the trials and weights that apply to them.
    labels : array, shape (n,)
    notes : tuple of str
        Sentences about what is predicted.
    remarks : tuple of str
        Sentences that warn: where smooths are extrapolated.
    """

    predictors: Mapping[str, Predictor]
    response: Response
    labels: Any
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def predict(
    evaluator: Evaluator,
    posterior: xr.Dataset,
    design: Rebindable | None,
    new: Any = None,
    groups: str | Mapping[str, str] = THESE,
    scale: str = "response",
    prob: float = 0.95,
    seed: int | None = None,
    draws: int | None = None,
) -> pd.DataFrame:
    """Predict; see `Fit.predict`.

    Parameters
    ----------
    evaluator : Evaluator
    posterior : xarray.Dataset
    design : Rebindable or None
        Needed for new data only.
    new : DataFrame or mapping, optional
    groups, scale, prob, seed, draws
        As in `Fit.predict`.
    """
    check_choice("scale", scale, SCALES)
    interval(prob)
    problem, rng = evaluator.problem, seeded(seed)
    chosen = choices(problem, groups)
    rows = _own_rows(evaluator) if new is None else _new_rows(evaluator, design, new, chosen, scale)
    if scale == "outcome":  # a future observation of an average group is one of a new group
        chosen = {group: NEW if word == AVERAGE else word for group, word in chosen.items()}
    effects = place(problem, stacked(posterior, draws), rows.predictors, chosen, rng)
    size = len(next(iter(effects.draws.values())))
    labels, width = _axis(evaluator, rows.response, scale)
    cost = size * width * (len(_nodes(effects)[1]) if scale == "response" else 1)
    tables = [
        summarise(_values(evaluator, effects, rows.response, part, scale, rng), prob)
        for part in pieces(len(rows.labels), cost)
    ]
    frame = _frame({name: np.concatenate([t[name] for t in tables]) for name in STATISTICS}, rows.labels, labels)
    about = _QUESTIONS[groups] if isinstance(groups, str) else _mixed(chosen)
    kept = _kept_smooths(problem, groups)
    frame.attrs["note"] = " ".join([f"{_WHAT[scale]} {about}.", *kept, *rows.notes, *rows.remarks])
    for remark in rows.remarks:
        warnings.warn(remark, ModelWarning, stacklevel=3)
    return frame


def predicted_draws(
    evaluator: Evaluator,
    posterior: xr.Dataset,
    design: Rebindable | None,
    new: Any,
    scale: str,
    groups: str | Mapping[str, str] = TYPICAL,
) -> Floats:
    """Return what `predict` summarises, draw by draw, for a few new rows: shape (S, m), or (S, m, K).

    Parameters
    ----------
    evaluator, posterior, design, new, groups
        As of `predict`.
    scale : {"response", "link"}
    """
    check_choice("scale", scale, SCALES[:2])
    chosen = choices(evaluator.problem, groups)
    rows = _new_rows(evaluator, design, new, chosen, scale)
    rng = seeded(0)  # of nothing: neither new groups nor outcomes are drawn
    effects = place(evaluator.problem, stacked(posterior, None), rows.predictors, chosen, rng)
    return np.asarray(_values(evaluator, effects, rows.response, slice(0, len(rows.labels)), scale, rng))


def drawn_rows(
    evaluator: Evaluator, design: Rebindable | None, new: Any, groups: str | Mapping[str, str]
) -> NDArray[np.bool_]:
    """Return which rows use effects of levels that are drawn, shape (n,); their predictions are no plain number.

    Parameters
    ----------
    evaluator, design, new, groups
        As of `predict`.
    """
    chosen = choices(evaluator.problem, groups)
    rows = _own_rows(evaluator) if new is None else _new_rows(evaluator, design, new, chosen, "link")
    drawn = np.zeros(len(rows.labels), dtype=bool)
    for block in (block for predictor in rows.predictors.values() for block in predictor.random):
        word = chosen[block.group] if block.kind == "group" else THESE
        drawn |= (word == NEW) | ((word == KNOWN_OR_NEW) & (block.index < 0))
    return drawn


def _mixed(chosen: Mapping[str, str]) -> str:
    """Say in words which effects of each grouping factor are meant."""
    said = [_OF_ONE[word].format(group=group) for group, word in chosen.items()]
    return f"with {', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else f"with {said[0]}"


def _kept_smooths(problem: Problem, groups: str | Mapping[str, str]) -> list[str]:
    """Return what must be said of smooths with effects of levels: `groups` does not reach them."""
    own = dict.fromkeys(part.block.label for part in problem.blocks if _has_levels(part.block))
    if groups == THESE or not own:
        return []
    return [f"The effects in {', '.join(own)} stay those of each row's own level, which must be known."]


def _has_levels(block: RandomBlock) -> bool:
    return block.kind == "smooth" and len(block.levels) > 1


def _own_rows(evaluator: Evaluator) -> Rows:
    problem = evaluator.problem
    predictors = {part.names.parameter: part.predictor for part in problem.predictors}
    return Rows(predictors, problem.response, row_labels(problem))


def _new_rows(
    evaluator: Evaluator, design: Rebindable | None, new: Any, chosen: Mapping[str, str], scale: str
) -> Rows:
    if design is None:
        raise DataError("This fit does not hold the design that new data need; only its own rows can be predicted.")
    problem = evaluator.problem
    own = any(word in (THESE, KNOWN_OR_NEW) for word in chosen.values())
    rows = design.rebind(new, groups=own)
    require_known(rows, chosen)
    notes: tuple[str, ...] = ()
    remarks = rows.remarks
    labels = new.index.to_numpy() if isinstance(new, pd.DataFrame) else np.arange(rows.n)
    trials = rows.trials
    if trials is None and problem.response.trials is not None:
        trials = np.ones(rows.n)
        if scale == "outcome":
            notes = ("The new data do not say how many trials there are: outcomes are of one trial each.",)
    weights = None if problem.response.weights is None else np.ones(rows.n)
    if weights is not None and scale == "outcome":  # nothing else depends on them
        if rows.weights is None:
            notes = ("The new data do not have the precision weights: outcomes are of weight 1 each.",)
        else:
            weights = _checked_weights(rows.weights, labels)
    response = Response(
        problem.response.name,
        np.zeros(rows.n),
        trials=trials,
        categories=problem.response.categories,
        weights=weights,
        covariates=rows.covariates,
    )
    return Rows(rows.predictors, response, labels, notes, remarks)


def _checked_weights(weights: Floats, labels: Any) -> Floats:
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        i = int(np.argmax(bad))
        raise DataError(
            f"The precision weights of new rows must be positive and finite; row {labels[i]} has {weights[i]:g}."
        )
    return weights


def _axis(evaluator: Evaluator, response: Response, scale: str) -> tuple[tuple[str, list[str]] | None, int]:
    """Return name and labels of the axis after the rows, if there is one, and its length."""
    family = evaluator.problem.family
    main = family.main_predictors(response)
    if scale == "link":
        return (("predictor", list(main)), len(main)) if len(main) > 1 else (None, 1)
    if family.response in ("ordinal", "nominal"):
        return ("category", list(response.categories)), len(response.categories)
    return None, 1


def _frame(found: Mapping[str, Floats], index: Any, axis: tuple[str, list[str]] | None) -> pd.DataFrame:
    if axis is None:
        return pd.DataFrame(dict(found), index=pd.Index(index))
    name, labels = axis
    columns = {name: np.tile(np.array(labels, dtype=object), len(index))}
    flat = {key: values.ravel() for key, values in found.items()}
    return pd.DataFrame(columns | flat, index=pd.Index(np.repeat(index, len(labels))))


def _values(
    evaluator: Evaluator, effects: Effects, response: Response, part: slice, scale: str, rng: np.random.Generator
) -> Any:
    """Return what is summarised for a slice of rows, shape (S, m) or (S, m, K)."""
    predictors = {name: rows_of(predictor, part) for name, predictor in effects.predictors.items()}
    own = response_of(response, part)
    etas = evaluator.predictors(effects.draws, evaluator.arrays(predictors))
    family = evaluator.problem.family
    if scale == "link":
        main = family.main_predictors(response)
        found = evaluator.link_scale(etas, own)
        return found[main[0]] if len(main) == 1 else np.stack([found[name] for name in main], axis=-1)
    if scale == "response":
        total: Any = 0.0
        for shifted, weight in _integration(effects, etas, part):
            total = total + weight * evaluator.mean(effects.draws, shifted, own)
        return total
    outcomes = evaluator.simulate(effects.draws, etas, rng, own)
    if family.response in ("ordinal", "nominal"):
        return (outcomes[..., None] == np.arange(len(response.categories))).astype(float)
    return outcomes


def _nodes(effects: Effects) -> tuple[Floats, Floats]:
    """Return nodes (q, d) and weights (q,) for d independent standard normal variables."""
    d = sum(bool(pairs) for pairs in effects.averaged.values())
    if d == 0:
        return np.zeros((1, 0)), np.ones(1)
    if d > 2:  # nominal responses: a product grid grows too fast, a fixed low-discrepancy set does not
        from scipy.stats import qmc

        points = qmc.Sobol(d, seed=20240229).random(512)
        return special.ndtri(points), np.full(512, 1.0 / 512)
    x, w = np.polynomial.hermite_e.hermegauss(NODES if d == 1 else 15)
    grid = np.stack(np.meshgrid(*[x] * d, indexing="ij"), axis=-1).reshape(-1, d)
    weights = np.prod(np.stack(np.meshgrid(*[w] * d, indexing="ij"), axis=-1).reshape(-1, d), axis=1)
    return grid, weights / weights.sum()


def _integration(
    effects: Effects, etas: Mapping[str, Floats], part: slice
) -> Iterator[tuple[dict[str, Floats], float]]:
    """Yield predictors and weights whose weighted mean integrates over new levels of the averaged blocks.

    The sum of all averaged effects of one predictor is normal with variance z' Lambda Lambda' z, so one dimension
    of quadrature per predictor is exact, however many grouping factors and slopes there are.
    """
    spreads = {}
    for name, pairs in effects.averaged.items():
        if pairs:
            variance = sum(np.square(np.einsum("mi,sij->smj", X[part], factor)).sum(axis=-1) for X, factor in pairs)
            spreads[name] = np.sqrt(variance)
    nodes, weights = _nodes(effects)
    for node, weight in zip(nodes, weights, strict=True):
        shifts = dict(zip(spreads, node, strict=True))
        yield (
            {name: eta + spreads[name] * shifts[name] if name in spreads else eta for name, eta in etas.items()},
            float(weight),
        )


def rows_of(predictor: Predictor, part: slice) -> Predictor:
    """Return a slice of the rows of a predictor."""

    def fixed(block: FixedBlock) -> FixedBlock:
        return replace(block, X=block.X[part])

    def random(block: RandomBlock) -> RandomBlock:
        column = None if block.column is None else block.column[part]
        return replace(block, X=block.X[part], index=block.index[part], column=column)

    def offset(block: OffsetBlock) -> OffsetBlock:
        return replace(block, values=block.values[part])

    return Predictor(
        predictor.parameter,
        len(range(*part.indices(predictor.n))),
        tuple(map(fixed, predictor.fixed)),
        tuple(map(random, predictor.random)),
        tuple(map(offset, predictor.offsets)),
    )


def response_of(response: Response, part: slice) -> Response:
    """Return a slice of the rows of a response, as far as the family's distribution reads it."""

    def cut(values: Any) -> Any:
        return None if values is None else values[part]

    return Response(
        response.name,
        response.y[part],
        cut(response.trials),
        response.categories,
        cut(response.weights),
        covariates={name: values[part] for name, values in response.covariates.items()},
    )
