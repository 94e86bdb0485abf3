"""Reading a document that somebody else may have written: every value is asked for with its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.errors import StorageError
from bayesglmm.storage import Variable


def take[T](document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """Return an entry of a document.

    Raises
    ------
    StorageError
        If it is missing or of another type.
    """
    found = document.get(name) if isinstance(document, Mapping) else None
    if kind is float and type(found) is int:
        found = float(found)
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise StorageError(
            f"The document lacks {name!r}, or it is no {kind.__name__}: the file was not made by save()."
        )
    return found


def texts(document: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of text; see `take`."""
    found = take(document, name, list)
    if not all(isinstance(text, str) for text in found):
        raise StorageError(f"The document holds something else than text in {name!r}.")
    return found


def array(variables: Mapping[str, Variable], path: str, kinds: str) -> Any:
    """Return the values of a variable.

    Parameters
    ----------
    variables : mapping of str to Variable
    path : str
    kinds : str
        Kinds of numpy types that are allowed: ``"iuf"``, ``"O"`` for text.

    Raises
    ------
    StorageError
        If there is none, or it is of another kind.
    """
    if path not in variables or variables[path].values.dtype.kind not in kinds:
        raise StorageError(f"The file lacks the array {path!r}, or it is of another kind.")
    return variables[path].values


def number(value: Any) -> float:
    """Return a number that `written` wrote.

    Raises
    ------
    StorageError
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if value in ("inf", "-inf"):
        return float(value)
    raise StorageError(f"The document holds {str(value)[:40]!r} where a number belongs.")


def written(value: float) -> float | str:
    """Return a number as JSON can hold it."""
    return str(float(value)) if value in (float("inf"), -float("inf")) else float(value)
