"""Likelihood profiles: hold one parameter at a value, maximise over the others, see how much likelihood is lost.

With L(x) the profile of one parameter, zeta(x) = sign(x - estimate) sqrt(2 (L_max - L(x))) is a straight line where
Wald's interval is right, and the interval is where |zeta| stays below the normal quantile (Bates, lme4's profile).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import interpolate, linalg, optimize

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.identified import standard_errors
from bayesglmm.engines.kernels.likelihood import Estimation, Likelihood, hyperparameter_labels
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import NotPositiveDefiniteError
from bayesglmm.results.estimates import free_variables
from bayesglmm.results.schema import variables
from bayesglmm.results.tables import Parameter, parameters
from bayesglmm.results.wald import normal_quantile

if TYPE_CHECKING:
    from bayesglmm.graph.problem import Problem

_STEPS = 6  # from the estimate to the end of a profile
_MOST = 30
_LONGEST = 0.7  # step of a hyperparameter on its unconstrained scale
_NOTHING = 1e-9  # a standard deviation relative to its estimate, where it is as good as zero
_DIFFERENCE = 1e-3  # of gradients by quadrature, in standard errors
_SMALL = -2.5  # log of a standard deviation, relative to its typical size, at which one of zero is asked to grow
_RELEASED = 0.5  # first guess of the spread of its logarithm once it does
_EDGE = 1e-3  # from a correlation of one, where it is as good as that


@dataclass(frozen=True, eq=False)
class Profile:
    """Likelihood profiles of the parameters of a fit.

    Attributes
    ----------
    table : DataFrame
        Columns: parameter, value, zeta; the estimate is the row with zeta 0.
    reach : float
        Largest probability of an interval that the profiles were made for.
    left_out : tuple of str
        Parameters without a profile: those that are no coordinate of the search, such as cutpoints and the
        correlations of three and more terms.
    edges : mapping of str to tuple of float
        The ends of what a parameter can be, for those whose profile may reach them.
    """

    table: pd.DataFrame
    reach: float
    left_out: tuple[str, ...] = ()
    edges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def intervals(self, prob: float = 0.95) -> pd.DataFrame:
        """Return the intervals in which the likelihood ratio test does not reject.

        Parameters
        ----------
        prob : float
            At most `reach`.

        Returns
        -------
        DataFrame
            Index: parameter. Columns: estimate, lower, upper. An end is the edge of what the parameter can be (0
            for a standard deviation, -1 or 1 for a correlation) where the data do not rule that out; one that was
            not found is nan.
        """
        z = normal_quantile(prob)
        if prob > self.reach:
            raise SettingsError(f"prob={prob:g} needs longer profiles: fit.profile(reach={prob:g}).")
        rows = {}
        for name, own in self.table.groupby("parameter", sort=False):
            value, zeta = own["value"].to_numpy(), own["zeta"].to_numpy()
            estimate = float(value[np.argmin(np.abs(zeta))])
            edges = self.edges.get(str(name), _NO_EDGES)
            rows[name] = (estimate, _inverse(zeta, value, -z, edges), _inverse(zeta, value, z, edges))
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "lower", "upper"]).rename_axis(
            "parameter"
        )

    def __repr__(self) -> str:
        text = f"Likelihood profiles; 95% intervals\n{self.intervals(min(0.95, self.reach))}"
        return text + (f"\nWithout a profile: {', '.join(self.left_out)}" if self.left_out else "")


_NO_EDGES = (float("nan"), float("nan"))


def _inverse(zeta: Floats, value: Floats, at: float, edges: tuple[float, float]) -> float:
    """Return the value at which a profile has the height `at`.

    zeta is interpolated over the values, not the other way round: near a standard deviation of zero it is flat.
    """
    if at < zeta[0]:
        return edges[0] if value[0] == edges[0] else float("nan")
    if at > zeta[-1]:
        return edges[1] if value[-1] == edges[1] else float("nan")
    place = int(np.clip(np.searchsorted(zeta, at), 1, len(zeta) - 1))
    low, high = float(value[place - 1]), float(value[place])
    curve = interpolate.CubicSpline(value, zeta) if len(zeta) > 3 else interpolate.PchipInterpolator(value, zeta)
    if (curve(low) - at) * (curve(high) - at) > 0:  # at a node, up to rounding
        return low if abs(zeta[place - 1] - at) < abs(zeta[place] - at) else high
    return float(optimize.brentq(lambda x: float(curve(x)) - at, low, high))


def profile(
    problem: Problem,
    view: LatentView,
    estimation: Estimation,
    reach: float = 0.99,
    wanted: Sequence[str] | None = None,
) -> Profile:
    """Profile the likelihood; see `LikelihoodFit.profile`.

    Parameters
    ----------
    problem : Problem
    view : LatentView
    estimation : Estimation
        Of maximum likelihood.
    reach : float
    wanted : sequence of str, optional
        Labels of the parameters; all if absent.
    """
    found = estimation(view)
    owner = _coordinates(problem, found)
    known = [parameter.label for parameter in _values(problem, found, found.psi[None])]
    for name in wanted or ():
        if name not in owner:
            raise UnknownNameError(f"No profile of {name!r}. {did_you_mean(name, owner)}")
    walker = _Walker(found, view, estimation, normal_quantile(reach))
    tables, edges = [], dict[str, tuple[float, float]]()
    for j in sorted({owner[name] for name in wanted or owner}):
        psi, zeta = walker.walk(j)
        for parameter in _values(problem, found, psi):
            if owner.get(parameter.label) == j and (wanted is None or parameter.label in wanted):
                values = parameter.values[0]
                values = np.where(walker.is_nothing(j, psi[:, j]), 0.0, values)
                if np.any(np.isfinite(parameter.bounds)):
                    edges[parameter.label] = parameter.bounds
                own = pd.DataFrame({"parameter": parameter.label, "value": values, "zeta": zeta})
                tables.append(_to_edge(own, *parameter.bounds))
    order = {name: position for position, name in enumerate(known)}
    tables.sort(key=lambda table: order[table["parameter"].iloc[0]])
    left_out = tuple(name for name in known if name not in owner) if wanted is None else ()
    return Profile(pd.concat(tables, ignore_index=True), reach, left_out, edges)


def _to_edge(table: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """Let the profile of what lies between two ends, as a correlation does, end where it is as good as there."""
    if not np.isfinite(high):
        return table
    value, near = table["value"].to_numpy(), 0.5 * _EDGE * (high - low)
    inside = (value >= low + near) & (value <= high - near)
    kept = inside | np.append(inside[1:], False) | np.append(False, inside[:-1])
    ends = np.where(value > low + near, high, low)
    ended: pd.DataFrame = table.assign(value=np.where(inside, value, ends)).loc[kept]
    return ended


def _values(problem: Problem, found: Likelihood, psi: Floats) -> list[Parameter]:
    """Return every population parameter at points of psi, values of shape (1, points)."""
    return parameters(problem, variables(problem, free_variables(found, psi)))


def _coordinates(problem: Problem, found: Likelihood) -> dict[str, int]:
    """Return which coordinate of psi moves a parameter, for those that only one moves."""
    size = len(found.psi)
    moved = _values(problem, found, np.concatenate([found.psi[None], found.psi + 1e-3 * np.eye(size)]))
    bends = standard_errors(np.eye(size), found.covariance, found.flat) > 0.0
    bends[_boundary(found)] = True  # on the way up from zero
    owner = {}
    for parameter in moved:
        movers = np.flatnonzero(parameter.values[0, 1:] != parameter.values[0, 0])
        if len(movers) == 1 and bends[movers[0]]:
            owner[parameter.label] = int(movers[0])
    return owner


def _boundary(found: Likelihood) -> Ints:
    """Return the positions in psi of standard deviations that are estimated as zero."""
    labels = hyperparameter_labels(found.objective.view)
    return np.array([k for k, label in enumerate(labels) if label in found.boundary], dtype=np.intp)


@dataclass(eq=False)
class _Walker:
    """Follows the ridge of the likelihood away from the maximum, along one coordinate after the other."""

    found: Likelihood
    view: LatentView
    estimation: Estimation
    end: float
    near: ConditionalMode = field(init=False)

    def __post_init__(self) -> None:
        self.near, self.zeros = self.found.mode, _boundary(self.found)
        self.errors = np.sqrt(np.diag(self.found.covariance))
        self.errors[self.zeros] = _RELEASED
        self.grown = np.concatenate([self.view.initial_theta + _SMALL, np.zeros(len(self.errors))])
        self.surface = _by_quadrature(self) if self.estimation.nodes > 1 else _by_approximation(self)
        scales = {part.name for block in self.view.problem.blocks for part in block.of_kind("scale").values()}
        shapes = zip(self.view.problem.names("theta"), self.view.theta_shapes, strict=True)
        kinds = [np.full(int(np.prod(shape)), name in scales) for name, shape in shapes]
        hyper = np.concatenate([np.zeros(0, dtype=bool), *kinds])
        self.is_scale = np.concatenate([hyper, np.zeros(len(self.found.psi) - len(hyper), dtype=bool)])

    def is_nothing(self, j: int, x: Any) -> Any:
        """Return whether values of coordinate j stand for a standard deviation of zero."""
        nothing = self.found.psi[j] + (0.0 if j in self.zeros else np.log(_NOTHING))
        return self.is_scale[j] & (np.asarray(x) <= nothing)

    def walk(self, j: int) -> tuple[Floats, Floats]:
        """Return points of the ridge along coordinate j, shape (points, size), and zeta there, both ends included."""
        down, up = (list(self._branch(j, sign)) for sign in (-1.0, 1.0))
        points = [*reversed(down), (self.found.psi, 0.0), *up]
        return np.array([psi for psi, _ in points]), np.array([zeta for _, zeta in points])

    def _branch(self, j: int, sign: float) -> Iterator[tuple[Floats, float]]:
        """Yield points of one side, with steps that raise zeta evenly."""
        if j in self.zeros and sign < 0:
            return
        centre = float(self.grown[j] if j in self.zeros else self.found.psi[j])
        x, zeta, step, psi = centre, 0.0, self.errors[j] * self.end / _STEPS, self.found.psi
        for _ in range(_MOST):
            if zeta >= self.end:
                return
            ahead = x + sign * min(step, self._longest(j, abs(x - centre)))
            nearly_zero = self.is_scale[j] and sign < 0 and ahead < centre + np.log(0.02)
            if nearly_zero:
                ahead = centre + np.log(_NOTHING)
            found = self._ridge(j, ahead, psi)
            if found is None:
                return
            psi, value = found
            height = float(np.sqrt(max(2.0 * (self.found.loglik - value), 0.0)))
            yield psi, sign * height
            if nearly_zero:
                return
            rise = max(height - zeta, 0.2 * self.end / _STEPS)
            step, x, zeta = abs(ahead - x) * (self.end / _STEPS) / rise, ahead, height

    def _longest(self, j: int, gone: float) -> float:
        """Return the longest step of coordinate j, at a distance from where its profile begins."""
        if j >= self.view.theta_size:
            return np.inf
        # A correlation of one lies at infinity: steps towards it grow geometrically.
        return _LONGEST if self.is_scale[j] else _LONGEST * max(1.0, gone)

    def _ridge(self, j: int, x: float, start: Floats) -> tuple[Floats, float] | None:
        """Return the maximum over all other coordinates, None where there is none.

        A standard deviation that is zero at the estimates need not be so here. At zero the likelihood is flat in its
        logarithm, so that no search leaves it: each is asked at a small value, and released if it would grow.
        """
        bends = np.diag(self.found.covariance) > 0.0
        others = np.flatnonzero(bends & (np.arange(len(bends)) != j))
        zeros = self.zeros[self.zeros != j]
        held = start.copy()
        held[zeros] = self.found.psi[zeros]
        found = self._climb(j, x, held, others, zeros[:0])
        if found is None or not len(zeros):
            return found
        asked = found[0].copy()
        asked[zeros] = self.grown[zeros]
        released = zeros[self.surface(asked, zeros)[1] > 0.0]
        if not len(released):
            return found
        asked = found[0].copy()
        asked[released] = np.maximum(self.grown[released], start[released])
        freed = self._climb(j, x, asked, others, released)
        return freed if freed is not None and freed[1] > found[1] else found

    def _climb(self, j: int, x: float, start: Floats, others: Ints, released: Ints) -> tuple[Floats, float] | None:
        """Maximise over `others`, in the coordinates in which the curvature at the estimates is 1, and `released`."""
        C = self.found.covariance
        slope = C[others, j] / C[j, j] if C[j, j] > 0.0 else np.zeros(len(others))
        root = _root(C[np.ix_(others, others)] - np.outer(slope, slope) * C[j, j])
        spread = linalg.block_diag(root, _RELEASED * np.eye(len(released)))
        origin = start.copy()
        origin[others] += slope * np.clip(x - start[j], -2.0 * self.errors[j], 2.0 * self.errors[j])
        origin[j] = x
        moving = np.concatenate([others, released])

        def place(s: Floats) -> Floats:
            psi = origin.copy()
            psi[moving] += spread @ s
            return psi

        def descend(s: Floats) -> tuple[float, Floats]:
            value, gradient = self.surface(place(s), moving)
            return -value, -spread.T @ gradient

        if not len(moving):
            value = self.surface(origin, moving)[0]
            return (origin, value) if np.isfinite(value) else None
        zero: Any = np.zeros(spread.shape[1])
        options: Any = {"gtol": 1e-4}
        best: Any = optimize.minimize(descend, zero, jac=True, method="BFGS", options=options)
        return (place(best.x), -float(best.fun)) if np.isfinite(best.fun) else None


def _root(C: Floats) -> Floats:
    """Return R with R R' = C, without the directions in which C is zero: there the likelihood does not bend."""
    values, vectors = np.linalg.eigh(C)
    kept = values > 1e-10 * values.max(initial=0.0)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


type _Surface = Callable[[Floats, Any], tuple[float, Floats]]


def _by_approximation(walker: _Walker) -> _Surface:
    objective = walker.estimation.make(walker.view, "ml")

    def evaluate(psi: Floats, others: Any) -> tuple[float, Floats]:
        try:
            mode = objective.mode(psi, walker.near)
            return mode.log_marginal, objective.gradient(mode)[others]
        except NotPositiveDefiniteError:
            return -np.inf, np.zeros(len(others))

    return evaluate


def _by_quadrature(walker: _Walker) -> _Surface:
    quadrature, t = Quadrature(walker.view, walker.estimation.nodes), walker.view.theta_size

    def value(psi: Floats) -> float:
        try:
            return quadrature(psi[:t], psi[t:], walker.near.work.inner)[0]
        except NotPositiveDefiniteError:
            return -np.inf

    def evaluate(psi: Floats, others: Any) -> tuple[float, Floats]:
        gradient = np.zeros(len(others))
        for position, k in enumerate(others):
            move = np.zeros(len(psi))
            move[k] = _DIFFERENCE * walker.errors[k]
            gradient[position] = (value(psi + move) - value(psi - move)) / (2.0 * move[k])
        return value(psi), gradient

    return evaluate
