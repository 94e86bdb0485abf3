"""Likelihood profiles: hold one parameter at a value, maximise over the others, see how much likelihood is lost.

With L(x) the profile of one parameter, zeta(x) = sign(x - estimate) sqrt(2 (L_max - L(x))) is a straight line where
Wald's interval is right, and the interval is where |zeta| stays below the normal quantile (Bates, lme4's profile).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import interpolate, optimize

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.identified import standard_errors
from bayesglmm.engines.kernels.likelihood import Likelihood, maximum_likelihood
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import LaplaceObjective
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
    """

    table: pd.DataFrame
    reach: float
    left_out: tuple[str, ...] = ()

    def intervals(self, prob: float = 0.95) -> pd.DataFrame:
        """Return the intervals in which the likelihood ratio test does not reject.

        Parameters
        ----------
        prob : float
            At most `reach`.

        Returns
        -------
        DataFrame
            Index: parameter. Columns: estimate, lower, upper. The lower end of a standard deviation is 0 where the
            data do not rule that out; an end that was not found is nan.
        """
        z = normal_quantile(prob)
        if prob > self.reach:
            raise SettingsError(f"prob={prob:g} needs longer profiles: fit.profile(reach={prob:g}).")
        rows = {}
        for name, own in self.table.groupby("parameter", sort=False):
            value, zeta = own["value"].to_numpy(), own["zeta"].to_numpy()
            estimate = float(value[np.argmin(np.abs(zeta))])
            rows[name] = (estimate, _inverse(zeta, value, -z), _inverse(zeta, value, z))
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "lower", "upper"]).rename_axis(
            "parameter"
        )

    def __repr__(self) -> str:
        text = f"Likelihood profiles; 95% intervals\n{self.intervals(min(0.95, self.reach))}"
        return text + (f"\nWithout a profile: {', '.join(self.left_out)}" if self.left_out else "")


def _inverse(zeta: Floats, value: Floats, at: float) -> float:
    """Return the value at which a profile has the height `at`.

    zeta is interpolated over the values, not the other way round: near a standard deviation of zero it is flat.
    """
    if at < zeta[0]:
        return 0.0 if value[0] == 0.0 else float("nan")
    if at > zeta[-1]:
        return float("nan")
    place = int(np.clip(np.searchsorted(zeta, at), 1, len(zeta) - 1))
    low, high = float(value[place - 1]), float(value[place])
    curve = interpolate.CubicSpline(value, zeta) if len(zeta) > 3 else interpolate.PchipInterpolator(value, zeta)
    if (curve(low) - at) * (curve(high) - at) > 0:  # at a node, up to rounding
        return low if abs(zeta[place - 1] - at) < abs(zeta[place] - at) else high
    return float(optimize.brentq(lambda x: float(curve(x)) - at, low, high))


def profile(
    problem: Problem, view: LatentView, nodes: int, reach: float = 0.99, wanted: Sequence[str] | None = None
) -> Profile:
    """Profile the likelihood; see `LikelihoodFit.profile`.

    Parameters
    ----------
    problem : Problem
    view : LatentView
    nodes : int
        Of quadrature.
    reach : float
    wanted : sequence of str, optional
        Labels of the parameters; all if absent.
    """
    found = maximum_likelihood(view, "ml", nodes)
    owner = _coordinates(problem, found)
    known = [parameter.label for parameter in _values(problem, found, found.psi[None])]
    for name in wanted or ():
        if name not in owner:
            raise UnknownNameError(f"No profile of {name!r}. {did_you_mean(name, owner)}")
    walker = _Walker(found, view, nodes, normal_quantile(reach))
    tables = []
    for j in sorted({owner[name] for name in wanted or owner}):
        psi, zeta = walker.walk(j)
        for parameter in _values(problem, found, psi):
            if owner.get(parameter.label) == j and (wanted is None or parameter.label in wanted):
                values = parameter.values[0]
                values = np.where(walker.is_nothing(j, psi[:, j]), 0.0, values)
                tables.append(pd.DataFrame({"parameter": parameter.label, "value": values, "zeta": zeta}))
    order = {name: position for position, name in enumerate(known)}
    tables.sort(key=lambda table: order[table["parameter"].iloc[0]])
    left_out = tuple(name for name in known if name not in owner) if wanted is None else ()
    return Profile(pd.concat(tables, ignore_index=True), reach, left_out)


def _values(problem: Problem, found: Likelihood, psi: Floats) -> list[Parameter]:
    """Return every population parameter at points of psi, values of shape (1, points)."""
    return parameters(problem, variables(problem, free_variables(found, psi)))


def _coordinates(problem: Problem, found: Likelihood) -> dict[str, int]:
    """Return which coordinate of psi moves a parameter, for those that only one moves."""
    size = len(found.psi)
    moved = _values(problem, found, np.concatenate([found.psi[None], found.psi + 1e-3 * np.eye(size)]))
    bends = standard_errors(np.eye(size), found.covariance, found.flat) > 0.0
    owner = {}
    for parameter in moved:
        movers = np.flatnonzero(parameter.values[0, 1:] != parameter.values[0, 0])
        if len(movers) == 1 and bends[movers[0]]:
            owner[parameter.label] = int(movers[0])
    return owner


@dataclass(eq=False)
class _Walker:
    """Follows the ridge of the likelihood away from the maximum, along one coordinate after the other."""

    found: Likelihood
    view: LatentView
    nodes: int
    end: float
    near: ConditionalMode = field(init=False)

    def __post_init__(self) -> None:
        self.near = self.found.mode
        self.errors = np.sqrt(np.diag(self.found.covariance))
        self.surface = _by_quadrature(self) if self.nodes > 1 else _by_laplace(self)
        scales = {part.name for block in self.view.problem.blocks for part in block.scales.values()}
        shapes = zip(self.view.problem.names("theta"), self.view.theta_shapes, strict=True)
        kinds = [np.full(int(np.prod(shape)), name in scales) for name, shape in shapes]
        hyper = np.concatenate([np.zeros(0, dtype=bool), *kinds])
        self.is_scale = np.concatenate([hyper, np.zeros(len(self.found.psi) - len(hyper), dtype=bool)])

    def is_nothing(self, j: int, x: Any) -> Any:
        """Return whether values of coordinate j stand for a standard deviation of zero."""
        return self.is_scale[j] & (np.asarray(x) <= self.found.psi[j] + np.log(_NOTHING))

    def walk(self, j: int) -> tuple[Floats, Floats]:
        """Return points of the ridge along coordinate j, shape (points, size), and zeta there, both ends included."""
        down, up = (list(self._branch(j, sign)) for sign in (-1.0, 1.0))
        points = [*reversed(down), (self.found.psi, 0.0), *up]
        return np.array([psi for psi, _ in points]), np.array([zeta for _, zeta in points])

    def _branch(self, j: int, sign: float) -> Iterator[tuple[Floats, float]]:
        """Yield points of one side, with steps that raise zeta evenly."""
        centre = float(self.found.psi[j])
        longest = _LONGEST if j < self.view.theta_size else np.inf
        x, zeta, step, psi = centre, 0.0, self.errors[j] * self.end / _STEPS, self.found.psi
        for _ in range(_MOST):
            if zeta >= self.end:
                return
            ahead = x + sign * min(step, longest)
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

    def _ridge(self, j: int, x: float, start: Floats) -> tuple[Floats, float] | None:
        """Return the maximum over all other coordinates, None where there is none."""
        C = self.found.covariance
        others = np.flatnonzero((np.diag(C) > 0.0) & (np.arange(len(C)) != j))
        slope = C[others, j] / C[j, j]
        spread = _root(C[np.ix_(others, others)] - np.outer(slope, slope) * C[j, j])
        origin = start.copy()
        origin[others] += slope * np.clip(x - start[j], -2.0 * self.errors[j], 2.0 * self.errors[j])
        origin[j] = x

        def place(s: Floats) -> Floats:
            psi = origin.copy()
            psi[others] += spread @ s
            return psi

        def descend(s: Floats) -> tuple[float, Floats]:
            value, gradient = self.surface(place(s), others)
            return -value, -spread.T @ gradient

        if not len(others):
            value = self.surface(origin, others)[0]
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


def _by_laplace(walker: _Walker) -> _Surface:
    objective = LaplaceObjective(walker.view, "ml")

    def evaluate(psi: Floats, others: Any) -> tuple[float, Floats]:
        try:
            mode = objective.mode(psi, walker.near)
            return mode.log_marginal, objective.gradient(mode)[others]
        except NotPositiveDefiniteError:
            return -np.inf, np.zeros(len(others))

    return evaluate


def _by_quadrature(walker: _Walker) -> _Surface:
    quadrature, t = Quadrature(walker.view, walker.nodes), walker.view.theta_size

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
