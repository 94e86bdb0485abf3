"""Maximum likelihood estimates as the variables that users read, with standard errors.

Everything but the group effects is a function of the hyperparameters and the population coefficients, so its
standard errors come from their joint curvature by the delta method. Group effects get the standard deviation of
their conditional distribution given the estimates, as in lme4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.linalg import conditional_blocks
from bayesglmm.results.levels import level_factor
from bayesglmm.results.schema import variables

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.engines.kernels.likelihood import Likelihood
    from bayesglmm.graph.problem import BlockParts, Problem

ERROR = "_se"  # ends the names of the standard errors
_STEP = 1e-5
_NOTHING = 1e-30  # entries of Lambda that stand for zero


def estimates(problem: Problem, found: Likelihood) -> xr.Dataset:
    """Return estimates and standard errors.

    Parameters
    ----------
    problem : Problem
    found : Likelihood

    Returns
    -------
    xarray.Dataset
        ``beta``, ``sd_<k>``, ``cor_<k>``, ``b_<k>`` and dispersions without sampling dims, each with a twin
        ``<name>_se``. Standard deviations at their boundary are 0, and they and the correlations that they leave
        undefined have no standard error (nan), nor has anything else that moves where the likelihood does not bend.
    """
    from bayesglmm.engines.kernels.identified import standard_errors  # the engines import PyMC

    centre, covariance = joint(found)
    flat = np.zeros((len(centre), found.flat.shape[1]))
    flat[: len(found.psi)] = found.flat
    steps = _STEP * np.maximum(1.0, np.abs(centre))
    moves = np.diag(steps)
    table = variables(problem, free_variables(found, np.concatenate([centre[None], centre + moves, centre - moves])))
    size = len(centre)
    dataset = table.isel(chain=0, draw=0).drop_vars(["chain", "draw"]).copy(deep=True)
    effects = {block.names.b for block in problem.blocks}
    errors: dict[str, Any] = {}
    for name, variable in table.data_vars.items():
        if name in effects:
            continue
        values = variable.values[0]
        slopes = (values[1 : 1 + size] - values[1 + size :]) / (2.0 * steps.reshape(-1, *[1] * (values.ndim - 1)))
        errors[f"{name}{ERROR}"] = (variable.dims[2:], standard_errors(slopes, covariance, flat))
    for block, spread in zip(problem.blocks, _conditional_sds(found), strict=True):
        dims = (block.names.level_dim, block.names.term_dim)
        errors[f"{block.names.b}{ERROR}"] = (dims, spread)
    dataset = dataset.assign(errors)
    _set_to_zero(problem, found, dataset)
    return dataset


def _coefficients(found: Likelihood) -> Ints:
    """Return the positions of the population coefficients in the view's x."""
    parts = [p.slice for p in found.objective.view.parts if p.role == "fixed"]
    return np.concatenate([np.zeros(0, dtype=np.intp), *(np.arange(p.start, p.stop) for p in parts)])


def joint(found: Likelihood) -> tuple[Floats, Floats]:
    """Return hyperparameters and population coefficients as one vector, and its covariance.

    Restricted likelihood integrates the coefficients: their covariance is then the one given the hyperparameters.
    """
    view, at = found.objective.view, _coefficients(found)
    if len(found.psi) == view.theta_size + len(at):
        return found.psi, found.covariance
    t = view.theta_size
    covariance = np.zeros((t + len(at),) * 2)
    covariance[:t, :t] = found.covariance
    units = np.zeros((view.size, len(at)))
    units[at, np.arange(len(at))] = 1.0
    covariance[t:, t:] = found.mode.factor.solve(units)[at]
    return np.concatenate([found.psi, found.mode.x[at]]), covariance


def free_variables(found: Likelihood, points: Floats) -> dict[str, Any]:
    """Return the free variables at points of the joint vector, in one chain; group effects at their modes."""
    view = found.objective.view
    free: dict[str, Any] = dict(view.natural_draws(points[:, : view.theta_size]))
    x = np.tile(found.mode.x, (len(points), 1))
    x[:, _coefficients(found)] = points[:, view.theta_size :]
    for part in view.parts:
        free[part.name] = x[:, part.slice].reshape(-1, *part.shape)
    return {name: np.asarray(values)[None] for name, values in free.items()}


def _conditional_sds(found: Likelihood) -> list[Floats]:
    """Return the sds of each block's effects given hyperparameters and coefficients, each (levels, terms)."""
    view, inner = found.objective.view, found.objective.structure.inner
    place = np.full(view.size, -1)
    place[inner] = np.arange(len(inner))
    fixed = place[_coefficients(found)]
    pattern, inverse, given = found.objective.structure.pattern, found.mode.factor.inverse(), fixed[fixed >= 0]
    blocks = {block.names.u: block for block in view.problem.blocks}
    factors = dict(zip(blocks, view.factors(view.natural(found.mode.theta)), strict=True))
    sds = []
    for part in view.parts:
        if part.role != "fixed":
            Lambda = factors[part.name]
            own = blocks[part.name]
            C = conditional_blocks(pattern, inverse, int(place[part.slice.start]), given)
            if C.shape[-1] != len(Lambda):  # in precision form each coefficient may be a level of its own
                sds.append(np.sqrt(np.maximum(C[:, 0, 0], 0.0)).reshape(part.shape))
                continue
            G = own.covariance.loadings(own.block)
            if G is not None:
                sds.append(_sds_of_levels(G, Lambda @ C[0] @ Lambda.T))
                continue
            sds.append(np.sqrt(np.maximum(np.einsum("ij,ljk,ik->li", Lambda, C, Lambda), 0.0)))
    return sds


def _sds_of_levels(G: Floats, covariance: Floats) -> Floats:
    """Return the sds of b = G w, shape (J, k), from the covariance of the r k numbers w."""
    r = G.shape[1]
    k = len(covariance) // r
    between = covariance.reshape(r, k, r, k)
    variances = np.stack([np.einsum("li,li->l", G @ between[:, j, :, j], G) for j in range(k)], axis=-1)
    return np.asarray(np.sqrt(np.maximum(variances, 0.0)))


def _without_spread(block: BlockParts, dataset: Any) -> Any:
    """Return which terms of a block have no variance, by its standard deviations: each may be one of many terms."""
    values = {str(name): variable.values[None] for name, variable in dataset.data_vars.items()}
    return np.abs(level_factor(block, values)[0]).max(axis=1) < _NOTHING


def _set_to_zero(problem: Problem, found: Likelihood, dataset: Any) -> None:
    """Write what lies on the boundary as exactly that."""
    for block in problem.blocks:
        matrices = block.of_kind("correlation")
        for name, declared in block.of_kind("scale").items():
            if declared.name not in found.natural:
                continue
            variable = block.names.variable(name)
            gone = np.asarray(declared.free)[np.asarray(found.natural[declared.name]) == 0.0]
            if not len(gone):
                continue
            dataset[variable].values[gone] = 0.0
            dataset[f"{variable}{ERROR}"].values[gone] = np.nan
            terms: Any = gone
            if block.names.term_dim not in dataset[variable].dims:
                terms = slice(None) if len(gone) == np.size(dataset[variable]) else _without_spread(block, dataset)
            dataset[block.names.b].values[:, terms] = 0.0
            dataset[f"{block.names.b}{ERROR}"].values[:, terms] = 0.0
            for own in (f"{block.names.variable(what)}{end}" for what in matrices for end in ("", ERROR)):
                dataset[own].values[gone, :] = np.nan
                dataset[own].values[:, gone] = np.nan
            if len(gone) == len(declared.constant):  # nothing is left that the other parameters would be of
                vectors = [*block.of_kind("vector"), *(own.name for own in block.covariance.derived(block.block))]
                for own in (f"{block.names.variable(what)}{end}" for what in vectors for end in ("", ERROR)):
                    dataset[own].values[...] = np.nan
