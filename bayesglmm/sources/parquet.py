"""Parquet files, read by stretches of rows; pieces are spread by joblib where it is told to."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesglmm.errors import DataError, did_you_mean
from bayesglmm.parallel import parallel_map
from bayesglmm.sources.base import Item, Piece, Result, Source, merged

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 200_000
"""Rows that are decoded at once."""
PIECE = 1_000_000
"""Rows of a piece, unless a row group of a file has more."""

_INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name
_OTHER_FORMATS = (".csv", ".tsv", ".txt", ".xlsx", ".feather", ".arrow", ".json", ".gz", ".zip")


@dataclass(frozen=True)
class _Stretch:
    """Some row groups of a file.

    Attributes
    ----------
    number : int
        Of the piece.
    path : str
    groups : tuple of int
    first : int
        How many rows of the table come before.
    keys : tuple of (str, value)
        Columns that the names of folders hold: ``year=2024/``.
    """

    number: int
    path: str
    groups: tuple[int, ...]
    first: int
    keys: tuple[tuple[str, Any], ...]


class ParquetSource(Source):
    """A parquet file, a folder of them, or several by a pattern.

    Parameters
    ----------
    path : str
        Files are taken in the order of their names; of a folder all below it that end in ``.parquet``, ``.parq`` or
        ``.pq``, and names of folders such as ``year=2024`` are columns.

    Raises
    ------
    DataError
        If there is no such file, no row, or a file whose columns are not those of the first one.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        folder, files = _files(os.path.expanduser(path))
        self._pieces: list[_Stretch] = []
        self._kinds: dict[str, tuple[str, str]] = {}  # of each column: what it holds, and the type in the first file
        rows = 0
        for number, file in enumerate(files):
            rows += self._add(file, number, rows, _keys(folder, file))
        if not rows:
            raise DataError(f"The parquet files of {path!r} hold no rows.")
        self.columns = tuple(self._kinds)
        self._rows = rows

    @property
    def rows(self) -> int:
        return self._rows

    def _add(self, file: str, number: int, before: int, keys: tuple[tuple[str, Any], ...]) -> int:
        """Take in one file; return how many rows it has."""
        metadata, schema = _metadata(file)
        kinds = {field.name: (_kind(field.type), str(field.type)) for field in schema if not _INDEX.match(field.name)}
        kinds |= {key: ("numbers" if isinstance(value, int) else "text", "a folder's name") for key, value in keys}
        if number == 0:
            self._kinds, self._first = kinds, file
        self._check(file, kinds)
        groups: list[int] = []
        held, first = 0, before
        for group in range(metadata.num_row_groups):
            size = metadata.row_group(group).num_rows
            if groups and held + size > PIECE:
                self._pieces.append(_Stretch(len(self._pieces), file, tuple(groups), first, keys))
                groups, first, held = [], first + held, 0
            groups.append(group)
            held += size
        if held:
            self._pieces.append(_Stretch(len(self._pieces), file, tuple(groups), first, keys))
        return int(metadata.num_rows)

    def _check(self, file: str, kinds: dict[str, tuple[str, str]]) -> None:
        for name, (kind, kept) in self._kinds.items():
            if name not in kinds:
                raise DataError(
                    f"The file {file!r} lacks the column {name!r}, which {self._first!r} has. "
                    f"{did_you_mean(name, kinds)} All files need the same columns."
                )
            if kinds[name][0] not in (kind, "nothing") and kind != "nothing":
                raise DataError(
                    f"The column {name!r} holds {kinds[name][0]} ({kinds[name][1]}) in {file!r}, but {kind} ({kept}) "
                    f"in {self._first!r}. Make it one type in all files."
                )
            if kind == "nothing":
                self._kinds[name] = kinds[name]
        for name in kinds:
            if name not in self._kinds:
                raise DataError(
                    f"The file {file!r} has the column {name!r}, which {self._first!r} lacks. "
                    f"{did_you_mean(name, self._kinds)} All files need the same columns."
                )

    def peek(self, names: Sequence[str]) -> pd.DataFrame:
        return next(_frames(self._pieces[0], tuple(names)))

    def fold(
        self,
        names: Sequence[str],
        work: Callable[[Piece], Result],
        merge: Callable[[Result, Result], Result],
    ) -> Result:
        done: Result = merged(parallel_map(partial(_work, tuple(names), work), self._pieces), merge)
        return done

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        return list(parallel_map(work, items))


def _work(names: tuple[str, ...], work: Callable[[Piece], Result], stretch: _Stretch) -> Result:
    return work(Piece(stretch.number, _frames(stretch, names)))


def _frames(stretch: _Stretch, names: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    keys = dict(stretch.keys)
    stored = [name for name in names if name not in keys]
    at = stretch.first
    with pq.ParquetFile(stretch.path) as file:
        batches = file.iter_batches(BATCH, list(stretch.groups), stored, use_threads=False)
        for batch in batches:
            if not batch.num_rows:
                continue
            frame = batch.to_pandas(use_threads=False)
            if any(name not in frame for name in stored):
                frame = frame.reset_index()  # pandas writes a named index as columns, and makes it one again
            index = pd.RangeIndex(at, at + len(frame))
            columns = {name: frame[name].set_axis(index) if name not in keys else keys[name] for name in names}
            at += len(frame)
            yield pd.DataFrame(columns, index=index)


def _files(path: str) -> tuple[str, list[str]]:
    """Return the folder below which the names of folders count, and the files."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise DataError("Reading parquet files needs pyarrow: pip install 'bayesglmm[frames]'.") from None
    if glob.has_magic(path) and not os.path.exists(path):
        found = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
        if not found:
            raise DataError(f"No file matches {path!r} (in {os.getcwd()}). {_nearby(path)}".rstrip())
        fixed = path[: min(path.index(sign) for sign in "*?[" if sign in path)]
        return os.path.dirname(fixed), found
    if os.path.isdir(path):
        found = [
            os.path.join(where, name)
            for where, folders, names in os.walk(path)
            for name in names
            if name.endswith((".parquet", ".parq", ".pq")) and not name.startswith(("_", "."))
        ]
        if not found:
            raise DataError(f"The folder {path!r} holds no parquet file (*.parquet, *.parq, *.pq).")
        return path, sorted(found)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise DataError(
            f"{path!r} is an address, but files are read from folders of this machine alone. Copy them, or give the "
            "data frame of dask.dataframe.read_parquet(...)."
        )
    if not os.path.exists(path):
        raise DataError(
            f"There is no file or folder {path!r}: text as data is a path of parquet files. {_nearby(path)}".rstrip()
        )
    return "", [path]


def _nearby(path: str) -> str:
    folder = os.path.dirname(path)
    while folder and not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    try:
        there = sorted(os.listdir(folder or "."))
    except OSError:  # a folder that may not be read
        return ""
    return did_you_mean(os.path.basename(path), there) if there else ""


def _keys(folder: str, file: str) -> tuple[tuple[str, Any], ...]:
    """Return what the names of the folders of a file say: ``year=2024/part.parquet`` has year 2024."""
    from urllib.parse import unquote

    if not folder:
        return ()
    parts = os.path.relpath(os.path.dirname(file), folder).split(os.sep)
    pairs = [part.split("=", 1) for part in parts if "=" in part]
    return tuple((key, int(value) if re.fullmatch(r"-?\d+", value) else unquote(value)) for key, value in pairs)


def _metadata(file: str) -> tuple[Any, pa.Schema]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            return opened.metadata, opened.schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        hint = ""
        if file.lower().endswith(_OTHER_FORMATS):
            hint = " Read other formats yourself, or write them as parquet: pandas.read_csv(...).to_parquet(...)."
        raise DataError(f"The file {file!r} cannot be read as parquet ({error}).{hint}") from None


def _kind(kind: pa.DataType) -> str:
    """Return what a column holds, as far as files must agree; widths of numbers may differ."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_null(kind):
        return "nothing"
    if types.is_boolean(kind):
        return "truth values"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "numbers"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    return str(kind)
