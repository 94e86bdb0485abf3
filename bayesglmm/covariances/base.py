"""What a covariance structure is: its parameters, and one map from spherical u to coefficients b.

The map is written once and serves the PyMC graph, the derived quantities after sampling and the structured view:
it uses only operators that numpy arrays and PyTensor tensors share, and broadcasts over leading axes of draws.
A new structure is one file in this folder that ends with ``COVARIANCES.register(...)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Ints, LatentForm, RandomBlock
from bayesglmm.registry import Registry


@dataclass(frozen=True)
class CovarianceParameter:
    """One parameter of a covariance structure.

    Attributes
    ----------
    name : {"sd", "cor"}
        Class of the parameter: the first part of variable names and of prior keys.
    kind : {"scale", "correlation"}
        ``scale``: a vector of positive standard deviations, one per entry of `components`;
        ``correlation``: the lower Cholesky factor of a k x k correlation matrix.
    components : tuple of str
        Names of the entries (of the rows, for a correlation).
    columns : tuple of int or None
        For a scale: which columns of the block each entry scales, used for default priors; None when one entry
        scales them all.
    """

    name: Literal["sd", "cor"]
    kind: Literal["scale", "correlation"]
    components: tuple[str, ...]
    columns: tuple[int, ...] | None = None


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
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    latent: ClassVar[LatentForm] = "spherical"
    in_formulas: ClassVar[bool] = True

    @abstractmethod
    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        """Return the parameters that a block with this structure has."""

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

        Such a structure declares ``latent = "precision"``: its coefficients are the latent variables themselves,
        b ~ N(0, Q^-1), so that `factor` is the identity and `apply` returns what it gets. PyTensor
        differentiates both results, which gives engines d Q / d theta and d log |Q| / d theta.

        Parameters
        ----------
        values : mapping of str to array
            As for `factor`, without leading axes.
        block : RandomBlock
        xp : ArrayMath
        """
        raise NotImplementedError(f"The covariance structure {self.name} has no sparse precision.")

    @abstractmethod
    def apply(self, u: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        """Return b = u Lambda', shape (..., J, k), for spherical u of the same shape."""


COVARIANCES: Registry[Covariance] = Registry("covariance structure", "bayesglmm.covariances")
