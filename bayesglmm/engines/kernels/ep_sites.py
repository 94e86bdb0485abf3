"""Expectation propagation at one value of the hyperparameters: the sites, and the search for their fixed point.

The likelihood of cell i, the rows with one and the same predictor, is replaced by a site exp(nu_i eta_i - tau_i
eta_i^2 / 2), so that the approximation is normal with precision H = A' diag(tau) A + Q, as in Laplace's with tau in
the place of the curvature. A site is what makes the marginal of eta_i match, in mean and variance, the tilted
distribution: the marginal without the site, times the likelihood (Minka 2001; Rasmussen and Williams 2006, section
3.6). With s_i^2 the variance of eta_i, mu_i its mean, g_i = nu_i - tau_i mu_i and v_i = s_i^2 / (1 - tau_i s_i^2) the
variance of the cavity,

    log Z = sum_i [log Zhat_i + (log(v_i / s_i^2) + v_i g_i^2) / 2] + log N(x; m, Q^-1) at the mean
            + d/2 log 2 pi - 1/2 log |H|,

where Zhat_i normalises the tilted distribution. This is stationary in the sites at the fixed point (Minka 2001;
Seeger 2005), and no large numbers cancel in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.ep_cells import Cells, cells_of
from bayesglmm.engines.kernels.ep_tilted import Cavity, tilted_moments
from bayesglmm.engines.kernels.newton import ConditionalMode, NewtonSearch, Work, find_mode
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.families.base import TiltedMoments
from bayesglmm.linalg import Factor, NotPositiveDefiniteError

type Flags = NDArray[np.bool_]

_LOG_2PI = float(np.log(2.0 * np.pi))
_IMPROPER = 1e-10  # share of the information on a cell that others bring, below which its cavity is no distribution
_SMALLEST = 1e-8  # precision that a site starts with at least, relative to the median of all
_LEAST = 0.05  # share of an update that is taken at least
_PATIENCE = 50  # sweeps without a smaller change than before
_NEARLY = 1e-3  # change of moments that may be left when the sweeps are used up


@dataclass(frozen=True)
class Schedule:
    """How the fixed point is searched.

    Attributes
    ----------
    order : {"parallel", "sequential"}
        All sites at once, or one after the other.
    damping : float
        Share of every update that is taken, in (0, 1].
    sweeps : int
        Updates of all sites, at most.
    tolerance : float
        Largest difference between a marginal and its tilted distribution that counts as none: of the means in
        standard deviations, of the variances relative.
    """

    order: Literal["parallel", "sequential"] = "parallel"
    damping: float = 1.0
    sweeps: int = 200
    tolerance: float = 1e-6


@dataclass(frozen=True, eq=False)
class Sites:
    """The normal sites in the place of the likelihood of each cell.

    Attributes
    ----------
    precision, shift : ndarray, shape (c,)
        tau and nu. Precisions may be negative where a likelihood is not log-concave.
    """

    precision: Floats
    shift: Floats

    def moved(self, step: Sites, share: float | Floats) -> Sites:
        """Return these sites with a share of a step added."""
        return Sites(self.precision + share * step.precision, self.shift + share * step.shift)


@dataclass(frozen=True, eq=False)
class Approximation(ConditionalMode):
    """The fixed point as a conditional normal approximation: its mean stands where a mode has its place.

    `log_marginal` is that of expectation propagation, `work.d2` minus the precision of the sites.

    Attributes
    ----------
    sites : Sites
    cavity : Cavity
    """

    sites: Sites = field(repr=False)
    cavity: Cavity = field(repr=False)


@dataclass(frozen=True, eq=False)
class State:
    """What sites imply.

    Attributes
    ----------
    sites : Sites
    factor : Factor
        Of H.
    x : ndarray, shape (size,)
        Mean.
    mean, variance : ndarray, shape (c,)
        Of every cell's predictor.
    """

    sites: Sites
    factor: Factor
    x: Floats
    mean: Floats
    variance: Floats

    @property
    def slope(self) -> Floats:
        """Derivative of the log sites at the mean, nu - tau mu, shape (c,)."""
        return self.sites.shift - self.sites.precision * self.mean

    @property
    def share(self) -> Floats:
        """What of the information on a predictor is not its cell's own: s^2 / v, shape (c,)."""
        return 1.0 - self.sites.precision * self.variance

    def cavity(self) -> tuple[Cavity, Flags]:
        """Return the cavities, and which of them are distributions; others stand at the marginal."""
        proper = self.share > _IMPROPER
        variance = self.variance / np.where(proper, self.share, 1.0)
        mean = np.where(proper, self.mean - variance * self.slope, self.mean)
        return Cavity(mean, variance, self.mean, np.sqrt(self.variance)), proper


class FixedPoint:
    """The search at one theta.

    Parameters
    ----------
    structure : Structure
    theta : ndarray, shape (t,)
    coefficients : ndarray
        Values of the population coefficients that are not integrated out.
    schedule : Schedule
    """

    def __init__(self, structure: Structure, theta: Floats, coefficients: Floats, schedule: Schedule) -> None:
        self.structure, self.schedule, self.theta, self.coefficients = structure, schedule, theta, coefficients
        natural = structure.view.natural(theta)
        self.model = NewtonSearch(structure, structure.view.factors(natural), coefficients, natural)
        self.cells, self.phi = cells_of(structure), self.model.phi

    # what sites imply -----------------------------------------------------------------------------------------------

    def state(self, sites: Sites, x: Floats) -> State:
        """Return the normal distribution with these sites.

        Parameters
        ----------
        sites : Sites
        x : ndarray, shape (size,)
            Anything near the mean: rounding errors are relative to the distance from it.

        Raises
        ------
        NotPositiveDefiniteError
            If there is none.
        """
        model = self.model
        precision, shift = self.cells.by_row(sites.precision), self.cells.by_row(sites.shift)
        factor = model.rows.factor(precision[None, None], model.prior.Q)
        for _ in range(2):  # once more, for precisions so large that the first step leaves rounding errors
            slope = shift - precision * model.etas(x)[0]
            x = x + factor.solve(model.rows.transpose(slope[None]) - model.prior.times(x))
        variance = model.rows.covariances(factor.inverse())[0, 0][self.cells.first]
        if not np.all(variance > 0.0):
            raise NotPositiveDefiniteError("A variance is not positive.")
        return State(sites, factor, x, model.etas(x)[0][self.cells.first], variance)

    def tilted(self, state: State) -> tuple[TiltedMoments, Flags]:
        """Return the moments of the tilted distributions, and for which cells there are any."""
        cavity, proper = state.cavity()
        found = tilted_moments(self.cells, self.phi, cavity)
        with np.errstate(invalid="ignore"):
            known = proper & np.isfinite(found.log_normaliser) & (found.variance > 0.0)
        return found, known

    @staticmethod
    def update(state: State, tilted: TiltedMoments, known: Flags) -> tuple[Sites, float]:
        """Return the change of the sites that matches moments, and how far these are apart; unknown cells stay."""
        with np.errstate(all="ignore"):
            precision = np.where(known, 1.0 / tilted.variance - 1.0 / state.variance, 0.0)
            shift = np.where(known, tilted.mean / tilted.variance - state.mean / state.variance, 0.0)
            by_mean = np.abs(tilted.mean - state.mean) / np.sqrt(state.variance)
            by_variance = np.abs(tilted.variance / state.variance - 1.0)
        apart = np.where(known, np.maximum(by_mean, by_variance), 0.0)
        return Sites(precision, shift), float(apart.max(initial=0.0))

    def log_evidence(self, state: State, tilted: TiltedMoments) -> float:
        """Return log Z."""
        prior, share = self.model.prior, state.share
        cells = tilted.log_normaliser + 0.5 * (state.variance / share * state.slope**2 - np.log(share))
        quadratic = (state.x - prior.mean) @ prior.times(state.x)
        constant = prior.constant + 0.5 * self.structure.pattern.size * _LOG_2PI
        return float(cells.sum() - 0.5 * quadratic + constant - 0.5 * state.factor.logdet())

    # the search -----------------------------------------------------------------------------------------------------

    def start(self) -> State:
        """Return the state with Laplace's approximation for sites, or hardly any where that has no mode."""
        try:
            mode = find_mode(self.structure, self.theta, self.coefficients, None, 0.0)
        except NotPositiveDefiniteError:
            nothing = np.zeros(self.cells.count)
            return self.state(Sites(nothing + 1e-6, nothing), self.structure.start)
        found = self.structure.view.elementwise(list(mode.work.etas), self.phi, 1)
        assert found.d1 is not None
        assert found.d2 is not None
        slope, precision = (np.bincount(self.cells.index, rows) for rows in (found.d1[0], -found.d2[0, 0]))
        precision = np.maximum(precision, _SMALLEST * float(np.median(np.abs(precision))) + 1e-300)
        eta = mode.work.etas[0][self.cells.first]
        return self.state(Sites(precision, slope + precision * eta), mode.work.inner)

    def near(self, start: Approximation | None) -> State:
        """Return the state with the sites of an approximation nearby, or of Laplace's."""
        if start is None:
            return self.start()
        try:
            return self.state(start.sites, start.work.inner)
        except NotPositiveDefiniteError:
            return self.start()

    def run(self, start: Approximation | None, log_prior: float) -> Approximation:
        """Search the fixed point.

        Parameters
        ----------
        start : Approximation or None
            Whose sites to start from.
        log_prior : float
            Added to log Z.

        Raises
        ------
        NotPositiveDefiniteError
            If there is none near the start.
        """
        sweep = self.parallel if self.schedule.order == "parallel" else self.sequential
        state, tolerance = self.near(start), self.schedule.tolerance
        share, last, best, since = self.schedule.damping, np.inf, np.inf, 0
        for number in range(1, self.schedule.sweeps + 1):
            tilted, known = self.tilted(state)
            step, apart = self.update(state, tilted, known)
            if apart < tolerance and np.all(known):
                return self._found(state, tilted, log_prior, number, True)
            # Updates that do not shrink overshoot; a share of them shrinks what is left by less.
            grows = apart > (1.0 - 0.1 * share) * last
            share = max(_LEAST, 0.7 * share) if grows else min(self.schedule.damping, 1.1 * share)
            last, best, since = apart, min(apart, best), 0 if apart < best else since + 1
            if number == self.schedule.sweeps or since > _PATIENCE:
                break
            state = sweep(state, step, share)
        if apart > _NEARLY or not np.all(known):
            raise NotPositiveDefiniteError("Expectation propagation did not converge.")
        return self._found(state, tilted, log_prior, number, False)

    def _found(
        self, state: State, tilted: TiltedMoments, log_prior: float, sweeps: int, converged: bool
    ) -> Approximation:
        """Return a state in the form that the exploration of hyperparameters knows."""
        model, sites = self.model, state.sites
        d2 = -self.cells.by_row(sites.precision)[None, None]
        work = Work(state.x, model.rows, model.etas(state.x), self.phi, d2, model.prior, model.factors)
        return Approximation(
            theta=self.theta,
            x=self.structure.full(state.x, self.coefficients),
            factor=state.factor,
            log_marginal=self.log_evidence(state, tilted) + log_prior,
            iterations=sweeps,
            converged=converged,
            work=work,
            sites=sites,
            cavity=state.cavity()[0],
        )

    def parallel(self, state: State, step: Sites, share: float) -> State:
        """Update all sites at once, by less where H would not be positive definite."""
        while share > 1e-6:
            try:
                return self.state(state.sites.moved(step, share), state.x)
            except NotPositiveDefiniteError:
                share *= 0.5
        raise NotPositiveDefiniteError("No update of the sites leaves a positive definite precision.")

    def sequential(self, state: State, step: Sites, share: float) -> State:
        """Update one site after the other; the covariance follows by changes of rank one."""
        precision, shift, x = state.sites.precision.copy(), state.sites.shift.copy(), state.x.copy()
        A = self.model.rows.etas(np.eye(self.structure.pattern.size))[0].T[self.cells.first]
        offset = self.model.offset[0, self.cells.first]
        covariance = state.factor.solve(np.eye(len(x)))
        for i, row in enumerate(A):
            column = covariance @ row
            variance, mean = row @ column, offset[i] + row @ x
            here = State(Sites(precision[[i]], shift[[i]]), state.factor, x, np.array([mean]), np.array([variance]))
            cavity, proper = here.cavity()
            tilted = tilted_moments(self._cell(i), self.phi, cavity)
            own, _ = self.update(here, tilted, proper & (tilted.variance > 0.0))
            change = share * float(own.precision[0])
            known = 1.0 + change * variance
            if not known > _IMPROPER:
                continue
            x += column * (share * float(own.shift[0]) - change * mean) / known
            covariance -= np.outer(column, column) * (change / known)
            precision[i], shift[i] = precision[i] + change, shift[i] + share * float(own.shift[0])
        return self.state(Sites(precision, shift), x)

    def _cell(self, i: int) -> Cells:
        """Return the likelihood of one cell."""
        kept = self.structure.view.kept.setdefault("single cells", {})
        if i not in kept:
            kept[i] = self.cells.rows(np.array([i]))
        found: Cells = kept[i]
        return found
