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
    """A square matrix and what its rows are called.

    Attributes
    ----------
    names : tuple of str or None
        None where nothing names them.
    values : sparse array, shape (m, m)
    """

    names: tuple[str, ...] | None
    values: Any


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
        rows, columns = ([_name(each) for each in axis] for axis in (given.index, given.columns))
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
    names = tuple(_name(key) for key in neighbours)
    place = {name: i for i, name in enumerate(names)}
    rows, columns = list[int](), list[int]()
    for own, others in zip(names, neighbours.values(), strict=True):
        for other in map(_name, others):
            if other not in place:
                raise DataError(
                    f"{label}: {own!r} has the neighbour {other!r}, which is none of its keys. "
                    f"{did_you_mean(other, names)}"
                )
            rows.append(place[own])
            columns.append(place[other])
    return NamedMatrix(names, sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(names),) * 2))


def _name(value: Any) -> str:
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
