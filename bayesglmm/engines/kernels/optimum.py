"""The mode of Laplace's approximation over the hyperparameters: BFGS with exact gradients, then Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import LaplaceObjective, MarginalObjective, Objective
from bayesglmm.engines.kernels.spectral import normal_objective
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import NotPositiveDefiniteError

_LONGEST = 1.5  # of one step in a hyperparameter: on a log scale a factor of 4.5
_GAIN = 1e-6  # stop where the quadratic model promises less
_NEAR = 0.1  # the same for restricted likelihood on the way to maximum likelihood
_FINE = 1e-9  # the same near an edge, where the model promises too little: the likelihood is not quadratic there
_FAR = 10.0  # a coordinate of a correlation matrix beyond this is on its way to an edge: |correlation| > 0.995
_AWAY = 3.0  # from the start, on a log scale, where one approximation of the likelihood takes over from another
_STEP = 1e-3  # of the central differences of the gradient, in standard deviations where these are known


# Called after every evaluation with their number so far and the value, NaN where there is none; must be quick.
type Report = Callable[[int, float], None]
type Make = Callable[[LatentView, Objective], MarginalObjective]


@dataclass(frozen=True, eq=False)
class Optimum:
    """A maximum of a `MarginalObjective`.

    Attributes
    ----------
    psi : ndarray, shape (size,)
    mode : ConditionalMode
    gradient : ndarray, shape (size,)
    curvature : ndarray, shape (size, size)
        Minus the second derivatives, by central differences of the exact gradient.
    converged : bool
    evaluations : int
        Of value and gradient.
    """

    psi: Floats
    mode: ConditionalMode
    gradient: Floats
    curvature: Floats
    converged: bool
    evaluations: int

    @property
    def value(self) -> float:
        """The maximum."""
        return self.mode.log_marginal


@dataclass(frozen=True, eq=False)
class _Point:
    psi: Floats
    mode: ConditionalMode
    gradient: Floats

    @property
    def value(self) -> float:
        return self.mode.log_marginal


class Search:
    """Climbs an objective; counts evaluations.

    Parameters
    ----------
    objective : MarginalObjective
    report : callable, optional
        Gets the number of evaluations and the value after each; see `maximise`.
    evaluations : int
        Where to start counting.
    """

    def __init__(self, objective: MarginalObjective, report: Report | None = None, evaluations: int = 0) -> None:
        self.objective, self.report = objective, report
        self.evaluations = evaluations

    def point(
        self, psi: Floats, near: _Point | ConditionalMode | Floats | None = None, predicted: bool = False
    ) -> _Point | None:
        """Evaluate, at `near` itself if that is the predicted mode; None where there is no conditional mode."""
        found = self._evaluate(psi, near.mode if isinstance(near, _Point) else near, predicted)
        self.evaluations += 1
        if self.report is not None:
            self.report(self.evaluations, np.nan if found is None else found.value)
        return found

    def _evaluate(self, psi: Floats, start: ConditionalMode | Floats | None, predicted: bool) -> _Point | None:
        try:
            mode = self.objective.mode(psi, start, predicted=predicted)
            if not np.isfinite(mode.log_marginal):
                return None
            gradient = self.objective.gradient(mode)
        except NotPositiveDefiniteError:
            return None
        return _Point(psi, mode, gradient) if np.all(np.isfinite(gradient)) else None

    def climb(
        self, start: _Point, inverse: Floats, limit: int, gain: float = _GAIN, unit: Floats | None = None
    ) -> tuple[_Point, Floats, bool]:
        """Maximise by BFGS.

        Parameters
        ----------
        start : _Point
        inverse : ndarray, shape (size, size)
            First guess of the inverse of minus the second derivatives.
        limit : int
            Iterations.
        gain : float
            Stop where the quadratic model promises less.
        unit : ndarray, shape (t,), optional
            Of the hyperparameters, for the length of first steps; 1 if absent.

        Returns
        -------
        best : _Point
        inverse : ndarray
        converged : bool
        """
        here, fresh = start, True
        for _ in range(limit):
            direction = inverse @ here.gradient
            promised = 0.5 * float(here.gradient @ direction)
            if promised < gain:
                return here, inverse, True
            # Towards a boundary (a correlation of one lies at infinity) the allowed steps grow geometrically.
            t = self.objective.theta_size
            allowed = _LONGEST * (1.0 if unit is None else unit) + np.abs(here.psi - start.psi)[:t]
            direction *= min(1.0, float((allowed / np.maximum(np.abs(direction[:t]), 1e-300)).min(initial=1.0)))
            found = self._line(here, direction)
            if found is None:
                if fresh:
                    return here, inverse, promised < 100 * gain
                inverse, fresh = np.diag(np.diag(inverse)), True
                continue
            step, change = found.psi - here.psi, here.gradient - found.gradient
            here, slope = found, float(step @ change)
            if slope > 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(change)):
                if fresh and len(step) == self.objective.theta_size:
                    # Scale the first guess to the curvature met (Nocedal and Wright 2006, equation 6.20).
                    inverse = inverse * (slope / float(change @ inverse @ change))
                left = np.eye(len(step)) - np.outer(step, change) / slope
                inverse = left @ inverse @ left.T + np.outer(step, step) / slope
                fresh = False
        return here, inverse, False

    def finish(self, here: _Point, inverse: Floats, converged: bool, limit: int) -> Optimum:
        """Follow correlations that are near an edge, then take Newton steps.

        A row of the Cholesky factor of a correlation matrix is (x, 1) divided by its length, so that its edge lies at
        infinity, and far out a change of direction takes steps as long as the way there. The search goes on in units
        of that way, in which the likelihood bends as it does near the origin.
        """
        unit = self._units(here.psi)
        far = np.flatnonzero(unit > _FAR)
        if len(far):
            own = inverse.copy()
            own[far], own[:, far] = 0.0, 0.0
            own[far, far] = 0.1 * unit[far] ** 2
            here, inverse, converged = self.climb(here, own, limit, _FINE, unit)
        return self.polish(here, inverse, converged)

    def _units(self, psi: Floats) -> Floats:
        """Return the size of every hyperparameter: its own beyond 1 for those of correlations, else 1."""
        view = self.objective.view
        found = [part.of_kind("correlation", "vector") for part in view.problem.structured]
        matrices = {own.name for parts in found for own in parts.values()}
        names = zip(view.problem.names("theta"), view.theta_shapes, strict=True)
        of_matrix = [name in matrices for name, shape in names for _ in range(int(np.prod(shape)))]
        size = np.maximum(1.0, np.abs(psi[: self.objective.theta_size]))
        return np.where(np.array(of_matrix, dtype=bool), size, 1.0)

    def _line(self, here: _Point, direction: Floats) -> _Point | None:
        """Backtrack by quadratic interpolation until the objective rises enough."""
        slope, size = float(here.gradient @ direction), 1.0
        for _ in range(25):
            found = self.point(here.psi + size * direction, here)
            if found is not None and found.value >= here.value + 1e-4 * size * slope - 1e-9 * (1.0 + abs(here.value)):
                return found
            if found is None:
                size *= 0.25
                continue
            lost = slope * size - (found.value - here.value)
            size *= float(np.clip(0.5 * slope * size / lost, 0.1, 0.5)) if lost > 0 else 0.5
        return None

    def curvature(self, here: _Point, scale: Floats) -> Floats:
        """Return minus the second derivatives by central differences of the gradient with steps `scale`."""
        size = len(here.psi)
        out = np.zeros((size, size))
        # The mode moves along. Where it ends differs from the mode by the square of the step, on both sides alike, so
        # that Newton steps, which a difference of two gradients would not notice, are left out.
        moves = self.objective.jacobian(here.mode) * scale
        for j in range(size):
            unit = np.zeros(size)
            unit[j] = scale[j]
            up = self.point(here.psi + unit, self.objective.moved(here.mode, moves[:, j]), True)
            down = self.point(here.psi - unit, self.objective.moved(here.mode, -moves[:, j]), True)
            if up is None and down is None:
                out[j, j] = 1.0 / scale[j] ** 2
            elif up is None or down is None:
                one, sign = (up, 1.0) if up is not None else (down, -1.0)
                assert one is not None
                out[j] = -(one.gradient - here.gradient) / (sign * scale[j])
            else:
                out[j] = -(up.gradient - down.gradient) / (2.0 * scale[j])
        return 0.5 * (out + out.T)

    def polish(self, here: _Point, inverse: Floats, converged: bool) -> Optimum:
        """Finish with Newton steps on the differenced curvature."""
        unit = np.ones(len(here.psi))
        unit[: self.objective.theta_size] = self._units(here.psi)
        deviations = np.sqrt(np.clip(np.diag(inverse), 1e-12, unit**2))
        curvature = self.curvature(here, _STEP * np.maximum(deviations, 1e-3))
        for _ in range(4):
            step = safe_inverse(curvature) @ here.gradient
            promised = 0.5 * float(here.gradient @ step)
            if (
                promised < 1e-10
                or float((np.abs(step) / unit)[: self.objective.theta_size].max(initial=0.0)) > _LONGEST
            ):
                break
            found = self.point(here.psi + step, here)
            if found is None or found.value < here.value - 1e-9 * (1.0 + abs(here.value)):
                break
            # Newton's method promises the square of the error; anything else is rounding.
            better = np.linalg.norm(found.gradient) < np.linalg.norm(here.gradient)
            here = found if better else here
            if not better:
                break
        remaining = 0.5 * float(here.gradient @ safe_inverse(curvature) @ here.gradient)
        converged = converged or remaining < _GAIN
        return Optimum(here.psi, here.mode, here.gradient, curvature, converged, self.evaluations)


def safe_inverse(curvature: Floats) -> Floats:
    """Return the inverse of a curvature, whose flat or negative directions get a variance of at most 25.

    Hyperparameters are logarithms and the like: a standard deviation of 5 already means that nothing is known.
    """
    if not len(curvature):
        return np.zeros((0, 0))
    # Scaled first, since coefficients may have any unit.
    diagonal = np.abs(np.diag(curvature))
    scale = 1.0 / np.sqrt(np.maximum(diagonal, 0.04))
    values, vectors = np.linalg.eigh(curvature * scale[:, None] * scale)
    values = np.maximum(values, 1e-8)
    out = (vectors / values) @ vectors.T * scale[:, None] * scale
    return np.asarray(0.5 * (out + out.T))


def maximise(
    view: LatentView,
    kind: Objective = "posterior",
    start: Floats | None = None,
    limit: int = 100,
    report: Report | None = None,
    make: Make = normal_objective,
    restricted: Make | None = None,
) -> Optimum:
    """Maximise Laplace's approximation, or another one.

    Parameters
    ----------
    view : LatentView
    kind : {"posterior", "ml", "reml"}
        See `MarginalObjective`.
    start : ndarray, shape (t,), optional
        Of theta; from the data if absent.
    limit : int
        Iterations.
    report : callable, optional
        Called after every evaluation of value and gradient with their number so far and the value (NaN where the
        objective cannot be evaluated), for a display of progress. Maximum likelihood begins with the restricted
        likelihood, so that its values jump once.
    make : callable
        Returns the objective of a view and a kind.
    restricted : callable, optional
        The same for the restricted likelihood that maximum likelihood begins with; `make` if absent.

    Raises
    ------
    NotPositiveDefiniteError
        If the objective cannot be evaluated near the start.
    """
    search = Search(make(view, "posterior") if kind == "posterior" else (restricted or make)(view, "reml"), report)
    here = _first_point(search, view.initial_theta if start is None else np.asarray(start, dtype=float))
    here, inverse, converged = search.climb(here, _first_inverse(search), limit, _NEAR if kind == "ml" else _GAIN)
    if kind != "ml":
        return search.finish(here, inverse, converged, limit)
    objective = make(view, "ml")
    joint = Search(objective, report, search.evaluations)
    fixed = objective.structure.coefficients
    units = np.zeros((view.size, len(fixed)))
    units[fixed, np.arange(len(fixed))] = 1.0
    whole = np.zeros((objective.size, objective.size))
    t = objective.theta_size
    whole[:t, :t] = inverse
    here, point = _joint_point(search, joint, here)
    whole[t:, t:] = here.mode.factor.solve(units)[fixed]
    best, whole, converged = joint.climb(point, whole, limit)
    return joint.finish(best, whole, converged, limit)


def _joint_point(search: Search, joint: Search, here: _Point) -> tuple[_Point, _Point]:
    """Return a point of the restricted likelihood and the one of the likelihood that it stands for.

    Restricted estimates; or a point on the way to them, where another approximation of the likelihood has none there.
    """
    view, objective, way = search.objective.view, joint.objective, here.psi - search.objective.view.initial_theta
    far = max(float(np.abs(way).max(initial=0.0)), _AWAY)
    longest = 1.0 if search.objective.engine == objective.engine else _AWAY / far
    for share in (longest, 0.5 * longest, 0.0):
        near = here if share == 1.0 else search.point(view.initial_theta + share * way, here)
        if near is None:
            continue
        psi = np.concatenate([near.psi, near.mode.x[objective.structure.coefficients]])
        # Given the coefficients at their joint mode, so are the group effects.
        point = joint.point(psi, near.mode.x[objective.structure.inner])
        if point is not None:
            return near, point
    raise NotPositiveDefiniteError(
        f"The likelihood cannot be evaluated by {objective.name} at the restricted estimates, nor on the way to them."
    )


def _first_inverse(search: Search) -> Floats:
    """Return a guess of the inverse of the curvature in theta.

    m normal values carry the information 2 m about the logarithm of their standard deviation. Effects that the data
    leave uncertain carry less, so that first steps are rather too short than too long; the search rescales then.
    """
    view = search.objective.view
    problem, n = view.problem, search.objective.structure.n
    values: dict[str, float] = dict.fromkeys(problem.dispersions, 0.5 / n)
    sizes = dict(zip(problem.names("theta"), (int(np.prod(shape)) for shape in view.theta_shapes), strict=True))
    for part in problem.blocks:
        levels, terms = len(part.block.levels), len(part.block.terms)
        for own in part.parameters.values():
            if own.kind == "scale":
                values[own.name] = 0.5 * sizes.get(own.name, 1) / (levels * terms)
            elif own.kind == "correlation":
                values[own.name] = 1.0 / levels
    return np.diag([values.get(name, 0.3) for name, size in sizes.items() for _ in range(size)])


def _first_point(search: Search, start: Floats) -> _Point:
    """Evaluate at the start, or as near to it as the objective can be evaluated: smaller scales are safer."""
    for shift in (0.0, -1.0, 1.0, -2.0, -4.0):
        found = search.point(start + shift)
        if found is not None:
            return found
    view, inner = search.objective.view, search.objective.structure.inner
    for x in view.other_starts():
        found = search.point(start, x[inner])
        if found is not None:
            return found
    hint = " Give others: bg.nonlinear(..., start={...})." if view.problem.likelihood.expression is not None else ""
    raise NotPositiveDefiniteError(
        f"The marginal density of the hyperparameters cannot be evaluated near the start values by "
        f"{search.objective.name}: no {search.objective.centred_at} with a positive definite precision was "
        f"found.{hint}"
    )


def laplace_mode(view: LatentView, start: Floats, limit: int = 100) -> tuple[ConditionalMode, Floats]:
    """Maximise Laplace's approximation of log p(theta | y) over unconstrained theta.

    Parameters
    ----------
    view : LatentView
    start : ndarray, shape (t,)
    limit : int
        Iterations of BFGS.

    Returns
    -------
    mode : ConditionalMode
        At the best theta.
    covariance : ndarray, shape (t, t)
        Inverse of minus the second derivatives there.
    """
    found = maximise(view, "posterior", start, limit)
    return found.mode, safe_inverse(found.curvature)


def mode_jacobian(view: LatentView, mode: ConditionalMode) -> Floats:
    """Return d x-hat / d theta at a mode of the posterior objective, shape (size, t)."""
    return LaplaceObjective(view).jacobian(mode)
