"""Blocks + family + priors -> one `pm.Model` with a role for every free variable. The only place that makes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesglmm.arraymath import pytensor_math
from bayesglmm.blocks import Floats, Predictor, ResidualBlock, Response
from bayesglmm.covariances import COVARIANCES, CovarianceParameter
from bayesglmm.expressions import Expression
from bayesglmm.families import Family
from bayesglmm.graph.declare import (
    Declared,
    declare_coefficients,
    declare_cutpoints,
    declare_latent,
    declare_scalar,
    declare_scales,
    declare_vector,
    vector_start,
)
from bayesglmm.graph.hyperpriors import Shared, hyperpriors
from bayesglmm.graph.names import BlockNames, cutpoint_labels
from bayesglmm.graph.observation import OBSERVED_DATA, ROWS, observe, observed_values
from bayesglmm.graph.outline import outlined
from bayesglmm.graph.predictor import Gather, PredictorArrays, linear_predictor, predictor_arrays
from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem, ResidualParts, Role
from bayesglmm.graph.residual import conditional_predictor, row_sds
from bayesglmm.graph.slots import PriorTable, Slot
from bayesglmm.links import Link, Linked


def build(
    family: Family,
    links: Mapping[str, Link],
    response: Response,
    predictors: Mapping[str, Predictor],
    priors: PriorTable,
    rows: Any = None,
    expression: Expression | None = None,
    residual: ResidualBlock | None = None,
) -> Problem:
    """Assemble the model.

    Parameters
    ----------
    family : Family
    links : mapping of str to Link
        One per predictor.
    response : Response
    predictors : mapping of str to Predictor
        Main ones first.
    priors : PriorTable
        One slot per parameter.
    rows : sequence or ndarray, optional
        Labels of the rows; 0..n-1 if absent.
    expression : Expression, optional
        How the first predictors make the main one; its columns are the covariates of the response.
    residual : ResidualBlock, optional
        How the residuals depend on each other.

    Returns
    -------
    Problem
        Its graph is made when something first asks for it.
    """
    return outlined(family, links, response, predictors, priors, rows, expression, residual, declare_model)


def declare_model(problem: Problem) -> pm.Model:
    """Return the PyMC model of the parts of a problem."""
    family, response = problem.family, problem.response
    builder = _Builder(problem)
    with pm.Model() as builder.model:
        builder.model.add_coord(ROWS, problem.row_labels)
        main = family.main_predictors(response)
        etas = [
            builder.predictor(part, problem.cutpoint_shift if part.names.parameter in main else None)
            for part in problem.predictors
        ]
        values = [builder.dispersion(name, declared) for name, declared in problem.dispersions.items()]
        data = {name: builder.data(name, getattr(response, name)) for name in problem.likelihood.data_names}
        columns = [
            builder.data(f"covariate_{j + 1}", response.covariates[c])
            for j, c in enumerate(problem.likelihood.columns)
        ]
        observed = builder.data(OBSERVED_DATA, observed_values(response, family))
        if problem.residual is not None:
            names = [part.names.parameter for part in problem.predictors]
            sd = dict(zip(names, etas, strict=True)).get(family.error_sd)
            sds = None if sd is None else Linked(sd, problem.links[family.error_sd], pytensor_math()).value
            sds = row_sds(sds, data.get("weights"), pytensor_math())
            etas[0] = builder.residual(problem.residual, observed, etas[0], sds)
        observe(problem.likelihood, response, [*etas, *values, *data.values(), *columns], builder.data, observed)
    check_reach(builder.model, problem.roles)
    return builder.model


def ingredients(problem: Problem) -> tuple[Any, ...]:
    """Return the arguments with which `build` makes a problem again, say in another process.

    They can be pickled. So can a graph, but it loses where a search in it would start.
    """
    return (
        problem.family,
        dict(problem.links),
        problem.response,
        {part.names.parameter: part.predictor for part in problem.predictors},
        problem.priors,
        problem.row_labels,
        problem.likelihood.expression,
        None if problem.residual is None else problem.residual.block,
    )


class _Builder:
    """The model under construction: declares variables and data."""

    model: pm.Model

    def __init__(self, problem: Problem) -> None:
        self.problem, self.priors, self.n = problem, problem.priors, len(problem.response.y)
        self.hyperpriors = hyperpriors(problem.priors)
        self.shared: dict[tuple[str, str], Any] = {}

    def data(self, name: str, values: Any, *dims: str) -> Any:
        """Put row-wise numbers into the model."""
        return pm.Data(name, np.asarray(values), dims=(ROWS, *dims))

    def predictor(self, part: PredictorParts, shift: Floats | None) -> Any:
        """Declare the variables of one predictor; return eta."""
        beta = self._coefficients(part, self.priors.coefficients[part.names.parameter])
        slots = self.priors.blocks[part.names.parameter]
        effects = [self._block(block, own) for block, own in zip(part.blocks, slots, strict=True)]
        arrays = self._arrays(part.latent, shift)
        eta = pt.as_tensor(linear_predictor(arrays, beta, effects))
        eta = pt.broadcast_to(eta, (self.n,)) if eta.ndim == 0 or eta.type.shape == (1,) else eta
        eta.name = part.names.eta
        return eta

    def _coefficients(self, part: PredictorParts, slots: Sequence[Slot]) -> Any:
        declared, names, columns = part.beta, part.names, part.predictor.columns
        if declared is None:
            return None
        self.model.add_coord(names.column_dim, columns)
        if not declared.is_free:
            return pt.as_tensor(declared.constant)
        free = declared.free
        own = [slots[j] for j in free]
        dim = names.column_dim
        if len(free) < len(slots):
            dim = f"{dim}_free"
            self.model.add_coord(dim, [columns[j] for j in free])
        X = part.predictor.X[:, free]
        C = centring(X.mean(axis=0), own)
        variable = declare_coefficients(names.beta, dim, own, C, _whitening(X, C, own, self.priors.spread))
        return declared.complete(variable)

    def _block(self, part: BlockParts, slots: Mapping[str, Sequence[Slot]]) -> Any:
        """Declare the variables of one random block; return its effects."""
        whole, names, block = part.block, part.names, part.latent.block
        covariance, dims = COVARIANCES.get(block.covariance), names.latent_dims(block is whole)
        for dim, labels in zip(dims, (block.levels, block.terms), strict=True):
            self.model.add_coord(dim, labels)
        if block is not whole:
            self.model.add_coord(names.term_dim, whole.terms)
        values: dict[str, Any] = block.constants
        for parameter in covariance.parameters(block):
            declared, own = part.parameters[parameter.name], slots[parameter.name]
            values[parameter.name] = self._parameter(declared, whole.terms, names, parameter, own)
        u = declare_latent(names.u, dims, covariance, block, values)
        return covariance.apply(u, values, block, pytensor_math())

    def _parameter(
        self,
        declared: Declared,
        terms: tuple[str, ...],
        names: BlockNames,
        parameter: CovarianceParameter,
        slots: Sequence[Slot],
    ) -> Any:
        if not declared.is_free:
            return pt.as_tensor(declared.constant)
        if parameter.kind == "correlation":
            k, eta = len(parameter.components), np.float64(slots[0].prior.parameters["eta"])
            self.model.add_coord(names.cor_dims[1], terms)
            # With a start of its own PyMC need not compile the draws to find one.
            return pm.LKJCorr(declared.name, n=k, eta=eta, dims=names.cor_dims, initval=np.eye(k))
        dim = names.dim(parameter.name, parameter.components == terms)
        if len(declared.free) < len(slots):
            dim = f"{dim}_free"
        self.model.add_coord(dim, [parameter.components[j] for j in declared.free])
        free = [slots[j] for j in declared.free]
        if declared.kind == "scale":
            variable = declare_scales(declared.name, dim, free, self.hyper(free))
        else:
            start = vector_start(parameter, slots)
            variable = declare_vector(declared.name, dim, free, [start[j] for j in declared.free])
        return declared.complete(variable)

    def residual(self, part: ResidualParts, y: Any, eta: Any, sds: Any) -> Any:
        """Declare the correlation of residuals; return the predictor of each row given the earlier ones."""
        block, values = part.block, dict[str, Any]()
        for parameter in part.structure.parameters(block):
            own = self.priors.residual[parameter.name]
            if parameter.kind == "correlation":
                self.model.add_coord(part.names.term_dim, parameter.components)
            declared = part.parameters[parameter.name]
            values[parameter.name] = self._parameter(declared, block.times, part.names, parameter, own)
        eta, log_det = conditional_predictor(part, values, y, eta, sds)
        pm.Potential("log_whitening", log_det)
        return eta

    def hyper(self, slots: Sequence[Slot]) -> Shared:
        """Return the parameters of these priors that are estimated, declared when they are first met."""
        for key in ((slot.source, parameter) for slot in slots for parameter in slot.prior.nested):
            if key not in self.shared:
                self.shared[key] = self.hyperpriors[key].declare()
        return self.shared

    def _arrays(self, part: PredictorParts, shift: Floats | None) -> PredictorArrays:
        arrays, names = predictor_arrays(part.predictor), part.names
        prefix = names.prefix
        X = arrays.X
        if X is not None:
            X = self.data(f"{prefix}X", X if shift is None else X - shift, names.column_dim)
        offset = None if arrays.offset is None else self.data(f"{prefix}offset", arrays.offset)
        gathers = []
        for gather, parts in zip(arrays.gathers, part.blocks, strict=True):
            own = parts.names
            several = () if gather.index is None or gather.index.ndim == 1 else (own.member_dim,)
            if several:
                self.model.add_coord(own.member_dim, np.arange(1, gather.index.shape[1] + 1))
            index = None if gather.index is None else self.data(own.variable("index"), gather.index, *several)
            column = None if gather.column is None else self.data(own.variable("column"), gather.column)
            if gather.Z is None or column is not None:  # no level is unknown to the model
                gathers.append(Gather(index, None, gather.k, column))
                continue
            columns = own.latent_dims(parts.covariance.loadings(parts.block) is None)[1]
            Z = self.data(own.variable("Z"), gather.Z, columns, *several)
            gathers.append(Gather(index, Z, gather.k))
        return PredictorArrays(X, offset, tuple(gathers), arrays.n)

    def dispersion(self, name: str, declared: Declared) -> Any:
        """Declare a family parameter without a formula; return its value."""
        slot, parameters = self.priors.dispersions[name], self.problem.family.parameters
        if next(parameter.ordered for parameter in parameters if parameter.name == name):
            labels = cutpoint_labels(self.problem.response.categories)
            self.model.add_coord("cutpoint", labels)
            return declare_cutpoints(name, "cutpoint", slot, len(labels))
        return declare_scalar(name, slot) if declared.is_free else pt.as_tensor(np.float64(declared.constant[0]))


def centring(means: Floats, slots: Sequence[Slot]) -> Floats:
    """Return C with the means of columns, shape (p,), in the row of the intercept whose default prior is centred."""
    C = np.eye(len(slots))
    for j, slot in enumerate(slots):
        if slot.centred:
            C[j] = means
            C[j, j] = 1.0
    return C


def _whitening(X: Floats, C: Floats, slots: Sequence[Slot], spread: float) -> Floats:
    """Return T such that in z = T^-1 beta a likelihood of equal row weights, times the prior, is spherical.

    Columns are scaled first, so that a raw ``I(year^2)`` beside an intercept stays well conditioned.
    """
    prior_sd = np.array([slot.prior.parameters.get("sigma", np.inf) for slot in slots])
    gram = X.T @ X / spread**2 + C.T @ np.diag(1.0 / prior_sd**2) @ C
    scale = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
    scaled = gram * scale[:, None] * scale
    values, vectors = np.linalg.eigh(scaled)
    values = np.maximum(values, values.max() * 1e-14)
    return (scale[:, None] * vectors) / np.sqrt(values)


def check_reach(model: pm.Model, roles: Mapping[str, Role]) -> None:
    """Assert that every free variable reaches the likelihood: one that does not would only echo its prior."""
    from pytensor.graph.traversal import ancestors

    reached = set(ancestors([model["y"]]))
    names = [variable.name for variable in model.free_RVs]
    lost = [variable.name for variable in model.free_RVs if variable not in reached]
    unnamed = [name for name in names if name not in roles]
    if lost or unnamed:
        raise RuntimeError(f"Free variables that do not reach the likelihood: {lost}; without a role: {unnamed}.")
    if names != list(roles):
        raise RuntimeError(f"The graph declares {names}, and the outline of the model {list(roles)}.")
