"""`Problem`: what an engine gets. The PyMC model, the role of every free variable, and what they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats, Predictor, RandomBlock, ResidualBlock, Response
from bayesglmm.covariances import COVARIANCES, Covariance
from bayesglmm.families import Family
from bayesglmm.graph.declare import Declared, DeclaredKind
from bayesglmm.graph.hyperpriors import Hyperprior
from bayesglmm.graph.names import BlockNames, PredictorNames
from bayesglmm.graph.observation import Likelihood
from bayesglmm.graph.slots import PriorTable
from bayesglmm.links import Link
from bayesglmm.parts import Parts
from bayesglmm.residuals import RESIDUALS, Residual

if TYPE_CHECKING:
    import pymc as pm

    from bayesglmm.graph.outline import Graph

type Role = Literal["fixed", "spherical", "precision", "theta"]


@dataclass(frozen=True)
class BlockParts:
    """One random block and the variables that the graph made for it.

    Attributes
    ----------
    block : RandomBlock
    names : BlockNames
    parameters : mapping of str to Declared
        The covariance structure's parameters by class: ``sd``, ``cor``, ``range``.
    """

    block: RandomBlock
    names: BlockNames
    parameters: Mapping[str, Declared]

    @property
    def covariance(self) -> Covariance:
        """The structure, from the registry."""
        return COVARIANCES.get(self.block.covariance)

    def values(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the covariance parameters by class, from the values (or draws) of the free variables.

        What the structure needs besides, the arrays among the block's options, is there too.
        """
        values: dict[str, Any] = self.block.constants
        return values | {name: part.complete(variables.get(part.name)) for name, part in self.parameters.items()}

    def tensors(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same as tensors, where they are parameters: what the structure needs besides stays numpy's."""
        import pytensor.tensor as pt

        values = self.values(variables)
        return {name: pt.as_tensor(value) if name in self.parameters else value for name, value in values.items()}

    def of_kind(self, *kinds: DeclaredKind) -> dict[str, Declared]:
        """Return the parameters of some kinds by class."""
        return {name: part for name, part in self.parameters.items() if part.kind in kinds}

    @property
    def latent(self) -> BlockParts:
        """The same with the block as engines see it; see `Covariance.columns`."""
        own = self.covariance.columns(self.block)
        return self if own is self.block else replace(self, block=own)


@dataclass(frozen=True)
class ResidualParts:
    """The correlation of residuals and the variables that the graph made for it.

    Attributes
    ----------
    block : ResidualBlock
    names : BlockNames
    parameters : mapping of str to Declared
        The structure's parameters by class: ``cor``, ``range``.
    sd : str
        The family parameter that is the residuals' standard deviation.
    """

    block: ResidualBlock
    names: BlockNames
    parameters: Mapping[str, Declared]
    sd: str

    @property
    def structure(self) -> Residual:
        """The structure, from the registry."""
        return RESIDUALS.get(self.block.structure)

    def values(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters by class, from the values (or draws) of the free variables."""
        return {name: part.complete(variables.get(part.name)) for name, part in self.parameters.items()}

    def of_posterior(self, draws: Mapping[str, Floats]) -> dict[str, Any]:
        """Return the parameters by class from draws of the posterior's variables, which hold whole matrices."""
        found: dict[str, Any] = {}
        for name, part in self.parameters.items():
            values = draws[self.names.variable(name)]
            found[name] = NUMPY.cholesky(values) if part.kind == "correlation" else values
        return found

    def of_kind(self, *kinds: DeclaredKind) -> dict[str, Declared]:
        """Return the parameters of some kinds by class."""
        return {name: part for name, part in self.parameters.items() if part.kind in kinds}


@dataclass(frozen=True)
class PredictorParts:
    """One predictor and the variables that the graph made for it.

    Attributes
    ----------
    predictor : Predictor
    names : PredictorNames
    beta : Declared or None
        Population coefficients; None when there are no columns.
    blocks : tuple of BlockParts
    """

    predictor: Predictor
    names: PredictorNames
    beta: Declared | None
    blocks: tuple[BlockParts, ...]

    @property
    def latent(self) -> PredictorParts:
        """The same with the blocks as engines see them."""
        blocks = tuple(part.latent for part in self.blocks)
        if all(new is old for new, old in zip(blocks, self.blocks, strict=True)):
            return self
        predictor = replace(self.predictor, random=tuple(part.block for part in blocks))
        return replace(self, predictor=predictor, blocks=blocks)


@dataclass(frozen=True, eq=False)
class Problem:
    """A model that is ready for an engine.

    Attributes
    ----------
    graph : Graph or None
        What makes `model` when something first asks for it.
    row_labels : ndarray, shape (n,)
    roles : mapping of str to {"fixed", "spherical", "precision", "theta"}
        Role of every free variable.
    family : Family
    links : mapping of str to Link
        Link of every predictor.
    response : Response
    predictors : tuple of PredictorParts
        The main ones first.
    dispersions : mapping of str to Declared
        Family parameters without a formula; scalars are vectors of length one, cutpoints longer.
    likelihood : Likelihood
        How predictors and dispersions become the distribution of the response.
    cutpoint_shift : ndarray or None
        Column means that the graph takes off X where cutpoints are centred: cutpoints = centred + shift beta.
    priors : PriorTable
    residual : ResidualParts or None
        How the residuals of a normal response depend on each other.
    hyperpriors : tuple of Hyperprior
        Parameters of priors that are estimated.
    parts : Parts or None
        Where all rows are, if not in the blocks.
    workspace : dict
        Where engines keep what they prepared, so that a second fit of the same model need not do it again.
    shared : dict
        Compiled functions that take the response as an input: the same object in all problems that differ in the
        values of the response alone, so that none compiles what another has.
    """

    graph: Graph | None
    row_labels: Any
    roles: Mapping[str, Role]
    family: Family
    links: Mapping[str, Link]
    response: Response
    predictors: tuple[PredictorParts, ...]
    dispersions: Mapping[str, Declared]
    likelihood: Likelihood
    cutpoint_shift: Floats | None
    priors: PriorTable
    residual: ResidualParts | None = None
    hyperpriors: tuple[Hyperprior, ...] = ()
    parts: Parts | None = None
    workspace: dict[str, Any] = field(default_factory=dict, repr=False)
    shared: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> pm.Model:
        """The one PyMC model, made when first asked for; copies of this problem with other parts share it."""
        assert self.graph is not None
        return self.graph.model

    @property
    def blocks(self) -> tuple[BlockParts, ...]:
        """All random blocks of all predictors."""
        return tuple(part for predictor in self.predictors for part in predictor.blocks)

    @property
    def latent(self) -> Problem:
        """The problem as engines see it: the same for most, see `Covariance.columns`."""
        return self._reduced or self

    @cached_property
    def _reduced(self) -> Problem | None:
        # Not the problem itself, which would then stay, with its rows, until Python looks for circles.
        parts = tuple(part.latent for part in self.predictors)
        same = all(new is old for new, old in zip(parts, self.predictors, strict=True))
        return None if same else replace(self, predictors=parts)

    @property
    def structured(self) -> tuple[BlockParts | ResidualParts, ...]:
        """Everything that has parameters of a covariance: the random blocks, then the residuals."""
        return self.blocks if self.residual is None else (*self.blocks, self.residual)

    @property
    def linear_predictors(self) -> tuple[PredictorParts, ...]:
        """The predictors of family parameters, on their link scales: all but the parameters of an expression."""
        expression = self.likelihood.expression
        inner = () if expression is None else expression.parameters
        return tuple(part for part in self.predictors if part.names.parameter not in inner)

    def names(self, role: Role) -> tuple[str, ...]:
        """Return the free variables with a role."""
        return tuple(name for name, own in self.roles.items() if own == role)

    def labels(self) -> dict[str, tuple[str, ...]]:
        """Return what users call the components of every free vector of population-level parameters."""
        found: dict[str, tuple[str, ...]] = {}
        for part in self.predictors:
            parameter = part.names.parameter
            if part.beta is not None:
                slots = self.priors.coefficients[parameter]
                found[part.beta.name] = tuple(slots[j].label for j in part.beta.free)
            for block, classes in zip(part.blocks, self.priors.blocks[parameter], strict=True):
                for what, declared in block.of_kind("scale", "vector").items():
                    found[declared.name] = tuple(classes[what][j].label for j in declared.free)
        if self.residual is not None:
            for what, declared in self.residual.of_kind("vector").items():
                found[declared.name] = tuple(self.priors.residual[what][j].label for j in declared.free)
        found |= {own.name: (own.label,) for own in self.hyperpriors}
        for name, declared in self.dispersions.items():
            size = len(declared.constant)
            found[name] = (name,) if size == 1 else tuple(f"{name}[{j + 1}]" for j in range(size))
        return found
