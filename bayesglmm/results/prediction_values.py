"""Numbers of a prediction from draws and rows: the linear predictor, its mean integrated over groups, outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from bayesglmm.blocks import FixedBlock, Floats, OffsetBlock, Predictor, Response
from bayesglmm.results.levels import Effects

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator

# Nodes of Gauss-Hermite quadrature: 31 are exact to four digits for a logit link and a standard deviation of 3.
NODES = 31


def axis_of(evaluator: Evaluator, response: Response, scale: str) -> tuple[str, tuple[str, ...]] | None:
    """Return name and labels of the axis after the rows, if there is one: categories, or several predictors."""
    family = evaluator.problem.family
    main = family.main_predictors(response)
    if scale == "link":
        return ("predictor", tuple(main)) if len(main) > 1 else None
    if family.response in ("ordinal", "nominal"):
        return "category", tuple(response.categories)
    return None


def values_of(
    evaluator: Evaluator, effects: Effects, response: Response, part: slice, scale: str, rng: np.random.Generator
) -> Any:
    """Return the predictions of a slice of rows, draw by draw.

    Parameters
    ----------
    evaluator : Evaluator
    effects : Effects
        Draws and rows with the group effects in place.
    response : Response
        Of all rows.
    part : slice
    scale : {"response", "link", "outcome"}
    rng : numpy.random.Generator
        For outcomes.

    Returns
    -------
    ndarray, shape (S, m) or (S, m, K)
        Outcomes of ordinal and nominal responses are codes of categories, shape (S, m).
    """
    predictors = {name: rows_of(predictor, part) for name, predictor in effects.predictors.items()}
    own = response_of(response, part)
    etas = evaluator.predictors(effects.draws, evaluator.arrays(predictors))
    if scale == "link":
        main = evaluator.problem.family.main_predictors(response)
        found = evaluator.link_scale(etas, own)
        return found[main[0]] if len(main) == 1 else np.stack([found[name] for name in main], axis=-1)
    if scale == "response":
        total: Any = 0.0
        for shifted, weight in integration(effects, etas, part):
            total = total + weight * evaluator.mean(effects.draws, shifted, own)
        return total
    return evaluator.simulate(effects.draws, etas, rng, own)


def nodes_of(effects: Effects) -> tuple[Floats, Floats]:
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


def spreads_of(effects: Effects, part: slice) -> dict[str, Floats]:
    """Return the standard deviation of the averaged effects of each predictor that has some, shape (S, m)."""
    found = {}
    for name, pairs in effects.averaged.items():
        if pairs:
            variance = sum(np.square(np.einsum("mi,sij->smj", X[part], factor)).sum(axis=-1) for X, factor in pairs)
            found[name] = np.sqrt(variance)
    return found


def integration(
    effects: Effects, etas: Mapping[str, Floats], part: slice
) -> Iterator[tuple[dict[str, Floats], float]]:
    """Yield predictors and weights whose weighted mean integrates over new levels of the averaged blocks.

    The sum of all averaged effects of one predictor is normal with variance z' Lambda Lambda' z, so one dimension
    of quadrature per predictor is exact, however many grouping factors and slopes there are.
    """
    spreads = spreads_of(effects, part)
    nodes, weights = nodes_of(effects)
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

    def offset(block: OffsetBlock) -> OffsetBlock:
        return replace(block, values=block.values[part])

    return Predictor(
        predictor.parameter,
        len(range(*part.indices(predictor.n))),
        tuple(map(fixed, predictor.fixed)),
        tuple(block.rows(part) for block in predictor.random),
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
