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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy import special

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.correction import row_nodes
from bayesglmm.engines.kernels.nested import Draws, Exploration, Support
from bayesglmm.engines.kernels.structure import LatentPrior, Structure
from bayesglmm.linalg import ArrowBlocks, ArrowFactor, Factor, Rows

_NODES = {1: 9, 2: 5}  # Gauss-Hermite nodes per coefficient of a level
_ROW_NODES = {1: 7, 2: 5, 3: 3}  # by number of predictors
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


@dataclass(frozen=True, eq=False)
class _Cell:
    """A support point: the factor of its H, and what is known of the levels given the shared coefficients."""

    here: Support
    factor: Factor
    half_logdet: Floats  # by level
    conditional: ArrowBlocks | None  # inverse of H over the levels alone
    variances: Floats  # its diagonal, by column


@dataclass(frozen=True, eq=False)
class _Rows:
    """The model at one theta, with nodes for the predictors of each row given the shared coefficients."""

    rows: Rows
    offset: Floats
    phi: dict[str, Any]
    nodes: tuple[list[Floats], Floats] | None
    prior: LatentPrior

    def etas(self, x: Floats) -> Floats:
        return np.asarray(self.offset + self.rows.eta(x))


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
        kept = self.view.kept
        if "blockwise" not in kept:
            found = Structure(self.view, smallest=1)
            if found.pattern.layout is not None and found.pattern.arrow_gigabytes > _LARGEST:
                # Crossed factors whose border would be too large: every coefficient is shared.
                found = Structure(self.view, smallest=self.view.size + 1)
            kept["blockwise"] = found
        self.structure: Structure = kept["blockwise"]
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
        known = _ROW_NODES[pattern.predictors] ** pattern.predictors if self._known else 0
        self.evaluations = self._columns(redraw=False) + known

    def _grid(self, nodes: int | None) -> tuple[Floats, Floats]:
        """Return Gauss-Hermite nodes for the coefficients of a level and log weights; empty where there are many."""
        corners = self.structure.pattern.corners
        if len(corners) != 1 or corners[0].width > max(_NODES):
            return np.zeros((0, 0)), np.zeros(0)
        width = corners[0].width
        points, weights = hermegauss(max(_NODES[width], nodes or 0))
        places = list(product(range(len(points)), repeat=width))
        log_weights = np.log(weights / weights.sum())
        return np.array([points[list(row)] for row in places]), np.array(
            [log_weights[list(row)].sum() for row in places]
        )

    @cached_property
    def _known(self) -> bool:
        """Whether the mean of a level's ratio is computed by quadrature over rows."""
        return self.levels > 0 and not len(self.grid) and self.structure.pattern.predictors in _ROW_NODES

    # support points -------------------------------------------------------------------------------------------------

    def _cell(self, k: int) -> _Cell:
        here, structure = self.exploration.support[k], self.structure
        W, Q = -here.mode.work.d2, here.mode.work.prior.Q
        if not self.levels:
            return _Cell(here, self._rows(here.mode.theta).factor(W, Q), np.zeros(0), None, np.zeros(0))
        H = self._rows(here.mode.theta).gram(W, Q)
        factor = ArrowFactor(H)
        half_logdet = np.zeros(self.levels)
        for corner, inverse_L in zip(structure.pattern.corners, factor.inverse_L, strict=True):
            logs = -np.log(np.einsum("lkk->lk", inverse_L)).sum(axis=1)
            half_logdet += np.bincount(self.owner[corner.columns[:, 0]], logs, self.levels)
        conditional, variances = self._conditional(H) if self._known else (None, np.zeros(0))
        return _Cell(here, factor, half_logdet, conditional, variances)

    def _conditional(self, H: ArrowBlocks) -> tuple[ArrowBlocks, Floats]:
        """Return the levels' covariance given the shared coefficients, on the pattern, and its diagonal."""
        pattern = self.structure.pattern
        rims = [np.zeros_like(rim) for rim in H.rim]
        alone = ArrowFactor(ArrowBlocks(pattern, H.corner, H.link, rims, np.eye(len(H.border)))).inverse()
        variances = np.zeros(pattern.size)
        for corner, block in zip(pattern.corners, alone.corner, strict=True):
            variances[corner.columns] = np.einsum("lkk->lk", block)
        return ArrowBlocks(pattern, alone.corner, alone.link, rims, np.zeros_like(H.border)), variances

    def _rows(self, theta: Floats) -> Rows:
        return self.structure.rows(self.view.factors(self.view.natural(theta)))

    def _model(self, theta: Floats, cell: _Cell) -> _Rows:
        natural = self.view.natural(theta)
        rows = self.structure.rows(self.view.factors(natural))
        nodes = None
        if cell.conditional is not None:
            leverage = rows.leverage(cell.conditional, np.zeros_like(cell.here.mode.work.d2))
            nodes = row_nodes(leverage.h, _ROW_NODES)
        return _Rows(
            rows,
            self.structure.offset(natural, np.zeros(0)),
            self.view.dispersions(natural),
            nodes,
            self.structure.prior(natural),
        )

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
        for k in np.unique(cell):
            here, model, last = self._cell(int(k)), None, psi[0]
            for i in np.flatnonzero(cell == k):
                if model is None or not np.array_equal(psi[i], last):
                    model, last = self._model(psi[i], here), psi[i]
                for j, found in enumerate(self._pair(psi[i], here, model, random, redraw)):
                    at = 2 * i + j
                    x[at], shared[at], joint[at], local[at] = found[:4]
                    if redraw:
                        anew[at] = found[4]
        shared, joint = shared + np.repeat(prior, 2), joint + np.repeat(prior, 2)
        twice = np.repeat(log_theta, 2)
        drawn = Draws(np.repeat(psi, 2, axis=0), x, twice, twice, np.repeat(cell, 2))
        return drawn, Ratios(shared, joint, local, anew)

    def _pair(
        self, psi: Floats, cell: _Cell, model: _Rows, random: np.random.Generator, redraw: bool
    ) -> Iterator[tuple[Floats, float, float, Floats, Floats]]:
        border = self.structure.pattern.border
        centre = cell.here.centre + cell.here.jacobian @ (psi - cell.here.psi)
        at_border = random.standard_normal(len(border))
        for sign in (1.0, -1.0):
            z = np.zeros((self.structure.pattern.size, self._columns(redraw)))
            z[border] = sign * at_border[:, None]
            self._fill(z, random)
            x = centre[:, None] + cell.factor.half_solve(z)
            yield self._ratios(x, z, cell, model, random if redraw else None)

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
        self, x: Floats, z: Floats, cell: _Cell, model: _Rows, random: np.random.Generator | None
    ) -> tuple[Floats, float, float, Floats, Floats]:
        """Return a draw, its ratios (shared, joint, by level), and the draw with the levels taken anew."""
        border, structure = self.structure.pattern.border, self.structure
        deviation = structure.mean.copy()
        deviation[border] = x[border, 0]
        quadratic = (deviation - structure.mean) @ model.prior.times(deviation)
        log_shared = (
            self.constant
            + model.prior.constant
            + 0.5 * (z[border, 0] @ z[border, 0] - quadratic - cell.factor.logdet())
            + cell.half_logdet.sum()
        )
        if not self.levels:
            total = float(self._loglik(model, x[:, 0]).sum() + log_shared)
            return x[:, 0], total, total, np.zeros(0), x[:, 0]
        first, owner = 1 + len(self.grid), self.owner[self.inside]
        r = np.full((x.shape[1], self.levels), -np.inf)
        for s in range(1, x.shape[1]):
            own = 0.5 * (z[self.inside, s] ** 2 - x[self.inside, s] ** 2)
            r[s] = np.bincount(self.index, self._loglik(model, x[:, s]), self.levels)
            r[s] += np.bincount(owner, own, self.levels) - cell.half_logdet
        level = self._integrals(r, x[:, 0], cell, model)
        shared = float(level.sum() + log_shared)
        anew = x[:, first] if random is None else self._choose(x, r, random)
        return x[:, first], shared, float(r[first].sum() + log_shared), r[first] - level, anew

    def _integrals(self, r: Floats, x: Floats, cell: _Cell, model: _Rows) -> Floats:
        """Return the log mean of exp(r) of every level."""
        if len(self.grid):
            return np.asarray(special.logsumexp(r[1 : 1 + len(self.grid)] + self.log_weights[:, None], axis=0))
        draws = r[1:]
        found = np.asarray(special.logsumexp(draws, axis=0) - np.log(len(draws)))
        if model.nodes is None:
            return found
        # To first order the mean is E r, which is known: only the rest is left to the draws.
        mean, etas = np.zeros(len(self.index)), model.etas(x)
        for shift, weight in zip(*model.nodes, strict=True):
            mean += weight * self._loglik(model, etas=etas + shift)
        owner = self.owner[self.inside]
        own = 0.5 * (1.0 - x[self.inside] ** 2 - cell.variances[self.inside])
        exact = np.bincount(self.index, mean, self.levels) + np.bincount(owner, own, self.levels) - cell.half_logdet
        return np.asarray(found + exact - draws.mean(axis=0))

    def _choose(self, x: Floats, r: Floats, random: np.random.Generator) -> Floats:
        """Return x with every level taken from one of its candidates, in proportion to their ratios."""
        first = 1 + len(self.grid)
        weight = np.cumsum(np.exp(r[first:] - r[first:].max(axis=0)), axis=0)
        chosen = (random.random(self.levels) * weight[-1] > weight).sum(axis=0)
        out = x[:, first].copy()
        out[self.inside] = x[self.inside, first + chosen[self.owner[self.inside]]]
        return out

    def _loglik(self, model: _Rows, x: Floats | None = None, etas: Floats | None = None) -> Floats:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self.view.elementwise(list(model.etas(x) if etas is None else etas), model.phi, 0).value  # type: ignore[arg-type]
