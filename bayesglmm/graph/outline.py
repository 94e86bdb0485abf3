"""What a model has before there is a graph: parts of its predictors, the role of every free variable, held values.

Engines that need no graph (Laplace, with families and hyperparameters whose derivatives are written by hand) read
this alone; `build.declare_model` makes the PyMC model from the same parts, when something first asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Predictor, RandomBlock, ResidualBlock, Response
from bayesglmm.covariances import COVARIANCES, CovarianceParameter
from bayesglmm.expressions import Expression
from bayesglmm.families import Family
from bayesglmm.graph.declare import Declared, DeclaredKind, held_and_free
from bayesglmm.graph.hyperpriors import hyperpriors
from bayesglmm.graph.names import BlockNames, PredictorNames, predictor_names
from bayesglmm.graph.observation import Likelihood, response_extras
from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem, ResidualParts, Role
from bayesglmm.graph.residual_slots import RESIDUAL
from bayesglmm.graph.slots import PriorTable, Slot
from bayesglmm.links import Link
from bayesglmm.residuals import RESIDUALS

if TYPE_CHECKING:
    import pymc as pm


class Graph:
    """A PyMC model that is made when something first asks for it.

    Parameters
    ----------
    make : callable
    """

    def __init__(self, make: Callable[[], pm.Model]) -> None:
        self._make = make

    @cached_property
    def model(self) -> pm.Model:
        """The model, the same one whoever asks."""
        return self._make()


def outlined(
    family: Family,
    links: Mapping[str, Link],
    response: Response,
    predictors: Mapping[str, Predictor],
    priors: PriorTable,
    rows: Any,
    expression: Expression | None,
    residual: ResidualBlock | None,
    declare: Callable[[Problem], pm.Model],
) -> Problem:
    """Return the problem of a model whose graph `declare` makes; the other arguments as for `build.build`."""
    main = family.main_predictors(response)
    shift = None if expression is not None else _cutpoint_shift(family, priors, predictors)
    outline = _Outline(priors, residual is not None)
    parts = []
    for name, predictor in predictors.items():
        names = predictor_names(name, main == (name,), predictor.random)
        parts.append(outline.predictor(predictor, names))
    dispersions = {name: outline.dispersion(family, response, name) for name in priors.dispersions}
    response_extras(response, family)  # refuses what the family cannot be
    data = [name for name in ("trials", "weights") if getattr(response, name) is not None]
    likelihood = Likelihood(family, links, (*predictors, *dispersions), tuple(data), expression)
    correlated = None if residual is None else outline.residual(residual, family.error_sd)
    problem = Problem(
        graph=None,
        row_labels=_row_labels(rows, len(response.y)),
        roles=outline.roles,
        family=family,
        links=dict(links),
        response=response,
        predictors=tuple(parts),
        dispersions=dispersions,
        likelihood=likelihood,
        cutpoint_shift=shift,
        priors=priors,
        residual=correlated,
        hyperpriors=tuple(hyperpriors(priors).values()),
    )
    return replace(problem, graph=Graph(partial(declare, problem)))


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


class _Outline:
    """Collects roles in the order in which the graph declares its variables."""

    def __init__(self, priors: PriorTable, correlated: bool) -> None:
        self.priors, self.correlated = priors, correlated
        self.roles: dict[str, Role] = {}
        self.hyperpriors = hyperpriors(priors)

    def predictor(self, predictor: Predictor, names: PredictorNames) -> PredictorParts:
        """Return the parts of one predictor."""
        beta = self._coefficients(names, self.priors.coefficients[names.parameter])
        slots = self.priors.blocks[names.parameter]
        blocks = zip(predictor.random, names.blocks, slots, strict=True)
        return PredictorParts(predictor, names, beta, tuple(self._block(*block) for block in blocks))

    def _coefficients(self, names: PredictorNames, slots: Sequence[Slot]) -> Declared | None:
        if not slots:
            return None
        declared = held_and_free(slots, names.beta)
        if declared.is_free:
            gaussian = all(slots[j].prior.distribution in ("Normal", "Flat") for j in declared.free)
            # What moves the correlation of rows is a hyperparameter: rows are whitened given it.
            whitens = self.correlated and names.prefix != ""
            self.roles[names.beta] = "fixed" if gaussian and not whitens else "theta"
        return declared

    def _block(self, block: RandomBlock, names: BlockNames, slots: Mapping[str, Sequence[Slot]]) -> BlockParts:
        whole, block = block, COVARIANCES.get(block.covariance).columns(block)
        parameters = COVARIANCES.get(block.covariance).parameters(block)
        declared = {own.name: self._parameter(names, own, slots[own.name]) for own in parameters}
        self.roles[names.u] = block.latent
        return BlockParts(whole, names, declared)

    def _parameter(self, names: BlockNames, parameter: CovarianceParameter, slots: Sequence[Slot]) -> Declared:
        if parameter.kind == "correlation":
            k = len(parameter.components)
            declared = Declared(names.variable("cholesky"), np.arange(k), np.zeros(k), "correlation")
        else:
            kind: DeclaredKind = "scale" if parameter.kind == "scale" else "vector"
            declared = held_and_free(slots, names.variable(parameter.name), kind)
            for name in self._shared([slots[j] for j in declared.free] if kind == "scale" else ()):
                self.roles.setdefault(name, "theta")
        if declared.is_free:
            self.roles[declared.name] = "theta"
        return declared

    def _shared(self, slots: Sequence[Slot]) -> Iterator[str]:
        """Yield the variables of the parameters of priors that are estimated."""
        for slot in slots:
            yield from (self.hyperpriors[slot.source, key].name for key in slot.prior.nested)

    def residual(self, block: ResidualBlock, sd: str) -> ResidualParts:
        """Return the correlation of residuals."""
        names, found = BlockNames("", RESIDUAL), dict[str, Declared]()
        for own in RESIDUALS.get(block.structure).parameters(block):
            found[own.name] = self._parameter(names, own, self.priors.residual[own.name])
        return ResidualParts(block, names, found, sd)

    def dispersion(self, family: Family, response: Response, name: str) -> Declared:
        """Return a family parameter without a formula."""
        if next(parameter.ordered for parameter in family.parameters if parameter.name == name):
            m = len(response.categories) - 1
            declared = Declared(name, np.arange(m), np.zeros(m), "dispersion")
        else:
            declared = held_and_free([self.priors.dispersions[name]], name, "dispersion")
        if declared.is_free:
            self.roles[name] = "theta"
        return declared
