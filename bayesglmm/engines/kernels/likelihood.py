"""Maximum likelihood and restricted maximum likelihood: estimates, standard errors, boundary estimates."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.asymptotic import normal_effects
from bayesglmm.engines.kernels.identified import Directions, directions, standard_errors
from bayesglmm.engines.kernels.nested import Draws, Support, latent_draws, standard_normals
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import LaplaceObjective, MarginalObjective, Objective
from bayesglmm.engines.kernels.optimum import Make, Optimum, Report, Search, maximise
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.engines.kernels.spectral import normal_objective
from bayesglmm.engines.kernels.unbounded import unbounded
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import NotPositiveDefiniteError

_ZERO = -25.0  # log of a standard deviation, relative to the typical size, that is nothing in double precision
_SINGULAR = 1e-3  # smallest eigenvalue of a correlation matrix, below which it has not full rank
_LOOSE = 5.0  # standard error of a log standard deviation that says nothing: a factor of 150
_STEP = 1e-5
_EDGE = 1e-3  # of an interval, from its end
_END = 30.0  # logit of a place in an interval that is as good as its end, and not yet the end itself

type Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Estimates by maximum likelihood.

    Attributes
    ----------
    objective : MarginalObjective
    psi : ndarray, shape (size,)
        Unconstrained hyperparameters, then (for ``"ml"``) the population coefficients.
    mode : ConditionalMode
        Conditional modes of the group effects at the estimates.
    covariance : ndarray, shape (size, size)
        Of psi: inverse of the curvature; zero for what is on its boundary and in flat directions.
    flat : ndarray, shape (size, k)
        Directions in which the likelihood does not bend; see `Directions`.
    natural, natural_se : mapping of str to ndarray
        Standard deviations, Cholesky factors of correlations and dispersions, with standard errors (delta method).
    beta, beta_se : ndarray
        Population coefficients, in the order of the view's fixed parts.
    loglik, aic, bic : float
    parameters : int
        Degrees of freedom of `aic` and `bic`.
    boundary : tuple of str
        Standard deviations that are estimated as zero.
    unbounded : tuple of str
        Population coefficients along which the likelihood rises for ever: there is no maximum.
    converged : bool
    sentences : tuple of str
        For the user.
    """

    objective: MarginalObjective
    psi: Floats
    mode: ConditionalMode
    covariance: Floats
    flat: Floats
    natural: dict[str, Floats]
    natural_se: dict[str, Floats]
    beta: Floats
    beta_se: Floats
    loglik: float
    aic: float
    bic: float
    parameters: int
    boundary: tuple[str, ...]
    unbounded: tuple[str, ...]
    converged: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Estimation:
    """How a likelihood is approximated and maximised.

    Attributes
    ----------
    kind : {"ml", "reml"}
    nodes : int
        Quadrature nodes per group effect, for ``"ml"``; 1 is the approximation itself.
    make : callable
        Returns the objective of a view and a kind.
    name : str
        Of the approximation, within a sentence.
    """

    kind: Objective
    nodes: int = 1
    make: Make = normal_objective
    name: str = LaplaceObjective.name

    def __call__(self, view: LatentView, report: Report | None = None) -> Likelihood:
        """Return the estimates for a view."""
        return maximum_likelihood(view, self.kind, self.nodes, report, self.make)


def maximum_likelihood(
    view: LatentView,
    kind: Objective,
    nodes: int = 1,
    report: Report | None = None,
    make: Make = normal_objective,
) -> Likelihood:
    """Maximise the (restricted) likelihood.

    Parameters
    ----------
    view : LatentView
    kind : {"ml", "reml"}
    nodes : int
        Quadrature nodes per group effect, for ``"ml"``; 1 is Laplace's approximation.
    report : callable, optional
        As for `maximise`.
    make : callable
        Returns the objective of a view and a kind. Whatever it is, the search begins with the restricted likelihood
        by Laplace's approximation, which every model has.

    Raises
    ------
    ValueError
        If quadrature is asked for and the likelihood does not factorise.
    """
    for block in view.problem.blocks:
        if reason := block.covariance.posterior_only:
            raise SettingsError(f"`{block.block.label}` has no maximum likelihood fit: {reason}. Fit a posterior.")
    optimum = maximise(view, kind, report=report, make=make, restricted=normal_objective)
    objective = make(view, kind)
    optimum, zero = _to_boundary(objective, optimum)
    found = directions(view, optimum.psi, optimum.curvature, zero)
    psi, mode, value = optimum.psi, optimum.mode, optimum.value
    if nodes > 1:
        psi, mode, found, value = _by_quadrature(view, optimum, nodes, found, report)
    covariance, t = found.covariance, view.theta_size
    natural, natural_se = _natural(view, psi[:t], covariance[:t, :t], found.flat[:t], zero)
    fixed = [np.arange(part.slice.start, part.slice.stop) for part in view.parts if part.role == "fixed"]
    at = np.concatenate([np.zeros(0, dtype=np.intp), *fixed])
    if kind == "ml":
        beta_se = standard_errors(np.eye(len(psi))[:, t:], covariance, found.flat)
    else:
        units = np.zeros((view.size, len(at)))
        units[at, np.arange(len(at))] = 1.0
        beta_se = np.sqrt(np.diag(mode.factor.solve(units)[at])) if len(at) else np.zeros(0)
    parameters = t + len(at)
    rows = objective.structure.n
    boundary = tuple(label for label, is_zero in zip(hyperparameter_labels(view), zero, strict=False) if is_zero)
    return Likelihood(
        objective=objective,
        psi=psi,
        mode=mode,
        covariance=covariance,
        flat=found.flat,
        natural=natural,
        natural_se=natural_se,
        beta=mode.x[at],
        beta_se=beta_se,
        loglik=value,
        aic=2.0 * parameters - 2.0 * value,
        bic=float(np.log(rows)) * parameters - 2.0 * value,
        parameters=parameters,
        boundary=boundary,
        unbounded=unbounded(objective, mode, _loose(view, covariance)),
        converged=optimum.converged,
        sentences=(
            *_sentences(boundary, optimum.converged),
            *_singular(view, natural, zero),
            *_at_edges(view, natural, zero),
            *_doubts(view, natural, zero),
        ),
    )


def _singular(view: LatentView, natural: dict[str, Floats], zero: Flags) -> list[str]:
    """Return a sentence for every correlation matrix without full rank; none where a standard deviation is zero."""
    found = []
    for block in view.problem.blocks:
        own = next(iter(block.of_kind("correlation").values()), None)
        if own is None or own.name not in natural or zero.any():
            continue
        root = natural[own.name]
        values = np.linalg.eigvalsh(root @ root.T)
        if values[0] < _SINGULAR:
            found.append(
                f"The correlations of the effects of {block.block.group} are estimated at the edge of what they can "
                f"be (their matrix has rank {int(np.sum(values >= _SINGULAR))} of {len(values)}): the data cannot "
                "tell so many effects per level apart. What depends on the edge has no standard error, the others "
                "hold it fixed. Fewer terms, or || for |, would describe these data as well."
            )
    return found


def _doubts(view: LatentView, natural: dict[str, Floats], zero: Flags) -> list[str]:
    """Return a sentence for every structure whose estimates amount to a simpler one."""
    if zero.any():
        return []
    found = [(part, part.covariance.doubts(part.values(natural), part.block)) for part in view.problem.blocks]
    return [f"`{part.block.label}`: {words}." for part, words in found if words]


def _at_edges(view: LatentView, natural: dict[str, Floats], zero: Flags) -> list[str]:
    """Return a sentence for every parameter of a covariance structure that lies at an end of its interval."""
    found = list[str]()
    if zero.any():
        return found
    slots = {slot.label: slot for slot in view.problem.priors}
    known = view.problem.labels()
    for block in view.problem.structured:
        for own in block.of_kind("vector").values():
            for label, value in zip(known[own.name], natural.get(own.name, ()), strict=False):
                low, high = slots[label].reach
                edge, near = (low if value - low < high - value else high), _EDGE * (high - low)
                if np.isfinite(high) and abs(value - edge) < near:
                    found.append(
                        f"{label} is estimated as {edge:.3g}, the edge of what it can be: the data cannot tell "
                        f"`{block.block.label}` from a simpler structure."
                    )
    return found


def _sentences(boundary: tuple[str, ...], converged: bool) -> tuple[str, ...]:
    found = [
        f"{label} is estimated as zero, the edge of what it can be: the data show no more variation there "
        "than chance explains. It has no standard error."
        for label in boundary
    ]
    if not converged:
        found.append("The search for the maximum did not converge; do not trust these estimates.")
    return tuple(found)


def _scale_positions(view: LatentView) -> tuple[Ints, list[str]]:
    """Return the positions in theta of log standard deviations, and a label for every entry of theta."""
    scales = {part.name for block in view.problem.blocks for part in block.of_kind("scale").values()}
    known, positions, labels, at = view.problem.labels(), list[int](), list[str](), 0
    for name, shape in zip(view.problem.names("theta"), view.theta_shapes, strict=True):
        size = int(np.prod(shape))
        if name in scales:
            positions += range(at, at + size)
        labels += known[name] if len(known.get(name, ())) == size else (name,) * size
        at += size
    return np.array(positions, dtype=int), labels


def _interval_positions(view: LatentView) -> Ints:
    """Return the positions in theta of what lies between two ends: correlations, shares."""
    found, at = list[int](), 0
    ends = {slot.label: slot.reach for slot in view.problem.priors}
    inner = {part.name for block in view.problem.structured for part in block.of_kind("vector").values()}
    known = view.problem.labels()
    for name, shape in zip(view.problem.names("theta"), view.theta_shapes, strict=True):
        size = int(np.prod(shape))
        if name in inner:
            found += [at + j for j, label in enumerate(known[name]) if np.isfinite(ends[label]).all()]
        at += size
    return np.array(found, dtype=int)


def _loose(view: LatentView, covariance: Floats) -> list[str]:
    """Return the labels of standard deviations whose logarithms are as good as unknown."""
    positions, labels = _scale_positions(view)
    return [labels[j] for j in positions if covariance[j, j] > _LOOSE**2]


def hyperparameter_labels(view: LatentView) -> list[str]:
    """Return a label for every entry of theta."""
    return _scale_positions(view)[1]


def _to_boundary(objective: MarginalObjective, optimum: Optimum) -> tuple[Optimum, Flags]:
    """Move standard deviations to zero where the likelihood is no lower there, then finish the other parameters.

    On the log scale zero lies at minus infinity, where the likelihood is flat: a search stops somewhere on the way.
    """
    view = objective.view
    positions, _ = _scale_positions(view)
    zero = np.zeros(objective.size, dtype=bool)
    search = Search(objective)
    here = search.point(optimum.psi, optimum.mode)
    typical = view.initial_theta
    for j in positions:
        if here is None or optimum.psi[j] > typical[j] - 1.5:
            continue
        psi = here.psi.copy()
        psi[j] = typical[j] + _ZERO
        found = search.point(psi, here)
        if found is not None and found.value >= here.value - 1e-6:
            here, zero[j] = found, True
    if here is None or not zero.any():
        return optimum, zero
    inverse = directions(view, optimum.psi, optimum.curvature, zero).covariance
    free = np.diag(inverse) > 0.0
    best, inverse, converged = search.climb(here, inverse, 50, 1e-9)
    scale = 1e-3 * np.where(free, np.sqrt(np.maximum(np.diag(inverse), 1e-6)), 1.0)
    curvature = search.curvature(best, scale)
    evaluations = optimum.evaluations + search.evaluations
    return Optimum(best.psi, best.mode, best.gradient, curvature, converged, evaluations), zero


def _natural(
    view: LatentView, theta: Floats, covariance: Floats, flat: Floats, zero: Flags
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return natural hyperparameters and their standard errors by the delta method."""
    t = len(theta)
    estimate = {name: np.array(value, dtype=float) for name, value in view.natural(theta).items()}
    slopes = {name: np.zeros((t, *value.shape)) for name, value in estimate.items()}
    for j in range(t):
        unit = np.zeros(t)
        unit[j] = _STEP
        up, down = view.natural(theta + unit), view.natural(theta - unit)
        for name, own in slopes.items():
            own[j] = (np.asarray(up[name]) - np.asarray(down[name])) / (2.0 * _STEP)
    errors = {name: standard_errors(own, covariance, flat) for name, own in slopes.items()}
    for name, value in estimate.items():
        gone = np.any(slopes[name][zero[:t]] != 0.0, axis=0)
        estimate[name] = np.where(gone & (np.abs(value) < 1e-6), 0.0, value)
        errors[name] = np.where(gone, np.nan, errors[name])
    return estimate, errors


def _by_quadrature(
    view: LatentView, optimum: Optimum, nodes: int, around: Directions, report: Report | None = None
) -> tuple[Floats, ConditionalMode, Directions, float]:
    """Maximise the likelihood by quadrature, from the Laplace estimates, in coordinates scaled by their curvature."""
    quadrature, t = Quadrature(view, nodes), view.theta_size
    near, count = optimum.mode.work.inner, itertools.count(optimum.evaluations + 1)

    def place(s: Floats) -> Floats:
        return np.asarray(optimum.psi + around.free @ s)

    def value(s: Floats) -> float:
        psi = place(s)
        try:
            found = quadrature(psi[:t], psi[t:], near)[0]
        except NotPositiveDefiniteError:
            found = -np.inf
        if report is not None:
            report(next(count), found)
        return found

    def gradient(s: Floats) -> Floats:
        units = 1e-3 * np.eye(len(s))
        return np.array([value(s + e) - value(s - e) for e in units]) / 2e-3

    origin: Any = np.zeros(around.free.shape[1])
    options: Any = {"gtol": 1e-4}
    climb: Any = optimize.minimize
    found = climb(lambda s: -value(s), origin, jac=lambda s: -gradient(s), method="BFGS", options=options)
    units = 1e-2 * np.eye(len(found.x))
    hessian = np.array([(gradient(found.x - e) - gradient(found.x + e)) / 2e-2 for e in units])
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    free = around.free @ (vectors / np.sqrt(np.maximum(values, 1e-6)))
    psi = place(found.x)
    best, mode = quadrature(psi[:t], psi[t:], near)
    return psi, mode, Directions(free, around.flat), best


def likelihood_draws(view: LatentView, found: Likelihood, draws: int, seed: int) -> Draws:
    """Draw from the asymptotic normal distribution of the estimates, group effects given these."""
    random, objective = np.random.default_rng(seed), found.objective
    values, vectors = np.linalg.eigh(found.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    psi = found.psi + random.standard_normal((draws, objective.size)) @ root.T
    inside = _interval_positions(view)  # of a correlation near its end nothing keeps draws from the end itself
    psi[:, inside] = np.clip(psi[:, inside], -_END, _END)
    support = Support(found.psi, found.mode, found.mode.x, objective.jacobian(found.mode), found.loglik)
    cell = np.zeros(draws, dtype=np.intp)
    x = latent_draws(objective, [support], psi, cell, standard_normals(objective, draws, random), rescaled=False)
    return Draws(psi, normal_effects(view, found.mode.x, found.psi, psi, x))
