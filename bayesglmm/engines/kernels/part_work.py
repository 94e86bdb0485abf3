"""What is computed where a part of the rows is: sums over its rows, and its own levels eliminated.

Every operation is a function of the part's structure and of what the driver knows: hyperparameters and the part's
piece of x. It returns nothing that has a value per row. Between operations only parts whose rows are in memory anyway
keep anything, and nothing that would change an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.adjoint import (
    Expansion,
    NaturalJacobian,
    Pull,
    curvature_slope,
    pulled,
    right_sides,
    third_order,
)
from bayesglmm.engines.kernels.correction import expected, mean_nodes
from bayesglmm.engines.kernels.level_sums import level_nodes, sums_by_level
from bayesglmm.engines.kernels.newton import Work, curves_upwards, positive_part
from bayesglmm.engines.kernels.rescaling import informations, scaled_rows
from bayesglmm.engines.kernels.row_means import Averages, row_antithetic, row_averages
from bayesglmm.engines.kernels.skewness import row_cumulants
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.engines.kernels.unbounded import moved_most, scaled_gram
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.parted import MemoryPart, of_part
from bayesglmm.graph.problem import Problem
from bayesglmm.linalg import ArrowBlocks, NotPositiveDefiniteError
from bayesglmm.linalg.arrow import Eliminated, eliminate
from bayesglmm.parts import Parts

_THIRD = "third derivatives"  # in what is kept with a view

type Operation = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Point:
    """Where a part is evaluated.

    Attributes
    ----------
    natural : mapping
        Hyperparameters on their natural scales.
    coefficients : ndarray
        Population coefficients that are not integrated out.
    x : ndarray, shape (size,)
        What is, in the part's layout: its own levels only.
    """

    natural: Mapping[str, Any]
    coefficients: Floats
    x: Floats

    def same(self, other: Point) -> bool:
        """Return whether another point is this one."""
        return (
            np.array_equal(self.x, other.x)
            and np.array_equal(self.coefficients, other.coefficients)
            and all(np.array_equal(value, other.natural[name]) for name, value in self.natural.items())
        )


@dataclass(frozen=True, eq=False)
class Climbed:
    """A part at one x.

    Attributes
    ----------
    value : float
        Log-likelihood.
    slope : ndarray, shape (size,)
        A' l'; empty where the value is not finite.
    eliminated : Eliminated or None
        A' W A, plus the identity for own levels, with these eliminated: its border is the part's contribution to the
        Schur complement. None where that is not positive definite.
    convex : bool
        Whether the log-likelihood of some row curves upwards.
    """

    value: float
    slope: Floats
    eliminated: Eliminated | None
    convex: bool = False


@dataclass(frozen=True, eq=False)
class PartInverse:
    """The entries of H^-1 that a part needs: those of its own levels, and of the border."""

    corner: list[Floats]
    link: dict[tuple[int, int], Floats]
    rim: list[Floats]
    border: Floats

    def on(self, structure: Structure) -> ArrowBlocks:
        """Return them on the part's pattern."""
        return ArrowBlocks(structure.pattern, self.corner, self.link, self.rim, self.border)


class PartWork:
    """Calls an operation with the structure of a part; what workers are sent once.

    Parameters
    ----------
    problem : Problem
        Without rows.
    parts : Parts
    outer, flat : bool
        As for `Structure`.
    """

    def __init__(self, problem: Problem, parts: Parts, outer: bool, flat: bool) -> None:
        self.problem: Problem = replace(problem, graph=None, workspace={}, shared={}, parts=None)
        self.parts, self.outer, self.flat = parts, outer, flat
        self._structures: dict[int, Structure] = {}
        self._compiled: dict[int, dict[str, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_structures": {}, "_compiled": {}}

    def __call__(self, item: tuple[Operation, int, tuple[Any, ...]]) -> Any:
        """Return what an operation finds in a part."""
        operation, p, arguments = item
        return operation(self.structure(p), *arguments)

    def structure(self, p: int) -> Structure:
        """Return the structure of a part; that of rows in memory is made once."""
        if p in self._structures:
            return self._structures[p]
        part = self.parts.parts[p]
        # Functions that are compiled take the rows as inputs, and are no larger for them.
        shared = self._compiled.setdefault(p, {})
        problem = replace(of_part(self.problem, part.load(), part.levels), shared=shared)
        found = Structure(LatentView(problem), self.outer, self.flat, chain=self.parts.factors)
        if isinstance(part, MemoryPart):
            self._structures[p] = found
        return found


def _work(structure: Structure, point: Point, order: int) -> tuple[Work, RowDerivatives]:
    view = structure.view
    factors, phi = view.factors(point.natural), view.dispersions(point.natural)
    rows = structure.rows(factors)
    etas = structure.offset(point.natural, point.coefficients) + rows.eta(point.x)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = view.elementwise(list(etas), phi, order)
    d2 = np.zeros((0, 0, 0)) if found.d2 is None else found.d2
    return Work(point.x, rows, etas, phi, d2, structure.still, factors), found


def _expanded(structure: Structure, point: Point) -> tuple[Work, Expansion]:
    work, found = _work(structure, point, 2)
    return work, third_order(found)


# operations ---------------------------------------------------------------------------------------------------------


def nesting(structure: Structure) -> dict[tuple[int, int], Ints]:
    """Return in which of the part's levels of a coarser factor those of a finer one lie."""
    return structure.pattern.parents


def climb(structure: Structure, point: Point, modulus: bool = False) -> Climbed:
    """Evaluate a part and eliminate its levels, with the moduli of the curvature if so asked."""
    work, found = _work(structure, point, 1)
    value = float(found.value.sum())
    if not np.isfinite(value) or found.d1 is None:
        return Climbed(value, np.zeros(0), None)
    eliminated = _eliminated(work, -work.d2, modulus)
    return Climbed(value, work.rows.transpose(found.d1), eliminated, curves_upwards(work.d2))


def _eliminated(work: Work, W: Floats, modulus: bool = False) -> Eliminated | None:
    try:
        return eliminate(work.rows.gram(positive_part(W) if modulus else W, None))
    except NotPositiveDefiniteError:
        return None


def third(structure: Structure, point: Point, inverse: PartInverse) -> Floats:
    """Return A' s; see `curvature_slope`."""
    work, found = _expanded(structure, point)
    leverage, s = curvature_slope(work, found, inverse.on(structure))
    # For `pull`, which follows, if it comes to the same structure: that of rows in memory.
    structure.view.kept[_THIRD] = point, work, found, leverage, s
    return work.rows.transpose(s)


def pull(structure: Structure, point: Point, inverse: PartInverse, v: Floats) -> Pull:
    """Return the derivatives in the natural quantities; v is H^-1 A' s of all parts."""
    known = structure.view.kept.pop(_THIRD, None)
    if known is not None and known[0].same(point):
        _, work, found, leverage, s = known
    else:
        work, found = _expanded(structure, point)
        leverage, s = curvature_slope(work, found, inverse.on(structure))
    return pulled(structure, work, found, leverage, s, v)


def sides(structure: Structure, point: Point, natural: NaturalJacobian) -> Floats:
    """Return the right sides of the derivatives of the mode."""
    work, found = _expanded(structure, point)
    return right_sides(structure, work, found, natural)


def mean_slope(structure: Structure, point: Point, inverse: PartInverse, m: Floats) -> Floats:
    """Return A' E l' around m; see `correction`."""
    work, _ = _work(structure, point, 0)
    etas = work.etas + work.rows.eta(m - work.inner)
    nodes = mean_nodes(work.rows, inverse.on(structure))
    return work.rows.transpose(expected(structure.view, etas, work.phi, nodes, False)[0])


def mean_curvature(structure: Structure, point: Point, inverse: PartInverse, m: Floats) -> Eliminated | None:
    """Eliminate the levels with the curvature E l'' around m."""
    work, _ = _work(structure, point, 0)
    etas = work.etas + work.rows.eta(m - work.inner)
    curvature = expected(structure.view, etas, work.phi, mean_nodes(work.rows, inverse.on(structure)), True)[1]
    assert curvature is not None
    return _eliminated(work, -curvature)


def information(structure: Structure, point: Point) -> list[Floats]:
    """Return Z' W Z of the levels of every random block, each (levels, k, k)."""
    return informations(structure, _work(structure, point, 1)[0])


def cumulants(structure: Structure, point: Point, inverse: PartInverse, along: Floats | None) -> Floats:
    """Return third cumulants of the part's coefficients; see `row_cumulants`."""
    work, found = _expanded(structure, point)
    return row_cumulants(structure, work, found.d3, inverse.on(structure), along)


def averages(structure: Structure, point: Point, inverse: PartInverse, centre: Floats) -> Averages:
    """Return means of the log-likelihood; see `row_averages`."""
    work, _ = _work(structure, point, 1)
    return row_averages(structure.view, work, inverse.on(structure), centre)


def antithetic(structure: Structure, point: Point, centre: Floats, e: Floats) -> Floats:
    """Return log-likelihoods on both sides of a centre; see `row_antithetic`."""
    work, _ = _work(structure, point, 0)
    return row_antithetic(structure.view, work, centre, e)


def level_sums(
    structure: Structure,
    natural: Mapping[str, Any],
    x: Floats,
    first: int,
    covariance: PartInverse | None,
    matrices: Mapping[int, Floats],
) -> Floats:
    """Return log-likelihoods by level of the outermost factor; see `sums_by_level`.

    Parameters
    ----------
    structure : Structure
    natural : mapping
    x : ndarray, shape (size, draws, candidates)
    first : int
    covariance : PartInverse or None
        Of the levels given the border: means are taken over predictors that scatter so. None for values at x.
    matrices : mapping of int to ndarray, each (levels, k, k)
        By block: what deviations with that covariance are multiplied by.
    """
    view, last = structure.view, structure.pattern.corners[-1]
    rows, nodes = structure.rows(view.factors(natural)), None
    if covariance is not None:
        nodes = level_nodes(scaled_rows(structure, rows, matrices), covariance.on(structure))
    offset, phi = structure.offset(natural, np.zeros(0)), view.dispersions(natural)
    return sums_by_level(view, rows, offset, phi, last.index, last.levels, x, first, nodes)


def weight_range(structure: Structure, point: Point) -> list[tuple[float, float, Floats]]:
    """Return for every predictor the least and the largest information of a row, and the largest |X| by column."""
    view, d2 = structure.view, _work(structure, point, 1)[0].d2
    found = []
    for p, part in enumerate(view.problem.predictors):
        weights, X = np.abs(d2[p, p]), view.free_columns(part)
        found.append((float(weights.min()), float(weights.max()), np.abs(X).max(axis=0, initial=0.0)))
    return found


def column_gram(structure: Structure, point: Point, p: int, top: Floats) -> Floats:
    """Return X' W X of the columns of a predictor, divided by `top`."""
    view, d2 = structure.view, _work(structure, point, 1)[0].d2
    return scaled_gram(view.free_columns(view.problem.predictors[p]), np.abs(d2[p, p]), top)


def most_moved(structure: Structure, p: int, top: Floats, vectors: Floats) -> Floats:
    """Return how far directions of the columns of a predictor move the row that they move most."""
    return moved_most(structure.view.free_columns(structure.view.problem.predictors[p]), top, vectors)
