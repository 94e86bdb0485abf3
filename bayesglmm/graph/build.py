"""Blocks + family + priors -> one `pm.Model` with a role for every free variable. The only place that makes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesglmm.arraymath import pytensor_math
from bayesglmm.blocks import Floats, Predictor, RandomBlock, ResidualBlock, Response
from bayesglmm.covariances import COVARIANCES, CovarianceParameter
from bayesglmm.expressions import Expression
from bayesglmm.families import Family
from bayesglmm.graph.declare import (
    Declared,
    DeclaredKind,
    declare_coefficients,
    declare_cutpoints,
    declare_latent,
    declare_scalar,
    declare_scales,
    declare_vector,
    held_and_free,
    vector_start,
)
from bayesglmm.graph.hyperpriors import Shared, hyperpriors
from bayesglmm.graph.names import BlockNames, PredictorNames, predictor_names
from bayesglmm.graph.observation import OBSERVED_DATA, ROWS, Likelihood, observe, observed_values
from bayesglmm.graph.predictor import Gather, PredictorArrays, linear_predictor, predictor_arrays
from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem, ResidualParts, Role
from bayesglmm.graph.residual import conditional_predictor, row_sds
from bayesglmm.graph.residual_slots import RESIDUAL
from bayesglmm.graph.slots import PriorTable, Slot
from bayesglmm.links import Link, Linked
from bayesglmm.residuals import RESIDUALS


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
    """Assemble the PyMC model.

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
    """
    main = family.main_predictors(response)
    builder = _Builder(priors, len(response.y), residual is not None)
    with pm.Model() as builder.model:
        builder.model.add_coord(ROWS, _row_labels(rows, len(response.y)))
        shift = None if expression is not None else _cutpoint_shift(family, priors, predictors)
        parts, etas = [], []
        for name, predictor in predictors.items():
            names = predictor_names(name, main == (name,), predictor.random)
            part, eta = builder.predictor(predictor, names, priors, shift if name in main else None)
            parts.append(part)
            etas.append(eta)
        dispersions = {name: builder.dispersion(family, response, name) for name in priors.dispersions}
        data = {
            name: builder.data(name, values)
            for name, values in (("trials", response.trials), ("weights", response.weights))
            if values is not None
        }
        likelihood = Likelihood(family, links, (*predictors, *dispersions), tuple(data), expression)
        values = [value for _, value in dispersions.values()]
        columns = [
            builder.data(f"covariate_{j + 1}", response.covariates[c]) for j, c in enumerate(likelihood.columns)
        ]
        observed = builder.data(OBSERVED_DATA, observed_values(response, family))
        correlated = None
        if residual is not None:
            sd = dict(zip(predictors, etas, strict=True)).get(family.error_sd)
            sds = None if sd is None else Linked(sd, links[family.error_sd], pytensor_math()).value
            sds = row_sds(sds, data.get("weights"), pytensor_math())
            correlated, etas[0] = builder.residual(residual, family.error_sd, observed, etas[0], sds)
        observe(likelihood, response, [*etas, *values, *data.values(), *columns], builder.data, observed)
    problem = Problem(
        model=builder.model,
        roles=builder.roles,
        family=family,
        links=dict(links),
        response=response,
        predictors=tuple(parts),
        dispersions={name: declared for name, (declared, _) in dispersions.items()},
        likelihood=likelihood,
        cutpoint_shift=shift,
        priors=priors,
        residual=correlated,
        hyperpriors=tuple(builder.hyperpriors.values()),
    )
    check_reach(problem)
    return problem


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
        np.asarray(problem.model.coords[ROWS]),
        problem.likelihood.expression,
        None if problem.residual is None else problem.residual.block,
    )


def _row_labels(rows: Any, n: int) -> Any:
    """Return the labels of the rows; positions where there are none, or none that a file could hold."""
    labels = np.arange(n) if rows is None else np.asarray(rows)
    plain = labels.ndim == 1 and not any(isinstance(label, tuple) for label in labels[:1])
    return labels if plain else np.arange(n)


def _cutpoint_shift(family: Family, priors: PriorTable, predictors: Mapping[str, Predictor]) -> Floats | None:
    """Return column means where default cutpoint priors sit at the centre of the predictors, else None."""
    ordered = [parameter.name for parameter in family.parameters if parameter.ordered]
    if not ordered or priors.dispersions[ordered[0]].source != "default":
        return None
    return predictors[family.main.name].X.mean(axis=0)


class _Builder:
    """The model under construction: collects variables, roles and data."""

    model: pm.Model

    def __init__(self, priors: PriorTable, n: int, correlated: bool = False) -> None:
        self.priors = priors
        self.n = n
        self.correlated = correlated
        self.roles: dict[str, Role] = {}
        self.hyperpriors = hyperpriors(priors)
        self.shared: dict[tuple[str, str], Any] = {}

    def data(self, name: str, values: Any, *dims: str) -> Any:
        """Put row-wise numbers into the model."""
        return pm.Data(name, np.asarray(values), dims=(ROWS, *dims))

    def predictor(
        self, predictor: Predictor, names: PredictorNames, priors: PriorTable, shift: Floats | None
    ) -> tuple[PredictorParts, Any]:
        """Declare the variables of one predictor; return them and eta."""
        slots = priors.coefficients[names.parameter]
        declared, beta = self._coefficients(predictor, names, slots)
        blocks, effects = [], []
        for block, block_names, block_slots in zip(
            predictor.random, names.blocks, priors.blocks[names.parameter], strict=True
        ):
            part, b = self._block(block, block_names, block_slots)
            blocks.append(part)
            effects.append(b)
        made = PredictorParts(predictor, names, declared, tuple(blocks))
        arrays = self._arrays(made.latent, shift)
        eta = pt.as_tensor(linear_predictor(arrays, beta, effects))
        eta = pt.broadcast_to(eta, (self.n,)) if eta.ndim == 0 or eta.type.shape == (1,) else eta
        eta.name = names.eta
        return made, eta

    def _coefficients(
        self, predictor: Predictor, names: PredictorNames, slots: Sequence[Slot]
    ) -> tuple[Declared | None, Any]:
        if not slots:
            return None, None
        declared = held_and_free(slots, names.beta)
        self.model.add_coord(names.column_dim, predictor.columns)
        if not declared.is_free:
            return declared, pt.as_tensor(declared.constant)
        free = declared.free
        own = [slots[j] for j in free]
        dim = names.column_dim
        if len(free) < len(slots):
            dim = f"{dim}_free"
            self.model.add_coord(dim, [predictor.columns[j] for j in free])
        X = predictor.X[:, free]
        C = centring(X.mean(axis=0), own)
        variable = declare_coefficients(names.beta, dim, own, C, _whitening(X, C, own, self.priors.spread))
        gaussian = all(slot.prior.distribution in ("Normal", "Flat") for slot in own)
        # What moves the correlation of rows is a hyperparameter: rows are whitened given it.
        whitens = self.correlated and names.prefix != ""
        self.roles[names.beta] = "fixed" if gaussian and not whitens else "theta"
        return declared, declared.complete(variable)

    def _block(
        self, block: RandomBlock, names: BlockNames, slots: Mapping[str, Sequence[Slot]]
    ) -> tuple[BlockParts, Any]:
        whole, block = block, COVARIANCES.get(block.covariance).columns(block)
        covariance, dims = COVARIANCES.get(block.covariance), names.latent_dims(block is whole)
        for dim, labels in zip(dims, (block.levels, block.terms), strict=True):
            self.model.add_coord(dim, labels)
        if block is not whole:
            self.model.add_coord(names.term_dim, whole.terms)
        parameters: dict[str, Declared] = {}
        values: dict[str, Any] = block.constants
        for parameter in covariance.parameters(block):
            own = slots[parameter.name]
            declare = self._correlation if parameter.kind == "correlation" else self._vector
            parameters[parameter.name], values[parameter.name] = declare(whole.terms, names, parameter, own)
        u = declare_latent(names.u, dims, covariance, block, values)
        self.roles[names.u] = block.latent
        return BlockParts(whole, names, parameters), covariance.apply(u, values, block, pytensor_math())

    def _correlation(
        self, terms: tuple[str, ...], names: BlockNames, parameter: CovarianceParameter, slots: Sequence[Slot]
    ) -> tuple[Declared, Any]:
        k, eta = len(parameter.components), np.float64(slots[0].prior.parameters["eta"])
        declared = Declared(names.variable("cholesky"), np.arange(k), np.zeros(k), "correlation")
        self.model.add_coord(names.cor_dims[1], terms)
        self.roles[declared.name] = "theta"
        # With a start of its own PyMC need not compile the draws to find one.
        return declared, pm.LKJCorr(declared.name, n=k, eta=eta, dims=names.cor_dims, initval=np.eye(k))

    def _vector(
        self, terms: tuple[str, ...], names: BlockNames, parameter: CovarianceParameter, slots: Sequence[Slot]
    ) -> tuple[Declared, Any]:
        kind: DeclaredKind = "scale" if parameter.kind == "scale" else "vector"
        declared = held_and_free(slots, names.variable(parameter.name), kind)
        if not declared.is_free:
            return declared, pt.as_tensor(declared.constant)
        dim = names.dim(parameter.name, parameter.components == terms)
        if len(declared.free) < len(slots):
            dim = f"{dim}_free"
        self.model.add_coord(dim, [parameter.components[j] for j in declared.free])
        free = [slots[j] for j in declared.free]
        if kind == "scale":
            variable = declare_scales(declared.name, dim, free, self.hyper(free))
        else:
            start = vector_start(parameter, slots)
            variable = declare_vector(declared.name, dim, free, [start[j] for j in declared.free])
        self.roles[declared.name] = "theta"
        return declared, declared.complete(variable)

    def residual(self, block: ResidualBlock, sd: str, y: Any, eta: Any, sds: Any) -> tuple[ResidualParts, Any]:
        """Declare the correlation of residuals; return it and the predictor of each row given the earlier ones."""
        names, parameters = BlockNames("", RESIDUAL), dict[str, Declared]()
        values: dict[str, Any] = {}
        for parameter in RESIDUALS.get(block.structure).parameters(block):
            own = self.priors.residual[parameter.name]
            if parameter.kind == "correlation":
                self.model.add_coord(names.term_dim, parameter.components)
            declare = self._correlation if parameter.kind == "correlation" else self._vector
            parameters[parameter.name], values[parameter.name] = declare(block.times, names, parameter, own)
        part = ResidualParts(block, names, parameters, sd)
        eta, log_det = conditional_predictor(part, values, y, eta, sds)
        pm.Potential("log_whitening", log_det)
        return part, eta

    def hyper(self, slots: Sequence[Slot]) -> Shared:
        """Return the parameters of these priors that are estimated, declared when they are first met."""
        for key in ((slot.source, parameter) for slot in slots for parameter in slot.prior.nested):
            if key not in self.shared:
                self.shared[key] = self.hyperpriors[key].declare()
                self.roles[self.hyperpriors[key].name] = "theta"
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

    def dispersion(self, family: Family, response: Response, name: str) -> tuple[Declared, Any]:
        """Declare a family parameter without a formula; return it and its value."""
        slot = self.priors.dispersions[name]
        ordered = next(parameter.ordered for parameter in family.parameters if parameter.name == name)
        if ordered:
            m = len(response.categories) - 1
            pairs = zip(response.categories[:-1], response.categories[1:], strict=True)
            self.model.add_coord("cutpoint", [f"{low}|{high}" for low, high in pairs])
            self.roles[name] = "theta"
            return Declared(name, np.arange(m), np.zeros(m), "dispersion"), declare_cutpoints(
                name, "cutpoint", slot, m
            )
        declared = held_and_free([slot], name, "dispersion")
        if not declared.is_free:
            return declared, pt.as_tensor(np.float64(declared.constant[0]))
        self.roles[name] = "theta"
        return declared, declare_scalar(name, slot)


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


def check_reach(problem: Problem) -> None:
    """Assert that every free variable reaches the likelihood: one that does not would only echo its prior."""
    from pytensor.graph.traversal import ancestors

    reached = set(ancestors([problem.model["y"]]))
    lost = [variable.name for variable in problem.model.free_RVs if variable not in reached]
    unnamed = [variable.name for variable in problem.model.free_RVs if variable.name not in problem.roles]
    if lost or unnamed:
        raise RuntimeError(f"Free variables that do not reach the likelihood: {lost}; without a role: {unnamed}.")
