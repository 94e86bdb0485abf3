"""Draws as users read them -> the coordinates of the joint density: coefficients x and unconstrained theta."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.levels import level_factor, level_values

if TYPE_CHECKING:
    from bayesglmm.covariances import CovarianceParameter
    from bayesglmm.graph.latent import LatentView
    from bayesglmm.graph.problem import BlockParts, ResidualParts

_SINGULAR = 1e-10  # ratio of pivots below which a covariance of effects has no inverse


def positions(view: LatentView, draws: Mapping[str, Floats], otherwise: str = "") -> tuple[Floats, Floats]:
    """Return x, shape (S, size), and theta, shape (S, t), of posterior draws: the inverse of what engines hand back.

    Parameters
    ----------
    view : LatentView
    draws : mapping of str to ndarray, shape (S, ...)
        Posterior variables with chains stacked.
    otherwise : str
        What to ask for instead where there is no such density: the end of the sentence "Leave the term out, or ...".

    Raises
    ------
    BayesglmmError
        Where a covariance of group effects has no inverse: of reduced rank, or with a standard deviation of zero.
    """
    problem = view.problem
    free: dict[str, Floats] = {}
    for part in problem.predictors:
        if part.beta is not None and part.beta.is_free:
            free[part.names.beta] = draws[part.names.beta][:, part.beta.free]
        for own in part.blocks:
            free[own.names.u] = _latent(own, draws, otherwise)
    size = len(next(iter(draws.values())))
    x = np.zeros((size, view.size))
    for stretch in view.parts:
        x[:, stretch.slice] = free[stretch.name].reshape(size, -1)
    return x, hyperparameters(view, draws)


def hyperparameters(view: LatentView, draws: Mapping[str, Floats]) -> Floats:
    """Return theta, shape (S, t), of posterior draws; see `positions`."""
    problem = view.problem
    natural: dict[str, Floats] = {}
    for part in problem.predictors:
        if part.beta is not None and problem.roles.get(part.names.beta) == "theta":
            natural[part.names.beta] = draws[part.names.beta][:, part.beta.free]
        for own in part.blocks:
            natural |= _hyperparameters(own.covariance.parameters(own.block), own, draws)
    if (residual := problem.residual) is not None:
        natural |= _hyperparameters(residual.structure.parameters(residual.block), residual, draws)
    natural |= {own.name: draws[own.name] for own in problem.hyperpriors}
    for name, declared in problem.dispersions.items():
        if declared.is_free:
            natural[name] = _dispersion(view, name, draws)
    return _unconstrained(view, natural, len(next(iter(draws.values()))))


def _hyperparameters(
    parameters: Sequence[CovarianceParameter], part: BlockParts | ResidualParts, draws: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Return the free parameters of a covariance on their natural scales, by the graph's names."""
    found = {}
    for declared in parameters:
        own, values = part.parameters[declared.name], draws[part.names.variable(declared.name)]
        if declared.kind == "correlation":
            found[own.name] = np.linalg.cholesky(values)
        elif own.is_free:
            found[own.name] = values[:, own.free]
    return found


def _latent(part: BlockParts, draws: Mapping[str, Floats], otherwise: str) -> Floats:
    """Return the latent variables of a block: b itself in precision form, else u with b = u Lambda'."""
    b = draws[part.names.b]
    if part.block.latent == "precision":
        return b
    G = part.covariance.loadings(part.block)
    if G is None:
        factor = level_factor(part, draws)
    else:
        b = np.moveaxis(np.tensordot(np.linalg.pinv(G), b, axes=(1, 1)), 0, 1)
        factor = part.covariance.core(level_values(part, draws), len(part.block.terms), NUMPY)
    pivots = np.abs(np.diagonal(factor, axis1=-2, axis2=-1))
    if np.any(pivots.min(axis=-1) <= _SINGULAR * pivots.max(axis=-1)):
        raise BayesglmmError(
            f"The covariance of the effects of `{part.block.label}` has no inverse in some draws (reduced rank, or a "
            "standard deviation of zero): one effect follows from the others there, and their joint density, which "
            f"this question needs, does not exist. Leave the term out{', or ' if otherwise else ''}{otherwise}."
        )
    return np.asarray(np.linalg.solve(factor, b.swapaxes(-1, -2)).swapaxes(-1, -2))


def _dispersion(view: LatentView, name: str, draws: Mapping[str, Floats]) -> Floats:
    problem, values = view.problem, draws[name]
    ordered = any(parameter.name == name and parameter.ordered for parameter in problem.family.parameters)
    main = problem.predictors[0]
    if ordered and problem.cutpoint_shift is not None and main.beta is not None:
        values = values - (draws[main.names.beta] @ problem.cutpoint_shift)[:, None]
    return values


def _unconstrained(view: LatentView, natural: Mapping[str, Floats], size: int) -> Floats:
    """Return theta, shape (size, t), through the transforms of the graph."""
    from bayesglmm.graph.compiler import interpreted

    model, names = view.problem.model, view.problem.names("theta")
    if not names:
        return np.zeros((size, 0))
    inputs, outputs = [], []
    for name in names:
        variable = model[name]
        symbol, transform = variable.type(), model.rvs_to_transforms[variable]
        inputs.append(symbol)
        outputs.append(symbol if transform is None else transform.forward(symbol, *variable.owner.inputs))
    function = interpreted(inputs, outputs)
    found = np.empty((size, view.theta_size))
    for s in range(size):
        values: Any = function(*(np.asarray(natural[name][s], dtype=float) for name in names))
        found[s] = np.concatenate([np.ravel(value) for value in values])
    return found


def known_hyperparameters(view: LatentView, theta: Floats) -> Iterator[tuple[dict[str, Floats], float]]:
    """Yield theta on its natural scale and its log prior, computed for all draws at once.

    Parameters
    ----------
    view : LatentView
    theta : ndarray, shape (S, t)
    """
    natural, log_prior = view.natural_draws(theta), view.log_prior_draws(theta)
    for s in range(len(theta)):
        yield {name: np.asarray(values[s]) for name, values in natural.items()}, float(log_prior[s])
