"""What the terms of a model learned from its data: the numbers in its frozen objects, taken out and put back.

Terms, bases and functions are frozen dataclasses whose numbers (knots, eigenvectors, means) were computed from the
data. Computed again elsewhere they may differ: another linear algebra library may turn an eigenvector, and then the
coefficients of the fit belong to other functions. So a file keeps these numbers. The objects themselves are made
anew from formula and data, by the code of this package; only numbers, in the same places and of the same shapes, come
from the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.errors import StorageError
from bayesglmm.formula import syntax

type Floats = NDArray[np.float64]
_CLOSE = 1e-8  # relative difference of sums, where numbers are not equal


def learned(root: Any) -> list[Floats]:
    """Return all floating point numbers within an object, in the order of its fields.

    Parameters
    ----------
    root : object
        Frozen dataclasses, tuples and mappings; what is in other objects, in the syntax of formulas, and whole
        numbers stay where they are.
    """
    found: list[Floats] = []

    def note(values: Floats) -> Floats:
        found.append(values)
        return values

    _walked(root, note, {})
    return found


def with_learned(root: Any, values: list[Floats]) -> Any:
    """Return the object with other numbers in the places of its own; the object itself if they are the same.

    Parameters
    ----------
    root : object
    values : list of ndarray
        As `learned` returned them.

    Raises
    ------
    StorageError
        If they are not as many, or not of these shapes.
    """
    left = iter(values)

    def put(own: Floats) -> Floats:
        given = next(left, None)
        if given is None or given.shape != own.shape:
            raise _other_model()
        return own if np.array_equal(own, given, equal_nan=True) else np.array(given, dtype=np.float64)

    made = _walked(root, put, {})
    if next(left, None) is not None:
        raise _other_model()
    return made


def _other_model() -> StorageError:
    return StorageError(
        "What the terms learned does not fit the model that this version of bayesglmm makes of the formula: the file "
        "was written by a version that makes another one, or it was changed."
    )


def _walked(value: Any, visit: Callable[[Floats], Floats], seen: dict[int, Any]) -> Any:
    """Return a copy of an object with its numbers replaced; whatever keeps its numbers stays the same object."""
    if isinstance(value, float):
        new = visit(np.asarray(value))
        return value if new.item() == value or np.isnan(value) else float(new)
    if isinstance(value, np.ndarray):
        return visit(value) if value.dtype == np.float64 else value
    if not isinstance(value, tuple | list | Mapping) and (isinstance(value, type) or not is_dataclass(value)):
        return value
    if type(value).__module__ == syntax.__name__:
        return value
    if id(value) not in seen:
        seen[id(value)] = (_rebuilt(value, visit, seen), value)  # the object is kept: its id must not be used again
    return seen[id(value)][0]


def _rebuilt(value: Any, visit: Callable[[Floats], Floats], seen: dict[int, Any]) -> Any:
    if isinstance(value, Mapping):
        items = {key: _walked(own, visit, seen) for key, own in value.items()}
        same = all(items[key] is own for key, own in value.items())
        return value if same else MappingProxyType(items) if isinstance(value, MappingProxyType) else items
    if isinstance(value, tuple | list):
        parts = [_walked(own, visit, seen) for own in value]
        if all(new is own for new, own in zip(parts, value, strict=True)):
            return value
        make = getattr(type(value), "_make", type(value))
        return make(parts)
    # Fields without init have been derived from the others, and are derived again.
    held = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    new = {name: _walked(own, visit, seen) for name, own in held.items()}
    changed = {name: own for name, own in new.items() if own is not held[name]}
    return replace(value, **changed) if changed else value


def summary(values: list[Floats]) -> dict[str, Any]:
    """Return what tells whether numbers are those of the fit, without the numbers: a checksum, shapes and sums."""
    return {
        "sha256": _digest(values),
        "shapes": [list(own.shape) for own in values],
        "sums": [list(_sums(own)) for own in values],
    }


def check_summary(values: list[Floats], stored: Mapping[str, Any]) -> None:
    """Refuse numbers that are not those of the fit, up to rounding.

    Raises
    ------
    StorageError
    """
    if stored.get("sha256") == _digest(values):
        return
    if stored.get("shapes") != [list(own.shape) for own in values]:
        raise _other_model()
    for own, sums in zip(values, stored.get("sums", []), strict=True):
        size = max(1.0, float(np.sum(np.abs(own), where=np.isfinite(own))))
        if any(abs(a - b) > _CLOSE * size for a, b in zip(_sums(own), sums, strict=True)):
            raise StorageError(
                "The smooths and other functions that this machine computes from the data are not those of the fit, "
                "and the file was saved with data=False, without them. Save it with its data, or load it where it "
                "was made."
            )


def _digest(values: list[Floats]) -> str:
    found = hashlib.sha256()
    for own in values:
        found.update(np.asarray(own, dtype="<f8").tobytes())
    return found.hexdigest()


def _sums(values: Floats) -> tuple[float, float]:
    """Return two sums of the finite values, the second with weights that see their order and sign."""
    flat = np.where(np.isfinite(values), values, 0.0).reshape(-1)
    return float(flat.sum()), float(flat @ np.cos(np.arange(flat.size)))
