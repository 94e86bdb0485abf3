"""What a basis is: columns that are functions of covariates, and penalties that say which combinations are rough.

A new basis is one file in this folder that ends with ``BASES.register(...)``. A basis that has met data is frozen:
it keeps its knots and eigenvectors, so new rows get the same functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesglmm.errors import DataError
from bayesglmm.registry import Registry

type Floats = NDArray[np.float64]
type Monomial = tuple[int, ...]
"""Exponents, one per covariate: ``(1, 0)`` for the first covariate itself."""


@dataclass(frozen=True)
class BasisOptions:
    """What the user may say about a basis.

    Attributes
    ----------
    k : int or None
        Number of columns before any constraint; None for the default of the basis.
    m : tuple of float
        Order of penalty and splines, kernel and range of Gaussian processes: as in mgcv, by basis. Empty for the
        default.
    knots : tuple of float
        The two ends between which knots are placed, for bases that take them; empty for the range of the data.
    """

    k: int | None = None
    m: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()


class FittedBasis(ABC):
    """A basis that has met data.

    Attributes
    ----------
    penalties : tuple of ndarray, each (k, k)
        Positive semidefinite; several must be diagonal in the same coordinates, which `axes` then returns.
    null : tuple of Monomial
        The functions that no penalty sees, as polynomials of the covariates; the constant first. Empty where every
        function is penalised.
    has_constant : bool
        Whether the constant is among the functions, so that a constraint has to take it out.
    left_out : int
        How many functions fewer there are than asked for, because the data cannot tell them from zero.
    """

    penalties: tuple[Floats, ...]
    null: tuple[Monomial, ...]
    has_constant: bool = True
    left_out: int = 0

    @abstractmethod
    def columns(self, x: Floats) -> Floats:
        """Return the basis functions at covariate values x (n, d), shape (n, k)."""

    def axes(self) -> tuple[Floats, Floats]:
        """Return V (k, k) and D (M, k) with V' S_m V = diag(D_m): coordinates in which every penalty is diagonal.

        What no penalty sees has D exactly zero.
        """
        values, vectors = np.linalg.eigh(self.penalties[0])
        values[: len(self.null)] = 0.0
        return signed(vectors), values[None]


class Basis(ABC):
    """A kind of basis.

    Attributes
    ----------
    name : str
        Registered name: ``bs="cr"``.
    dimensions : tuple of int
        Fewest and most covariates.
    title : str
        What it is, in words.
    takes_knots : bool
        Whether ``knots=c(low, high)`` means something.
    in_values : bool
        Whether the coefficients are values of the function, as tensor products want them.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    dimensions: ClassVar[tuple[int, int]] = (1, 1)
    title: ClassVar[str]
    takes_knots: ClassVar[bool] = False
    in_values: ClassVar[bool] = False

    @abstractmethod
    def fit(self, x: Floats, options: BasisOptions) -> FittedBasis:
        """Let the basis meet covariate values.

        Parameters
        ----------
        x : ndarray, shape (n, d)
            Finite.
        options : BasisOptions

        Raises
        ------
        DataError
            For too few distinct values, or options that this basis cannot take.
        """


BASES: Registry[Basis] = Registry("smooth basis", "bayesglmm.bases")


def monomials(d: int, degree: int) -> tuple[Monomial, ...]:
    """Return the exponents of all monomials of d variables up to a total degree, the constant first."""
    found = []
    for total in range(degree + 1):
        for chosen in combinations_with_replacement(range(d), total):
            found.append(tuple(chosen.count(j) for j in range(d)))
    return tuple(found)


def polynomial_count(d: int, degree: int) -> int:
    """Return how many monomials of d variables there are up to a total degree."""
    return comb(d + degree, d)


def evaluate_monomials(x: Floats, exponents: tuple[Monomial, ...]) -> Floats:
    """Return monomials at x (n, d), shape (n, len(exponents))."""
    columns = [np.prod(x ** np.array(powers), axis=1) for powers in exponents]
    return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))


def basis_size(options: BasisOptions, default: int, least: int, why: str) -> int:
    """Return k, or raise if it is too small.

    Raises
    ------
    DataError
    """
    k = default if options.k is None else options.k
    if k < least:
        raise DataError(f"k={k} is too small: {why} needs k >= {least}.")
    return k


def require_distinct(x: Floats, k: int) -> Floats:
    """Return the distinct rows of x, sorted; raise if there are fewer than k.

    Raises
    ------
    DataError
    """
    distinct = np.unique(x, axis=0)
    if len(distinct) < min(k, 3) and x.shape[1] == 1:
        if len(distinct) == 1:
            raise DataError("the covariate has the same value in all rows: leave it out.")
        raise DataError("the covariate has two values, through which any curve is a line: write it as a plain term.")
    if len(distinct) < k:
        what = "values" if x.shape[1] == 1 else "combinations of values"
        raise DataError(
            f"there are {len(distinct)} distinct {what}, fewer than the k={k} basis functions. "
            f"Give k={len(distinct)} or less, or use the covariate as a factor."
        )
    return distinct


def require_plane(points: Floats, exponents: tuple[Monomial, ...]) -> None:
    """Raise unless polynomials of several covariates can be told apart at the points (n, d).

    Raises
    ------
    DataError
        For a covariate with one value, and for points on a line (or a curve, for quadratics).
    """
    spread = np.ptp(points, axis=0)
    for j in np.flatnonzero(spread == 0.0):
        raise DataError(f"covariate {j + 1} has the same value in all rows: leave it out.")
    P = evaluate_monomials((points - points.mean(axis=0)) / spread, exponents)
    if np.linalg.matrix_rank(P, tol=1e-7 * float(np.linalg.norm(P, 2))) < len(exponents):
        raise DataError(
            "one covariate follows from the others, so that there is no function of all of them to be seen: "
            "leave one out."
        )


def ends_of(x: Floats, options: BasisOptions) -> tuple[float, float]:
    """Return between which values knots are placed: those of the user, or the ends of the data.

    Raises
    ------
    DataError
        If they do not enclose the data.
    """
    low, high = float(x.min()), float(x.max())
    if not options.knots:
        return low, high
    if len(options.knots) != 2 or not options.knots[0] <= low <= high <= options.knots[1]:
        raise DataError(f"knots= are the two ends between which all values lie ({low:g} to {high:g}), as c(0, 24).")
    return options.knots[0], options.knots[1]


def order(options: BasisOptions, defaults: tuple[int, ...], least: tuple[int, ...]) -> tuple[int, ...]:
    """Return the whole numbers of ``m=``; one number stands for all of them.

    Raises
    ------
    DataError
    """
    given = options.m or tuple(float(value) for value in defaults)
    if len(given) == 1:
        given = given * len(defaults)
    if len(given) != len(defaults) or any(value != int(value) for value in given):
        raise DataError(f"m={_shown(options.m)}: this basis takes {len(defaults)} whole numbers.")
    for value, low in zip(given, least, strict=True):
        if value < low:
            raise DataError(f"m={_shown(options.m)}: the smallest possible is m={_shown(least)}.")
    return tuple(int(value) for value in given)


def _shown(values: tuple[float, ...] | tuple[int, ...]) -> str:
    parts = ", ".join(f"{value:g}" for value in values)
    return parts if len(values) == 1 else f"c({parts})"


def signed(vectors: Floats) -> Floats:
    """Return columns with the entry of largest size positive: eigenvectors have no sign of their own."""
    if not vectors.size:
        return vectors
    largest = np.argmax(np.abs(vectors), axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.asarray(vectors * np.where(signs == 0.0, 1.0, signs))
