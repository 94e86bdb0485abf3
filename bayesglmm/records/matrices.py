"""Matrices that covariance structures name, to and from arrays: their names and their entries that are not zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from bayesglmm.covariances.matrices import NamedMatrix, named_matrix
from bayesglmm.errors import StorageError
from bayesglmm.records.fields import array, take
from bayesglmm.storage import Variable

MATRICES = "model_matrices"


def pack_matrices(given: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Variable]]:
    """Return the argument ``cov=`` of a model as plain values, and the arrays that these name."""
    if not given:
        return None, {}
    document, variables = dict[str, Any](), dict[str, Variable]()
    for i, (name, value) in enumerate(given.items()):
        matrix = named_matrix(name, value)
        entries = sparse.coo_array(matrix.values)
        own = {"row": entries.coords[0].astype(np.int64), "column": entries.coords[1].astype(np.int64)}
        for what, values in {**own, "value": entries.data}.items():
            variables[f"{MATRICES}/{i}_{what}"] = Variable((f"matrix_{i}_entry",), values)
        if matrix.names is not None:
            names = np.array(matrix.names, dtype=object)
            variables[f"{MATRICES}/{i}_name"] = Variable((f"matrix_{i}_level",), names)
        size, named = int(matrix.values.shape[0]), matrix.names is not None
        document[name] = {"array": i, "size": size, "named": named, "inverse": matrix.inverse}
        if matrix.factor:
            document[name]["columns"] = int(matrix.values.shape[1])
    return document, variables


def unpack_matrices(document: Any, variables: Mapping[str, Variable]) -> dict[str, NamedMatrix] | None:
    """Return the matrices of `pack_matrices`.

    Raises
    ------
    StorageError
        If they are not there, or are none.
    """
    if document is None:
        return None
    if not isinstance(document, dict):
        raise StorageError("The document holds matrices that make no sense.")
    found = {}
    for name, own in document.items():
        if not isinstance(own, dict):
            raise StorageError("The document holds matrices that make no sense.")
        i, size = take(own, "array", int), take(own, "size", int)
        row, column = (array(variables, f"{MATRICES}/{i}_{what}", "iu") for what in ("row", "column"))
        value = array(variables, f"{MATRICES}/{i}_value", "f")
        factor = "columns" in own
        wide = take(own, "columns", int) if factor else size
        ends = ((row, size), (column, wide))
        inside = all(len(at) == len(value) and np.all((at >= 0) & (at < end)) for at, end in ends)
        names = array(variables, f"{MATRICES}/{i}_name", "O") if take(own, "named", bool) else None
        if not inside or (names is not None and len(names) != size):
            raise StorageError(f"The matrix {name!r} of the file has entries outside of it.")
        entries = sparse.csr_array((value, (row, column)), shape=(size, wide))
        inverse = take(own, "inverse", bool)
        named = None if names is None else tuple(map(str, names))
        found[name] = NamedMatrix(named, entries.toarray() if factor else entries, inverse, factor)
    return found
