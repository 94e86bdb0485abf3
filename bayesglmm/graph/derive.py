"""Draws of the free variables -> what users read: b, correlations, complete vectors. After sampling, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.arraymath import SEMIDEFINITE
from bayesglmm.covariances import CovarianceParameter
from bayesglmm.graph.declare import Declared
from bayesglmm.graph.names import BlockNames, cutpoint_labels
from bayesglmm.graph.problem import BlockParts, Problem, ResidualParts
from bayesglmm.graph.residual_slots import RESIDUAL


@dataclass(frozen=True)
class Variable:
    """One posterior variable.

    Attributes
    ----------
    values : ndarray, shape (chains, draws, ...)
    dims : tuple of str
        Of the axes after chain and draw.
    coords : mapping of str to tuple
        Labels of these dims.
    attrs : mapping of str to str
        What it is, in words.
    """

    values: Any
    dims: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]]
    attrs: Mapping[str, str]


def posterior_variables(problem: Problem, draws: Mapping[str, Any]) -> dict[str, Variable]:
    """Return the posterior variables of the design page from draws of the free variables.

    Parameters
    ----------
    problem : Problem
    draws : mapping of str to ndarray, shape (chains, draws, ...)

    Returns
    -------
    dict of str to Variable
        ``beta``, ``sd_<k>``, ``cor_<k>``, ``b_<k>``, dispersions, for every predictor.
    """
    shape = next(iter(draws.values())).shape[:2]
    found: dict[str, Variable] = {}
    for part in problem.predictors:
        names = part.names
        if part.beta is not None:
            beta = _complete(part.beta.complete(draws.get(names.beta)), shape)
            attrs = {"parameter": names.parameter, "kind": "population coefficients"}
            coords = {names.column_dim: part.predictor.columns}
            found[names.beta] = Variable(beta, (names.column_dim,), coords, attrs)
        for block in part.blocks:
            found.update(_block_variables(block, draws, shape, names.parameter))
    if problem.residual is not None:
        found |= _residual_variables(problem.residual, draws, shape)
    for own in problem.hyperpriors:
        found[own.name] = Variable(draws[own.name], (), {}, {"parameter": own.label, "kind": "parameter of a prior"})
    for name, declared in problem.dispersions.items():
        found[name] = _dispersion(problem, name, declared, draws, shape)
    return found


def _complete(values: Any, shape: tuple[int, ...]) -> Any:
    """Give constants the leading axes of the draws; draws have them already."""
    values = np.asarray(values, dtype=float)
    return values if values.ndim > 1 else np.broadcast_to(values, (*shape, *values.shape))


def _block_variables(
    part: BlockParts, draws: Mapping[str, Any], shape: tuple[int, ...], parameter: str
) -> dict[str, Variable]:
    block, names, covariance = part.block, part.names, part.covariance
    values = part.values(draws)
    attrs = {"parameter": parameter, "term": block.label, "group": block.group, "covariance": block.covariance}
    found: dict[str, Variable] = {}
    for declared in covariance.parameters(block):
        whole = values[declared.name]
        if declared.kind == "correlation":
            whole = np.einsum("...ij,...kj->...ik", whole, whole)
        else:
            values[declared.name] = whole = _complete(whole, shape)
        found[names.variable(declared.name)] = _parameter(declared, whole, names, block.terms, attrs)
    derived = covariance.derive(values, block)
    for declared in covariance.derived(block):
        found[names.variable(declared.name)] = _parameter(declared, derived[declared.name], names, block.terms, attrs)
    b = covariance.apply(draws[names.u], values, block, SEMIDEFINITE)
    coords = {names.level_dim: block.levels, names.term_dim: block.terms}
    found[names.b] = Variable(b, (names.level_dim, names.term_dim), coords, attrs | {"kind": "group coefficients"})
    return found


def _residual_variables(part: ResidualParts, draws: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Variable]:
    block, values, found = part.block, part.values(draws), dict[str, Variable]()
    attrs = {"parameter": part.sd, "term": block.label, "group": RESIDUAL, "covariance": block.structure}
    for declared in part.structure.parameters(block):
        whole = values[declared.name]
        if declared.kind == "correlation":
            whole = np.einsum("...ij,...kj->...ik", whole, whole)
        else:
            whole = _complete(whole, shape)
        found[part.names.variable(declared.name)] = _parameter(declared, whole, part.names, (), attrs)
    return found


def _parameter(
    parameter: CovarianceParameter, values: Any, names: BlockNames, terms: tuple[str, ...], attrs: Mapping[str, str]
) -> Variable:
    """Return a parameter of a covariance structure, or a quantity derived from it, as a variable."""
    components = parameter.components
    if parameter.kind == "correlation":
        coords = dict.fromkeys(names.cor_dims, components)
        return Variable(values, names.cor_dims, coords, {**attrs, "kind": parameter.title or "correlation"})
    dim = names.dim(parameter.name, components == terms)
    return Variable(values, (dim,), {dim: components}, {**attrs, "kind": parameter.title or "standard deviation"})


def _dispersion(
    problem: Problem, name: str, declared: Declared, draws: Mapping[str, Any], shape: tuple[int, ...]
) -> Variable:
    attrs = {"parameter": name, "kind": "dispersion"}
    if name not in {parameter.name for parameter in problem.family.parameters if parameter.ordered}:
        values = draws[name] if declared.is_free else np.full(shape, declared.constant[0])
        return Variable(values, (), {}, attrs)
    values, main = draws[name], problem.predictors[0]
    if problem.cutpoint_shift is not None and main.beta is not None:
        beta = _complete(main.beta.complete(draws.get(main.names.beta)), shape)
        values = values + (beta @ problem.cutpoint_shift)[..., None]
    labels = tuple(cutpoint_labels(problem.response.categories))
    return Variable(values, ("cutpoint",), {"cutpoint": labels}, attrs)
