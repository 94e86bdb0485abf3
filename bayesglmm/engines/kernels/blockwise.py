"""Exact against approximate density of theta and shared coefficients, the levels of one factor integrated out.

Given theta and the coefficients that all rows share (the population's, and those of crossed factors) the levels of
the outermost of the eliminated factors are independent, with everything nested in them. So the exact density of theta
and the shared coefficients s is a product over levels of integrals of few dimensions,

    p(y, theta, s) = p(theta) p(s) prod_l int p(y_l | u_l, s, theta) p(u_l) du_l,

and each integral is the normal approximation's own times the mean of the ratio exp(r_l) under it. With one or two
coefficients per level the mean is a Gauss-Hermite sum. With more it is taken over draws of u_l, and the noise of the
first order is removed, since E r_l is known (one-dimensional integrals row by row). What is left are importance
ratios in few dimensions, and ratios r_l level by level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.level_sums import ROW_NODES, sums
from bayesglmm.engines.kernels.levels import Cell, LevelModels, LevelRows
from bayesglmm.engines.kernels.nested import Draws, Exploration
from bayesglmm.engines.kernels.newton import structure_of
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.graph.elementwise import TOGETHER

_KEPT = 0.5  # GB of all support points up to which they are kept for later draws
_LARGEST = 2.0  # GB of a factorisation in which one grouping factor is eliminated level by level
_LOCAL = 8  # draws of a level's coefficients, in antithetic pairs
_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Ratios:
    """Log ratios of exact and approximate density at draws.

    Attributes
    ----------
    shared : ndarray, shape (draws,)
        Of theta and the shared coefficients, the levels integrated out.
    joint : ndarray, shape (draws,)
        Of everything at once.
    local : ndarray, shape (draws, levels)
        Of the coefficients of each level given theta and the shared ones.
    x : ndarray, shape (draws, size)
        The draws with the coefficients of every level drawn anew from few candidates by their ratios; empty unless
        asked for.
    """

    shared: Floats
    joint: Floats
    local: Floats
    x: Floats


class BlockRatio:
    """Ratios of the exact density and that which an exploration draws from.

    Parameters
    ----------
    exploration : Exploration
    nodes : int or None
        Gauss-Hermite nodes per coefficient of a level; by their number if None.

    Attributes
    ----------
    structure : Structure
        With every grouping factor that can be eliminated eliminated.
    levels : int
        Independent levels; zero without group terms.
    owner : ndarray of int, shape (size,)
        Level of each coefficient, -1 for shared ones.
    evaluations : int
        Of the likelihood, per draw.
    """

    def __init__(self, exploration: Exploration, nodes: int | None = None) -> None:
        self.exploration = exploration
        self.view = exploration.objective.view
        self.structure = _structure(exploration)
        self._cells: dict[int, Cell] = {}
        pattern = self.structure.pattern
        self.owner = np.full(pattern.size, -1, dtype=np.intp)
        last = len(pattern.corners) - 1
        for c, corner in enumerate(pattern.corners):
            parent = np.arange(corner.levels) if c == last else pattern.parents[c, last]
            self.owner[corner.columns] = parent[:, None]
        self.levels = pattern.corners[last].levels if pattern.corners else 0
        self.index: Ints = pattern.corners[last].index if pattern.corners else np.zeros(pattern.n, dtype=np.intp)
        self.inside = np.flatnonzero(self.owner >= 0)
        self.grid, self.log_weights = self._grid(nodes)
        self.constant = 0.5 * (len(self.inside) + len(pattern.border)) * _LOG_2PI
        known = ROW_NODES[pattern.predictors] ** pattern.predictors if self._known else 0
        self.evaluations = self._columns(redraw=False) + known

    def _grid(self, nodes: int | None) -> tuple[Floats, Floats]:
        """Return Gauss-Hermite nodes for the coefficients of a level and log weights; empty where there are many."""
        corners, known = self.structure.pattern.corners, self.exploration.objective.level_nodes
        if len(corners) != 1 or corners[0].width > max(known):
            return np.zeros((0, 0)), np.zeros(0)
        width = corners[0].width
        points, weights = hermegauss(max(known[width], nodes or 0))
        places = list(product(range(len(points)), repeat=width))
        log_weights = np.log(weights / weights.sum())
        return np.array([points[list(row)] for row in places]), np.array(
            [log_weights[list(row)].sum() for row in places]
        )

    @cached_property
    def _known(self) -> bool:
        """Whether the mean of a level's ratio is computed by quadrature over rows."""
        return self.levels > 0 and not len(self.grid) and self.structure.pattern.predictors in ROW_NODES

    # support points -------------------------------------------------------------------------------------------------

    @cached_property
    def _models(self) -> LevelModels:
        return LevelModels(self.structure, self.exploration.objective, self.owner, self.levels, self._known)

    def _cell(self, k: int) -> Cell:
        """Return a support point; kept for later draws where memory allows."""
        if k in self._cells:
            return self._cells[k]
        found = self._models.cell(self.exploration.support[k])
        if self.structure.pattern.gigabytes * len(self.exploration.support) < _KEPT:
            self._cells[k] = found
        return found

    # draws ----------------------------------------------------------------------------------------------------------

    def draw(
        self, psi: Floats, log_theta: Floats, cell: Ints, random: np.random.Generator, redraw: bool = False
    ) -> tuple[Draws, Ratios]:
        """Draw antithetic pairs of x, mean + d and mean - d, for each theta; with their ratios.

        Parameters
        ----------
        psi : ndarray, shape (pairs, size)
            Equal ones should follow each other.
        log_theta : ndarray, shape (pairs,)
            Log density from which theta came, up to a constant.
        cell : ndarray of int, shape (pairs,)
            Support point from which x starts.
        random : numpy.random.Generator
        redraw : bool
            Draw the coefficients of the levels anew, from candidates, by their ratios.

        Returns
        -------
        drawn : Draws
            Twice as many; members of a pair follow each other.
        ratios : Ratios
        """
        prior = self.view.log_prior_draws(psi) - log_theta
        size, count = self.structure.pattern.size, 2 * len(psi)
        x, shared, joint = np.empty((count, size)), np.empty(count), np.empty(count)
        local, anew = np.empty((count, self.levels)), np.empty((count if redraw else 0, size))
        together = max(1, TOGETHER // max(self.structure.n, 1) // (2 * self._columns(redraw)))
        for k in np.unique(cell):
            here, own = self._cell(int(k)), np.flatnonzero(cell == k)
            for equal in np.split(own, 1 + np.flatnonzero(np.any(psi[own][1:] != psi[own][:-1], axis=1))):
                model = self._models.model(psi[equal[0]], here)
                for start in range(0, len(equal), together):
                    pairs = equal[start : start + together]
                    at = (2 * pairs[:, None] + np.arange(2)).ravel()
                    found = self._pairs(psi[equal[0]], len(pairs), here, model, random, redraw)
                    x[at], shared[at], joint[at], local[at] = found[:4]
                    if redraw:
                        anew[at] = found[4]
        shared, joint = shared + np.repeat(prior, 2), joint + np.repeat(prior, 2)
        return Draws(np.repeat(psi, 2, axis=0), x), Ratios(shared, joint, local, anew)

    def _pairs(
        self, psi: Floats, count: int, cell: Cell, model: LevelRows, random: np.random.Generator, redraw: bool
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Draw so many pairs at one theta; return draws, their ratios, and the draws with their levels anew."""
        size, border = self.structure.pattern.size, self.structure.pattern.border
        z = np.zeros((size, 2 * count, self._columns(redraw)))
        uniform = np.zeros((2 * count if redraw else 0, self.levels))
        for pair in range(count):
            at_border = random.standard_normal(len(border))
            for member, sign in ((2 * pair, 1.0), (2 * pair + 1, -1.0)):
                z[border, member] = sign * at_border[:, None]
                self._fill(z[:, member], random)
                if redraw:
                    uniform[member] = random.random(self.levels)
        centre = cell.here.centre + cell.here.jacobian @ (psi - cell.here.psi)
        deviation = model.scaled(cell.factor.half_solve(z.reshape(size, -1)))
        x = centre[:, None, None] + deviation.reshape(z.shape)
        return self._ratios(x, z, model, uniform)

    def _columns(self, redraw: bool) -> int:
        """Return the number of candidates: the conditional mean, grid nodes, and random draws."""
        grid = len(self.grid)
        return 1 + grid + (1 if grid and not redraw else _LOCAL) if self.levels else 1

    def _fill(self, z: Floats, random: np.random.Generator) -> None:
        """Put the levels' standard coordinates into z: column 0 stays the conditional mean."""
        grid = len(self.grid)
        if grid:
            columns = self.structure.pattern.corners[0].columns
            for j in range(columns.shape[1]):
                z[columns[:, j], 1 : 1 + grid] = self.grid[:, j]
        count = z.shape[1] - 1 - grid
        if not self.levels:
            return
        half = random.standard_normal((len(self.inside), (count + 1) // 2))
        # Neighbours are antithetic.
        both = np.stack([half, -half], axis=2).reshape(len(self.inside), -1)
        z[self.inside, 1 + grid :] = both[:, :count]

    def _ratios(
        self, x: Floats, z: Floats, model: LevelRows, uniform: Floats
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return draws, their ratios (shared, joint, by level), and the draws with the levels taken anew.

        Parameters
        ----------
        x, z : ndarray, shape (size, draws, candidates)
        model
        uniform : ndarray, shape (draws, levels), or no rows
            By which levels are taken anew.
        """
        border, structure, draws = self.structure.pattern.border, self.structure, x.shape[1]
        density = model.density
        deviation = np.tile(structure.mean, (draws, 1))
        deviation[:, border] = x[border, :, 0].T
        quadratic = np.array([(own - structure.mean) @ model.prior.times(own) for own in deviation])
        log_shared = (
            self.constant
            + model.prior.constant
            + 0.5 * ((z[border, :, 0] ** 2).sum(axis=0) - quadratic - density.logdet)
            + density.half_logdet.sum()
        )
        if not self.levels:
            drawn = x[:, :, 0].T
            total = self._by_level(model, x, 0)[:, 0].sum(axis=1) + log_shared
            return drawn, total, total, np.zeros((draws, 0)), drawn
        first, inside = len(self.grid), self.inside
        own = 0.5 * (z[inside, :, 1:] ** 2 - x[inside, :, 1:] ** 2).reshape(len(inside), -1)
        r = sums(self.owner[inside], own.T, self.levels).reshape(draws, -1, self.levels) - density.half_logdet
        r += self._by_level(model, x, 1)
        level = self._integrals(r, x, model)
        shared = level.sum(axis=1) + log_shared
        anew = self._choose(x, r, uniform) if len(uniform) else np.zeros((0, len(x)))
        return x[:, :, 1 + first].T, shared, r[:, first].sum(axis=1) + log_shared, r[:, first] - level, anew

    def _integrals(self, r: Floats, x: Floats, model: LevelRows) -> Floats:
        """Return the log mean of exp(r) of every level, shape (draws, levels)."""
        if len(self.grid):
            return _log_sum(r[:, : len(self.grid)] + self.log_weights[:, None])
        found: Floats = _log_sum(r) - np.log(r.shape[1])
        if model.nodes is None:
            return found
        # To first order the mean is E r, which is known: only the rest is left to the draws.
        exact = self._by_level(model, x[:, :, :1], 0, averaged=True)[:, 0]
        own = 0.5 * (1.0 - x[self.inside, :, 0] ** 2 - model.density.variances[self.inside, None])
        exact += sums(self.owner[self.inside], own.T, self.levels) - model.density.half_logdet
        return np.asarray(found + exact - r.mean(axis=1))

    def _choose(self, x: Floats, r: Floats, uniform: Floats) -> Floats:
        """Return x with every level taken from one of its candidates, in proportion to their ratios."""
        first = len(self.grid)
        weight = np.cumsum(np.exp(r[:, first:] - r[:, first:].max(axis=1, keepdims=True)), axis=1)
        chosen = (uniform[:, None] * weight[:, -1:] > weight).sum(axis=1)
        out: Floats = x[:, :, 1 + first].T.copy()
        which, draws = 1 + first + chosen[:, self.owner[self.inside]], np.arange(len(out))[:, None]
        out[:, self.inside] = x[self.inside, draws, which]
        return out

    def _by_level(self, model: LevelRows, x: Floats, first: int, averaged: bool = False) -> Floats:
        """Return log-likelihoods by level, shape (draws, candidates, levels), from candidate `first` on.

        One sum without levels; means over nodes of the rows' predictors, if so asked.
        """
        return self.exploration.objective.level_sums(model, self.index, max(1, self.levels), x, first, averaged)


def _structure(exploration: Exploration) -> Structure:
    """Return a structure with every grouping factor eliminated that can be: the exploration's where that is one."""
    view, own = exploration.objective.view, exploration.objective.structure
    if own.given:
        return own
    found = structure_of(view, smallest=1)
    if found.pattern.layout is not None and found.pattern.arrow_gigabytes > _LARGEST:
        # Crossed factors whose border would be too large: every coefficient is shared.
        found = structure_of(view, smallest=view.size + 1)
    elif own.pattern.layout is None and [c.groups for c in own.pattern.corners] == [
        c.groups for c in found.pattern.corners
    ]:
        return own
    return found


def _log_sum(values: Floats) -> Floats:
    """Return the log of the sum of exponentials over the middle axis."""
    top = values.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.log(np.exp(values - top).sum(axis=1)) + top[:, 0])
