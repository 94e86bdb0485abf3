"""What a file holds, before it is one: a document and variables; and how variables become plain bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.errors import StorageError
from bayesglmm.storage.hdf5 import NUMBERS, digest, parse_document

MANIFEST = "variables"
"""Key of the document under which the variables are listed."""


@dataclass(frozen=True, eq=False)
class Variable:
    """A named array.

    Attributes
    ----------
    dims : tuple of str
    values : ndarray
        Numbers, truth values, or text (dtype object or str).
    attrs : mapping
        Text and numbers that other programs shall see beside the array. They are not read back.
    """

    dims: tuple[str, ...]
    values: NDArray[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Record:
    """What one file holds.

    Attributes
    ----------
    document : mapping
        Plain values that JSON can hold.
    variables : mapping of str to Variable
        By path, ``group/name``.
    attrs : mapping of str to mapping
        By group (``""`` is the root): text and numbers for other programs. They are not read back.
    """

    document: Mapping[str, Any]
    variables: Mapping[str, Variable]
    attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plain:
    """A variable as it is stored.

    Attributes
    ----------
    dims : tuple of str
        Of the variable, without the one of the characters.
    kind : {"number", "bool", "text"}
    values : ndarray
        Little-endian and contiguous: numbers; int8 for truth values; for text single bytes (dtype S1) of UTF-8, with
        one axis more.
    attrs : mapping
    """

    dims: tuple[str, ...]
    kind: str
    values: NDArray[Any]
    attrs: Mapping[str, Any]


def plain(path: str, variable: Variable) -> Plain:
    """Return a variable as it is stored.

    Parameters
    ----------
    path : str
        For messages.
    variable : Variable

    Raises
    ------
    StorageError
        For values that are neither numbers, truth values nor text.
    """
    values = np.asarray(variable.values)
    kind = values.dtype.kind
    if kind == "b":
        return Plain(variable.dims, "bool", np.ascontiguousarray(values.astype(np.int8)), variable.attrs)
    if kind in "iuf":
        wanted = values.dtype.newbyteorder("<")
        if wanted.str not in NUMBERS:
            wanted = np.dtype("<f8")  # half and extended precision
        # ascontiguousarray makes scalars one-dimensional
        return Plain(variable.dims, "number", np.array(values, dtype=wanted, order="C"), variable.attrs)
    if kind in "UO" and all(isinstance(value, str) for value in values.flat):
        return Plain(variable.dims, "text", characters(values, path), variable.attrs)
    raise StorageError(f"{path}: values of the type {values.dtype} cannot be stored, only numbers and text.")


def characters(values: NDArray[Any], path: str = "text") -> NDArray[Any]:
    """Return text as bytes of UTF-8, shape (..., width), padded with zeros."""
    try:
        encoded = [str(value).encode() for value in values.flat]
    except UnicodeEncodeError as error:
        raise StorageError(f"{path}: a text that is not valid Unicode cannot be stored ({error.reason}).") from None
    if any(b"\0" in text for text in encoded):
        raise StorageError(f"{path}: a text with the character NUL cannot be stored.")
    width = max(map(len, encoded), default=1) or 1
    return np.array(encoded, dtype=f"S{width}").view("S1").reshape(*values.shape, width)


def text_of(chars: NDArray[Any]) -> NDArray[Any]:
    """Return the text of bytes of shape (..., width), dtype object."""
    *shape, width = chars.shape
    joined = np.ascontiguousarray(chars).view(f"S{width}").reshape(-1)
    found = np.empty(len(joined), dtype=object)
    for i, value in enumerate(joined.tolist()):
        found[i] = value.decode()
    return found.reshape(shape)


def listed(record: Record) -> tuple[bytes, dict[str, Plain]]:
    """Return the document, which lists all variables with their checksums, as bytes; and the variables as stored."""
    stored = {path: plain(path, variable) for path, variable in record.variables.items()}
    manifest = {
        path: {
            "dims": list(own.dims),
            "kind": own.kind,
            "dtype": own.values.dtype.str,
            "shape": list(own.values.shape),
            "sha256": digest(own.values),
        }
        for path, own in stored.items()
    }
    document = {**record.document, MANIFEST: manifest}
    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError as error:
        raise StorageError(f"The document cannot be stored: {error}.") from None
    return text.encode(), stored


def record_of(document: bytes, arrays: Mapping[str, NDArray[Any]]) -> Record:
    """Return the record of a document and of the arrays that it lists, whose checksums have been compared."""
    parsed = parse_document(document)
    variables = {}
    for path, entry in parsed.pop(MANIFEST).items():
        values = arrays[path]
        try:
            if entry["kind"] == "text":
                values = text_of(values)
        except UnicodeDecodeError:
            raise StorageError(f"{path} holds a text that is not UTF-8.") from None
        if entry["kind"] == "bool":
            values = values.astype(bool)
        variables[path] = Variable(tuple(entry["dims"]), values)
    return Record(parsed, variables)
