"""What a covariance structure is: its parameters, and one map from spherical u to coefficients b.

The map is written once and serves the PyMC graph, the derived quantities after sampling and the structured view:
it uses only operators that numpy arrays and PyTensor tensors share, and broadcasts over leading axes of draws.
A new structure is one file in this folder that ends with ``COVARIANCES.register(...)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Ints, LatentForm, RandomBlock
from bayesglmm.errors import FormulaError
from bayesglmm.priors import Prior
from bayesglmm.registry import Registry

type ParameterKind = Literal["scale", "vector", "correlation"]

REAL, POSITIVE, UNIT, CORRELATION = (-np.inf, np.inf), (0.0, np.inf), (0.0, 1.0), (-1.0, 1.0)


@dataclass(frozen=True)
class CovarianceParameter:
    """One parameter of a covariance structure: a vector, or the correlation matrix of an unstructured one.

    Attributes
    ----------
    name : str
        Class of the parameter, the first part of variable names and of prior keys: ``sd``, ``cor``, ``range``.
    kind : {"scale", "vector", "correlation"}
        ``scale``: positive standard deviations, which likelihood may take to zero; ``vector``: numbers within
        `bounds`; ``correlation``: the lower Cholesky factor of a k x k correlation matrix.
    components : tuple of str
        Names of the entries (of the rows, for a correlation matrix).
    columns : tuple of int or None
        Which columns of the block each entry is the scale of, for default priors; None where one entry scales all.
    bounds : tuple of (float, float)
        Where the entries of a vector lie, one pair per entry or one for all.
    prior : Prior or None
        Default prior of the entries of a vector; on an interval a Beta is stretched over it. None: tied to the
        spread of the response per unit of the column, as standard deviations are.
    start : tuple of float
        Where searches begin, one number per entry or one for all; empty for the middle of an interval.
    title : str
        What it is, in words, for results.
    priors : tuple of Prior
        Default priors of the entries of a vector, where each has its own.
    coefficient : bool
        Whether it is the prior standard deviation of the coefficient that the block stands for, see
        `Covariance.coefficient`: it is held, and users know it as the Normal prior of that coefficient.
    hidden : bool
        Whether tables leave it out, since what is derived of it says more.
    """

    name: str
    kind: ParameterKind
    components: tuple[str, ...]
    columns: tuple[int, ...] | None = None
    bounds: tuple[tuple[float, float], ...] = (POSITIVE,)
    prior: Prior | None = None
    start: tuple[float, ...] = ()
    title: str = ""
    priors: tuple[Prior, ...] = ()
    coefficient: bool = False
    hidden: bool = False

    def bounds_of(self, j: int) -> tuple[float, float]:
        """Return where entry j lies."""
        if self.kind != "vector":
            return CORRELATION if self.kind == "correlation" else POSITIVE
        return self.bounds[j if len(self.bounds) > 1 else 0]


@dataclass(frozen=True, eq=False)
class Setting:
    """What a structure may look at when a group term meets the data.

    Attributes
    ----------
    text, formula : str
        The term as written, and the whole formula, for messages.
    position : int
        Of the term in the formula.
    group : str
        The grouping factor.
    terms : tuple of str
        Names of the k coefficients per level.
    index : tuple of str or None
        The levels of the one factor that the coefficients stand for; None where they are something else.
    levels : tuple of str
        The levels of the grouping factor that occur.
    given : mapping of str to object
        The keyword arguments of the word.
    names : mapping of str to str
        What the matrices among them are called.
    """

    text: str
    formula: str
    position: int
    group: str
    terms: tuple[str, ...]
    index: tuple[str, ...] | None
    levels: tuple[str, ...]
    given: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def fail(self, message: str) -> NoReturn:
        """Raise an error that points at the term."""
        raise FormulaError(message, self.formula, self.position)


class Covariance(ABC):
    """A covariance structure for the coefficients of one random block.

    Attributes
    ----------
    name : str
        Registered name; also the word of formulas: ``diag(1 + x | g)``.
    latent : {"spherical", "precision"}
        Form in which engines see blocks with this structure.
    in_formulas : bool
        Whether users may write its name before a group term; not where only a smooth can say what it needs.
    indexed : bool
        Whether the coefficients are those of one factor in full coding, ``0 + time``: a process over its levels.
    homogeneous, heterogeneous : str
        Names of the variants with one standard deviation and with one per coefficient, for ``hom=``; empty where
        there is no such choice.
    keywords : tuple of str
        Keyword arguments that its word takes.
    matrices : tuple of str
        Those of them that name a matrix of ``bg.Model(..., cov={...})``.
    posterior_only : str
        Why maximum likelihood does not suit it; empty where it does.
    inherited : bool
        Whether its share of the variance is a heritability: the levels are related as a matrix says.
    scaled_root : bool
        Whether Lambda is diag(sd) times the Cholesky factor of a free correlation matrix ``cor``, or of none, and sd
        one for each coefficient or one for all. Code that is compiled ahead knows such structures.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    latent: ClassVar[LatentForm] = "spherical"
    in_formulas: ClassVar[bool] = True
    indexed: ClassVar[bool] = False
    homogeneous: ClassVar[str] = ""
    heterogeneous: ClassVar[str] = ""
    keywords: ClassVar[tuple[str, ...]] = ()
    matrices: ClassVar[tuple[str, ...]] = ()
    inherited: ClassVar[bool] = False
    scaled_root: ClassVar[bool] = False
    posterior_only: ClassVar[str] = ""

    # what there is -------------------------------------------------------------------------------------------------

    @abstractmethod
    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        """Return the parameters that a block with this structure has."""

    def derived(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        """Return what else is reported, as functions of the parameters; `derive` computes it.

        A matrix among them is one of correlations, not its Cholesky factor.
        """
        return ()

    def derive(self, values: Mapping[str, Any], block: RandomBlock) -> dict[str, Any]:
        """Return the derived quantities by class, from values of the parameters with leading axes of draws."""
        return {}

    def coefficient(self, b: Floats) -> Floats | None:
        """Return the population coefficient that a block stands for, of draws of b, shape (..., k); None for most."""
        return None

    def distances(self, block: RandomBlock) -> tuple[Floats, str] | None:
        """Return how far apart the coefficients are, shape (k, k), and in what; None where they have no place."""
        return None

    def levels(self, setting: Setting) -> tuple[str, ...] | None:
        """Return the levels of the grouping factor where the structure brings them along; else None."""
        return None

    def options(self, setting: Setting) -> dict[str, Any]:
        """Return what the structure needs besides: arrays among it are passed to `factor` and `precision`.

        Raises
        ------
        FormulaError, DataError
            For keyword arguments or coefficients that it cannot work with.
        """
        return dict(setting.given)

    def form(self, options: Mapping[str, Any]) -> LatentForm:
        """Return the form in which engines see a block with these options."""
        return self.latent

    def at_distance(self, values: Mapping[str, Any], distance: Floats) -> Any:
        """Return the correlation at distances, shape (..., m), where it is known without the coefficients' places."""
        return None

    def doubts(self, values: Mapping[str, Any], block: RandomBlock) -> str:
        """Return what simpler structure these values of the parameters amount to, as a clause; else nothing.

        Parameters
        ----------
        values : mapping of str to array
            As for `factor`, without leading axes.
        block : RandomBlock
        """
        return ""

    @property
    def new_levels(self) -> str:
        """Why the structure says nothing about a level that it has not seen; empty where it does."""
        return ""

    # what it means --------------------------------------------------------------------------------------------------

    @abstractmethod
    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        """Return Lambda, lower triangular, shape (..., k, k): the covariance of one level's row is Lambda Lambda'.

        Parameters
        ----------
        values : mapping of str to array
            Parameter values by class: ``sd`` (..., k) and, where there is one, ``cor`` (..., k, k), the Cholesky
            factor; and those of the block's `options` that are arrays.
        k : int
            Columns of the block.
        xp : ArrayMath
        """

    def variances(self, values: Mapping[str, Any], k: int) -> Floats:
        """Return the variances of a level's coefficients, shape (..., k), in numpy."""
        return np.asarray(np.square(self.factor(values, k, NUMPY)).sum(axis=-1))

    def mixing(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        """Return what takes the latent variables of a level to its coefficients, shape (..., k, k).

        Lambda in spherical form; the identity in precision form, whose latent variables are the coefficients.
        """
        k = len(block.terms)
        return np.eye(k) if block.latent == "precision" else self.factor(values, k, xp)

    def couplings(self, block: RandomBlock) -> tuple[Ints, Ints]:
        """Return where the precision Q of a block in precision form has entries, for every value of its parameters.

        Returns
        -------
        rows, columns : ndarray of int
            Of the lower triangle with its whole diagonal, each place once; coefficient j of level l is number
            ``l * k + j``.
        """
        raise NotImplementedError(f"The covariance structure {self.name} has no sparse precision.")

    def precision(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> tuple[Any, Any]:
        """Return the entries of Q at `couplings`, shape (nnz,), and log |Q|; for ``latent = "precision"`` only.

        The coefficients of such a structure are the latent variables themselves, b ~ N(0, Q^-1). PyTensor
        differentiates both results, which gives engines d Q / d theta and d log |Q| / d theta.

        Parameters
        ----------
        values : mapping of str to array
            As for `factor`, without leading axes.
        block : RandomBlock
        xp : ArrayMath
        """
        raise NotImplementedError(f"The covariance structure {self.name} has no sparse precision.")

    def axes(self, block: RandomBlock) -> Floats | None:
        """Return orthonormal V, shape (J, J): V'b is independent over levels and columns whatever the parameters.

        A sampler moves along these axes where levels depend on each other; None where there are none.
        """
        return None

    def axes_sds(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        """Return the standard deviations along `axes`, shape (..., J, k)."""
        raise NotImplementedError(f"The covariance structure {self.name} has no axes.")

    def columns(self, block: RandomBlock) -> RandomBlock:
        """Return the block as engines see it: itself for most, see `loadings`."""
        return block

    def loadings(self, block: RandomBlock) -> Floats | None:
        """Return G, shape (J, r), where a block that `columns` made stands for J levels; None for most.

        Its one level has r k coefficients, which are r rows w of k each; the effects of the J levels are b = G w.
        """
        return None

    def core(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        """Return the matrix whose copies along its diagonal are Lambda: Lambda itself for most."""
        return self.factor(values, k, xp)

    def apply(self, u: Any, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        """Return b = u Lambda', shape (..., J, k), for spherical u of the same shape; u itself in precision form."""
        if block.latent == "precision":
            return u
        return u @ self.factor(values, len(block.terms), xp).swapaxes(-1, -2)


COVARIANCES: Registry[Covariance] = Registry("covariance structure", "bayesglmm.covariances")
