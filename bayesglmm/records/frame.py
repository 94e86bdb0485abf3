"""Data frames as arrays, and their fingerprint.

What is kept of a column is what the model sees of it (`design.frame.convert`): numbers, or levels and codes. A frame
that has been stored and read gives the same model, whatever pandas called its types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.design.frame import convert, select
from bayesglmm.errors import DataError, StorageError
from bayesglmm.records.fields import array, take, texts
from bayesglmm.storage import Variable
from bayesglmm.terms.columns import Factor, Numeric

ROW = "row"
_LEVEL = "level"
_EXACT = 2**53  # integers up to here are floats, too
_UNITS = ("s", "ms", "us", "ns")


def frame_hash(frame: pd.DataFrame) -> str:
    """Return a fingerprint of the columns: equal for frames that mean the same.

    Numbers count by their value, text and categories by their levels in their order; the index does not count, nor
    the order of the columns.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    found = hashlib.sha256()
    for name in sorted(map(str, frame.columns)):
        value = convert(name, frame[name]).value
        found.update(repr((name, len(frame))).encode())
        match value:
            case Numeric(values):
                floats = np.asarray(values, dtype="<f8")
                exact = values.dtype.kind == "f" or bool(np.all((values <= _EXACT) & (values >= -_EXACT)))
                floats = np.where(np.isnan(floats), np.nan, floats) + 0.0  # one nan, one zero
                found.update(floats.tobytes() if exact else np.asarray(values, dtype="<u8").tobytes())
            case Factor():
                found.update(repr((value.levels, value.ordered, value.boolean)).encode())
                found.update(np.asarray(value.codes, dtype="<i8").tobytes())
    return found.hexdigest()


def pack_frame(frame: pd.DataFrame, head: str) -> tuple[dict[str, Any], dict[str, Variable]]:
    """Return a frame as a document and arrays.

    Parameters
    ----------
    frame : DataFrame
        Numbers, truth values, text, categories.
    head : str
        Path of the group of the arrays.
    """
    columns: list[dict[str, Any]] = []
    variables: dict[str, Variable] = {}
    for j, name in enumerate(frame.columns):
        entry, own = _pack_column(str(name), frame[name], f"column_{j}")
        columns.append(entry)
        variables |= {f"{head}/{key}": variable for key, variable in own.items()}
    index, own = _pack_index(frame.index)
    variables |= {f"{head}/{key}": variable for key, variable in own.items()}
    return {"rows": len(frame), "columns": columns, "index": index}, variables


def _pack_column(name: str, series: pd.Series[Any], key: str) -> tuple[dict[str, Any], dict[str, Variable]]:
    value = convert(name, series).value
    match value:
        case Numeric(values):
            if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iuf":
                values = series.to_numpy()
            return {"name": name, "kind": "number"}, {key: Variable((ROW,), values, {"column": name})}
    levels = np.array(value.levels, dtype=object)
    plain_text = not isinstance(series.dtype, pd.CategoricalDtype) and all(
        isinstance(distinct, str) for distinct in series.dropna().unique()
    )
    kind = "boolean" if value.boolean else "text" if plain_text else "category"
    codes = np.asarray(value.codes, dtype=np.int64)
    codes = codes.astype(np.int32) if len(levels) < 2**31 else codes
    labels = Variable((f"{_LEVEL}_{key}",), levels)
    entry = {"name": name, "kind": kind, "ordered": value.ordered}
    return entry, {key: Variable((ROW,), codes, {"column": name}), f"{key}_levels": labels}


def _pack_index(index: pd.Index[Any]) -> tuple[dict[str, Any], dict[str, Variable]]:
    if isinstance(index, pd.MultiIndex):
        parts = [_pack_index(index.get_level_values(i)) for i in range(index.nlevels)]
        own = {f"{key}_{i}": variable for i, (_, found) in enumerate(parts) for key, variable in found.items()}
        return {"kind": "levels", "levels": [entry for entry, _ in parts]}, own
    name = None if index.name is None else str(index.name)
    if isinstance(index, pd.RangeIndex):
        return {"kind": "range", "name": name, "start": index.start, "stop": index.stop, "step": index.step}, {}
    if isinstance(index, pd.DatetimeIndex) and index.tz is None:
        values = index.to_numpy()
        entry = {"kind": "time", "name": name, "unit": np.datetime_data(values.dtype)[0]}
        return entry, {"index": Variable((ROW,), values.astype(np.int64))}
    if isinstance(index.dtype, np.dtype) and index.dtype.kind in "iuf":
        return {"kind": "number", "name": name}, {"index": Variable((ROW,), index.to_numpy())}
    labels = np.array([str(label) for label in index], dtype=object)
    return {"kind": "text", "name": name}, {"index": Variable((ROW,), labels)}


def unpack_frame(document: Mapping[str, Any], variables: Mapping[str, Variable], head: str) -> pd.DataFrame:
    """Return the frame of `pack_frame`.

    Raises
    ------
    StorageError
        If document and arrays do not make a frame.
    """
    rows = take(document, "rows", int)
    columns = {}
    for j, entry in enumerate(take(document, "columns", list)):
        if not isinstance(entry, dict):
            raise StorageError("The document lists a column that makes no sense.")
        values = _unpack_column(entry, variables, f"{head}/column_{j}")
        if len(values) != rows:
            raise StorageError(f"The column {take(entry, 'name', str)!r} has not as many rows as the data.")
        columns[take(entry, "name", str)] = values
    index = _unpack_index(take(document, "index", dict), variables, f"{head}/index", rows)
    return pd.DataFrame(columns, index=index)


def _unpack_column(entry: Mapping[str, Any], variables: Mapping[str, Variable], path: str) -> Any:
    kind = take(entry, "kind", str)
    if kind == "number":
        return array(variables, path, "iuf")
    codes, levels = array(variables, path, "i"), array(variables, f"{path}_levels", "O")
    if codes.ndim != 1 or levels.ndim != 1 or np.any((codes < -1) | (codes >= len(levels))):
        raise StorageError(f"The codes of the column {take(entry, 'name', str)!r} do not fit its levels.")
    if len(set(levels.tolist())) < len(levels):
        raise StorageError(f"The column {take(entry, 'name', str)!r} has a level twice.")
    if kind == "boolean":
        if levels.tolist() != ["False", "True"]:
            raise StorageError("Truth values are False and True.")
        return codes == 1 if codes.min(initial=0) >= 0 else pd.Categorical.from_codes(codes, pd.Index([False, True]))
    if kind == "text":
        return np.array([*levels.tolist(), None], dtype=object)[codes]
    return pd.Categorical.from_codes(codes, levels.tolist(), ordered=take(entry, "ordered", bool))


def _unpack_index(entry: Mapping[str, Any], variables: Mapping[str, Variable], path: str, rows: int) -> Any:
    kind = take(entry, "kind", str)
    if kind == "levels":
        parts = [_unpack_index(own, variables, f"{path}_{i}", rows) for i, own in enumerate(entry["levels"])]
        return pd.MultiIndex.from_arrays(parts, names=[part.name for part in parts])
    name = None if entry.get("name") is None else take(entry, "name", str)
    if kind == "range":
        start, stop, step = (take(entry, key, int) for key in ("start", "stop", "step"))
        found: Any = pd.RangeIndex(start, stop, step, name=name)
    elif kind == "time":
        unit = take(entry, "unit", str)
        if unit not in _UNITS:
            raise StorageError("The index has times in a unit that makes no sense.")
        found = pd.DatetimeIndex(array(variables, path, "i").astype(f"datetime64[{unit}]"), name=name)
    else:
        found = pd.Index(array(variables, path, "iuf" if kind == "number" else "O"), name=name)
    if len(found) != rows:
        raise StorageError("The index has not as many labels as the data have rows.")
    return found


def same_data(frame: pd.DataFrame, names: Iterable[str], sha256: str) -> pd.DataFrame:
    """Return those columns of the user's data that the model uses, if they are those of the fit.

    Raises
    ------
    DataError
        If a column lacks, or the numbers are others.
    """
    names = list(names)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"The data lack the column {', '.join(map(repr, missing))}, which the fit was made from.")
    chosen = select(frame, names)
    if frame_hash(chosen) != sha256:
        raise DataError(
            "These are not the data that the fit was made from: their fingerprint is another one. It counts the "
            f"values of {', '.join(map(repr, names))}, in the order of the rows, and the levels of factors."
        )
    return chosen


def listed_columns(document: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns of a packed frame."""
    columns = take(document, "columns", list)
    return texts({"names": [entry.get("name") if isinstance(entry, dict) else None for entry in columns]}, "names")
