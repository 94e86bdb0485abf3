"""The conditional mode x-hat(theta) of the latent Gaussian part: Newton's method, penalised and iterated (PIRLS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.structure import LatentPrior, Structure
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.residual import Whitening
from bayesglmm.linalg import Factor, NotPositiveDefiniteError, Rows
from bayesglmm.linalg.pattern import SMALLEST_CORNER

_ITERATIONS = 100
# Stop once a Newton step would gain less, in units of log density; that step is still taken, so that the error left
# is of the order of its square.
_GAIN = 1e-7
_QUADRATIC = 1e-3
_HALVINGS = 40
_CONVEX = 1e-9  # second derivatives above this say that the likelihood is not log-concave there
# A factor serves for more than one step while the gain falls by this or more, and then to within so much of the mode.
_FALLING = 0.6
_LEFT = 1e-11


@dataclass(frozen=True, eq=False)
class ConditionalMode:
    """The mode of p(x | y, theta).

    Attributes
    ----------
    theta : ndarray, shape (t,)
    x : ndarray, shape (size,)
        In the layout of the view, coefficients that are not integrated out included.
    factor : Factor
        Of H = A' W A + Q at the mode, over what is integrated out.
    log_marginal : float
        Laplace's approximation of log p(y, theta), Jacobian of theta's transforms included; for maximum likelihood
        that of the log-likelihood.
    iterations : int
        Newton steps taken.
    converged : bool
    work : Work
        What derivatives at the mode start from.
    """

    theta: Floats
    x: Floats
    factor: Factor
    log_marginal: float
    iterations: int
    converged: bool
    work: Work = field(repr=False)


@dataclass(frozen=True, eq=False)
class Work:
    """The quantities of one theta.

    Attributes
    ----------
    inner : ndarray
        The mode of what is integrated out.
    rows : Rows
    etas : ndarray, shape (P, n)
    phi : mapping
        Dispersions.
    d2 : ndarray, shape (P, P, n)
    prior : LatentPrior
    factors : tuple of ndarray
        Lambda of every block.
    whitening : Whitening or None
        What `rows` and `etas` were multiplied by, where residuals are correlated.
    """

    inner: Floats
    rows: Rows
    etas: Floats
    phi: Mapping[str, Any]
    d2: Floats
    prior: LatentPrior
    factors: tuple[Floats, ...]
    whitening: Whitening | None = None


def structure_of(
    view: LatentView, outer: bool = False, flat: bool = False, smallest: int = SMALLEST_CORNER
) -> Structure:
    """Return the view's structure, made once; see `Structure` for the arguments."""
    key = ("structure", outer, flat, smallest)
    if key not in view.kept:
        view.kept[key] = Structure(view, outer, flat, smallest)
    found: Structure = view.kept[key]
    return found


def conditional_mode(view: LatentView, theta: Floats, start: Floats | None = None) -> ConditionalMode:
    """Find argmax_x log p(y | A x) + log N(x; m, Q^-1) by Newton's method with step halving.

    Parameters
    ----------
    view : LatentView
    theta : ndarray, shape (t,)
        Unconstrained.
    start : ndarray, shape (size,), optional
        Where to start: the prior mean if absent, and then the mode is a function of theta alone.

    Raises
    ------
    NotPositiveDefiniteError
        If no maximum with a positive definite precision was found.
    """
    theta = np.asarray(theta, dtype=float)
    return find_mode(structure_of(view), theta, np.zeros(0), start, view.log_prior(theta))


def find_mode(
    structure: Structure,
    theta: Floats,
    coefficients: Floats,
    start: ConditionalMode | Floats | None,
    log_prior: float,
    predicted: bool = False,
    make: MakeSearch | None = None,
) -> ConditionalMode:
    """Find the conditional mode within a structure.

    Parameters
    ----------
    structure : Structure
    theta : ndarray, shape (t,)
    coefficients : ndarray
        Values of the population coefficients that are not integrated out.
    start : ConditionalMode or ndarray, optional
        A mode nearby, or a guess of what is integrated out.
    log_prior : float
        Added to the log marginal density.
    predicted : bool
        Take the start for the mode, without a step of Newton's method.
    make : callable, optional
        Returns the search at theta; `NewtonSearch` if absent.
    """
    view = structure.view
    natural = view.natural(theta)
    factors = view.factors(natural)
    newton = (make or NewtonSearch)(structure, factors, coefficients, natural)
    if isinstance(start, ConditionalMode):
        x = structure.carried(start.work.inner, start.work.factors, factors)
    else:
        x = structure.start.copy() if start is None else start
    x, derivatives, steps, converged = newton.run(x, 0 if predicted else _ITERATIONS)
    factor = newton.precision(derivatives)
    log_marginal = (
        newton.value(x, derivatives)
        + newton.prior.constant
        + 0.5 * structure.pattern.size * np.log(2 * np.pi)
        - 0.5 * factor.logdet()
        + log_prior
    )
    work = newton.work(x, derivatives)
    full = structure.full(x, coefficients)
    return ConditionalMode(theta, full, factor, float(log_marginal), steps, converged, work)


class NewtonSearch:
    """The search at one theta."""

    def __init__(
        self, structure: Structure, factors: tuple[Floats, ...], coefficients: Floats, natural: Mapping[str, Any]
    ) -> None:
        self.structure, self.factors = structure, factors
        self.whitening = structure.view.whitening(natural)
        self.rows = structure.rows(factors, self.whitening)
        self.offset = structure.offset(natural, coefficients, self.whitening)
        self.phi = structure.view.dispersions(natural)
        self.prior = structure.prior(natural, self.whitening)
        self._last: tuple[Floats, Factor] | None = None
        self._at: tuple[Floats, Floats] | None = None
        self.keeps = structure.pattern.heavy  # whether a factor serves for several steps

    def etas(self, x: Floats) -> Floats:
        return self.offset + self.rows.eta(x)

    def evaluate(self, x: Floats) -> tuple[float, RowDerivatives]:
        """Return the objective and the likelihood's derivatives."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self._at = x, self.etas(x)
            derivatives = self.structure.view.elementwise(list(self._at[1]), self.phi, 1)
        return self.value(x, derivatives), derivatives

    def value(self, x: Floats, derivatives: RowDerivatives) -> float:
        """Return log p(y | x) - (x - m)' Q (x - m) / 2."""
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far, which the search takes back
            return float(derivatives.value.sum() - 0.5 * (x - self.prior.mean) @ self.prior.times(x))

    @staticmethod
    def observed(derivatives: RowDerivatives) -> Floats:
        """Return the second derivatives, shape (P, P, n)."""
        if derivatives.d2 is None:
            raise TypeError("The elementwise likelihood came without second derivatives.")
        return derivatives.d2

    def factor(self, W: Floats) -> Factor:
        """Factorise A' W A + Q; the same W (a gaussian likelihood) is not factorised twice."""
        if self._last is None or not np.array_equal(self._last[0], W):
            self._last = W, self.rows.factor(W, self.prior.Q)
        return self._last[1]

    def precision(self, derivatives: RowDerivatives) -> Factor:
        """Factorise the precision with the observed curvature."""
        return self.factor(-self.observed(derivatives))

    def slope(self, derivatives: RowDerivatives) -> Floats:
        """Return A' l', shape (size,)."""
        return self.rows.transpose(self.first(derivatives))

    def work(self, x: Floats, derivatives: RowDerivatives) -> Work:
        """Return what derivatives at x start from."""
        etas = self._at[1] if self._at is not None and self._at[0] is x else self.etas(x)
        d2 = self.observed(derivatives)
        return Work(x, self.rows, etas, self.phi, d2, self.prior, self.factors, self.whitening)

    def run(self, x: Floats, iterations: int = _ITERATIONS) -> tuple[Floats, RowDerivatives, int, bool]:
        """Climb to the mode; return it, the derivatives there, the number of steps and whether it converged.

        Where a factorisation takes much longer than an evaluation of the likelihood, it serves for several steps
        (Shamanskii 1967): until a step gains no longer much less than the one before.
        """
        value, derivatives = self.evaluate(x)
        if not np.isfinite(value):
            x = self.structure.start.copy()
            value, derivatives = self.evaluate(x)
        before, kept = 0.0, False
        for step in range(1, iterations + 1):
            gradient = self.slope(derivatives) - self.prior.times(x)
            direction = (
                self._last[1].solve(gradient) if kept and self._last else self.direction(derivatives, gradient)
            )
            gain = 0.5 * float(gradient @ direction)
            if not np.isfinite(gain):
                raise NotPositiveDefiniteError("The search for the conditional mode met a non-finite gradient.")
            slow = kept and gain > _FALLING * before
            found = None if slow else self.halve(x, direction, value, gain)
            if found is None and kept:
                before, kept = 0.0, False
                continue
            if found is None:
                return x, derivatives, step, gain < 1e-5 * (1.0 + abs(value))
            # A gain that is not the predicted one tells kinks, between which the curvature is the same, too.
            predicted = abs(found[1] - value - gain) <= 1e-10 * (1.0 + abs(value))
            exact = predicted and self.quadratic(derivatives, found[2])
            x, value, derivatives = found
            if exact or _arrived(gain, before, kept):
                return x, derivatives, step, True
            before, kept = gain, self.keeps
        return x, derivatives, iterations, False

    def quadratic(self, before: RowDerivatives, after: RowDerivatives) -> bool:
        """Return whether the curvature is the same at both ends of a step, as where the density is normal."""
        return np.array_equal(self.observed(before), self.observed(after))

    def halve(
        self, x: Floats, direction: Floats, value: float, gain: float
    ) -> tuple[Floats, float, RowDerivatives] | None:
        """Take the first of the halved steps that raises the objective enough; None if there is none."""
        size = 1.0
        for _ in range(_HALVINGS):
            trial = x + size * direction
            new, derivatives = self.evaluate(trial)
            # Rounding of the sum over rows must not reject the last steps.
            if np.isfinite(new) and new >= value + 2e-4 * size * gain - 1e-10 * (1.0 + abs(value)):
                return trial, new, derivatives
            size /= 2.0
        return None

    def direction(self, derivatives: RowDerivatives, gradient: Floats) -> Floats:
        """Return Newton's direction, with the observed curvature where it gives a positive definite precision."""
        W = -self.observed(derivatives)
        try:
            return self.factor(W).solve(gradient)
        except NotPositiveDefiniteError:
            return self.factor(positive_part(W)).solve(gradient)

    @staticmethod
    def first(derivatives: RowDerivatives) -> Floats:
        if derivatives.d1 is None:
            raise TypeError("The elementwise likelihood came without first derivatives.")
        return derivatives.d1


def curves_upwards(d2: Floats) -> bool:
    """Return whether some row is not log-concave, from the second derivatives, shape (P, P, n)."""
    return bool(np.any(np.einsum("ppn->pn", d2) > _CONVEX))


type MakeSearch = Callable[[Structure, tuple[Floats, ...], Floats, Mapping[str, Any]], NewtonSearch]


def _arrived(gain: float, before: float, kept: bool) -> bool:
    """Return whether so little is left after steps with these gains, the last with a factor that was kept or not."""
    if kept:
        # Gains fall geometrically.
        return gain**2 < _LEFT * before
    # Gains g1, g2 of steps that converge quadratically let g2^3 / g1^2 follow.
    return gain < _GAIN or (gain < _QUADRATIC * before and gain * (gain / before) ** 2 < _GAIN**2)


def positive_part(W: Floats) -> Floats:
    """Return W with the eigenvalues of every row replaced by their moduli, and at least a small number.

    Negative curvature says nothing about how far to go; its modulus gives a step that is safe where the curvature
    changes slowly (Nocedal and Wright 2006, section 3.4).
    """
    values, vectors = np.linalg.eigh(np.moveaxis(np.nan_to_num(W, posinf=0.0, neginf=0.0), -1, 0))
    size = np.abs(values)
    size = np.maximum(size, 1e-8 + 1e-2 * float(np.median(size)))
    return np.moveaxis((vectors * size[:, None, :]) @ vectors.swapaxes(1, 2), 0, -1)
