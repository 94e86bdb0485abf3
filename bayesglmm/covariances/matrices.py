"""Matrices over named levels that users pass beside their data: adjacency of regions, relationship of individuals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from bayesglmm.blocks import Ints
from bayesglmm.covariances.base import Setting
from bayesglmm.errors import DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class NamedMatrix:
    """A square matrix, or a factor of one, and what its rows are called.

    Attributes
    ----------
    names : tuple of str or None
        None where nothing names them.
    values : sparse array, shape (m, m); ndarray, shape (m, r), of a factor
    inverse : bool
        Whether they are those of the inverse of a covariance.
    factor : bool
        Whether they are G, and the matrix is G G'.
    """

    names: tuple[str, ...] | None
    values: Any
    inverse: bool = False
    factor: bool = False

    def whole(self) -> NamedMatrix:
        """Return the matrix itself where this is a factor of it."""
        return NamedMatrix(self.names, sparse.csr_array(self.values @ self.values.T)) if self.factor else self


def known_precision(Q: Any, names: Sequence[Any] | None = None) -> NamedMatrix:
    """Return the inverse of a known covariance, for ``bg.Model("y ~ (1 | gr(id, cov=A))", data, cov={"A": ...})``.

    Pedigrees and phylogenies have inverses with few entries (Henderson 1976; Hadfield and Nakagawa 2010), which stay
    sparse in every factorisation.

    Parameters
    ----------
    Q : sparse matrix, ndarray or DataFrame, shape (J, J)
        Symmetric and positive definite.
    names : sequence, length J, optional
        Levels of the rows; needed unless `Q` is a DataFrame or has exactly the levels of the data in their order.

    Raises
    ------
    DataError
        If it is not square or not numeric, or the names are too few or not distinct.
    """
    found = named_matrix("The inverse covariance", Q).whole()
    return NamedMatrix(_row_names(names, found.values.shape[0]) or found.names, found.values, True)


def known_factor(G: Any, names: Sequence[Any] | None = None) -> NamedMatrix:
    """Return the known covariance K = G G', as of standardised genotypes divided by the root of their number.

    With fewer than half as many columns as levels a fit costs what the columns cost, O(n r^2) for n rows, and a
    singular K is taken exactly; else what K costs.

    Parameters
    ----------
    G : DataFrame, ndarray or sparse matrix, shape (J, r)
        One row per level. A DataFrame has their names as its index.
    names : sequence, length J, optional

    Raises
    ------
    DataError
        If it is not numeric, or the names are too few or not distinct.
    """
    if names is None and hasattr(G, "index") and hasattr(G, "columns"):
        names = list(G.index)
    try:
        is_sparse: bool = sparse.issparse(G)
        values: Any = np.asarray(G.toarray() if is_sparse else G, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"A factor of a covariance must be numeric, not a {type(G).__name__}.") from None
    if values.ndim != 2 or not np.all(np.isfinite(values)):
        raise DataError(f"A factor of a covariance is a finite matrix with a row per level, not {values.shape}.")
    return NamedMatrix(_row_names(names, len(values)), values, factor=True)


def _row_names(names: Sequence[Any] | None, size: int) -> tuple[str, ...] | None:
    if names is None:
        return None
    found = tuple(row_name(each) for each in names)
    if len(found) != size or len(set(found)) < size:
        raise DataError(
            f"A matrix with {size:,} rows needs as many distinct names; {len(found):,} were given, "
            f"{len(set(found)):,} of them distinct."
        )
    return found


def named_matrix(label: str, given: Any) -> NamedMatrix:
    """Read a matrix that users pass.

    Parameters
    ----------
    label : str
        What it is called, for messages.
    given : DataFrame, mapping, ndarray or sparse matrix
        A data frame has its names as index and columns; a mapping (or libpysal's ``W``) goes from a level to its
        neighbours; anything else is numbers without names.

    Raises
    ------
    DataError
        If it is not square, not numeric, or names its rows and columns differently.
    """
    if isinstance(given, NamedMatrix):
        return given
    neighbours = getattr(given, "neighbors", given)
    if isinstance(neighbours, Mapping):
        return _from_neighbours(label, neighbours)
    names = None
    if hasattr(given, "index") and hasattr(given, "columns"):
        rows, columns = ([row_name(each) for each in axis] for axis in (given.index, given.columns))
        if sorted(rows) != sorted(columns) or len(set(rows)) < len(rows):
            raise DataError(f"{label}: index and columns of the matrix must hold the same names, each once.")
        place = {name: j for j, name in enumerate(columns)}
        given, names = given.to_numpy()[:, [place[name] for name in rows]], tuple(rows)
    try:
        numbers: Any = given if sparse.issparse(given) else np.asarray(given, dtype=float)
        values: Any = sparse.csr_array(numbers).astype(float)
    except (TypeError, ValueError):
        raise DataError(f"{label} must be a square matrix of numbers, not a {type(given).__name__}.") from None
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise DataError(f"{label} must be a square matrix; its shape is {values.shape}.")
    if not np.all(np.isfinite(values.data)):
        raise DataError(f"{label} has entries that are missing or infinite.")
    return NamedMatrix(names, values)


def _from_neighbours(label: str, neighbours: Mapping[Any, Iterable[Any]]) -> NamedMatrix:
    names = tuple(row_name(key) for key in neighbours)
    place = {name: i for i, name in enumerate(names)}
    rows, columns = list[int](), list[int]()
    for own, others in zip(names, neighbours.values(), strict=True):
        for other in map(row_name, others):
            if other not in place:
                raise DataError(
                    f"{label}: {own!r} has the neighbour {other!r}, which is none of its keys. "
                    f"{did_you_mean(other, names)}"
                )
            rows.append(place[own])
            columns.append(place[other])
    return NamedMatrix(names, sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(names),) * 2))


def row_name(value: Any) -> str:
    """Return the name that a level has in the data: 3 for 3 and for 3.0."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value)


def level_names(matrix: NamedMatrix, label: str, setting: Setting) -> tuple[str, ...]:
    """Return the names of a matrix's rows; the levels in their order where it has none and they are as many.

    Raises
    ------
    DataError
        If a level that occurs is not among the names, or a matrix without names has another size.
    """
    if matrix.names is None:
        if matrix.values.shape[0] != len(setting.levels):
            raise DataError(
                f"{label} has no names and {matrix.values.shape[0]:,} rows, but {len(setting.levels):,} levels of "
                f"`{setting.group}` occur: name its rows, as a DataFrame with the levels as index and columns."
            )
        return setting.levels
    known = set(matrix.names)
    unknown = [level for level in setting.levels if level not in known]
    if unknown:
        shown = ", ".join(map(repr, unknown[:5])) + (f", ... ({len(unknown)} in all)" if len(unknown) > 5 else "")
        raise DataError(
            f"{label} has no row for the level {shown} of `{setting.group}`. {did_you_mean(unknown[0], matrix.names)}"
        )
    return matrix.names


def lower_triangle(values: Any) -> tuple[Ints, Ints]:
    """Return the places of a symmetric sparse matrix's entries below its diagonal."""
    lower = sparse.coo_array(sparse.tril(values, -1))
    return np.asarray(lower.coords[0], dtype=np.intp), np.asarray(lower.coords[1], dtype=np.intp)


def components(values: Any) -> Sequence[Ints]:
    """Return the connected parts of a graph, each as positions."""
    count, label = sparse.csgraph.connected_components(values, directed=False)
    return [np.flatnonzero(label == part) for part in range(count)]
