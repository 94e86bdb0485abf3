"""The numbers of all rows in a folder: chunks as they are read, then parts by the levels of a grouping factor.

Files are Arrow's, uncompressed, with a column per number of a row: a part is read through the memory map of its
file, so that the system's cache holds what is used often.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Ints, Predictor, RandomBlock, Response
from bayesglmm.design.stored.moments import BY_ROW
from bayesglmm.errors import DataError
from bayesglmm.parts import PartRows, RandomRows

if TYPE_CHECKING:
    import pyarrow as pa

SCRATCH = "BAYESGLMM_SCRATCH"
"""Environment variable: where folders for the numbers of models are made."""
ORDER = "order"
"""Column of chunks: by what their rows are sorted into parts."""


class Spool:
    """A folder that is removed with this object, or when Python ends.

    Parameters
    ----------
    below : path, optional
        Where it is made; else where the environment variable ``BAYESGLMM_SCRATCH`` says, or among temporary files.

    Raises
    ------
    DataError
        If nothing can be written there.
    """

    def __init__(self, below: str | os.PathLike[str] | None = None) -> None:
        chosen = below if below is not None else os.environ.get(SCRATCH)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="bayesglmm-", dir=chosen))
        except OSError as error:
            raise DataError(
                f"The numbers of the rows cannot be kept in {os.fspath(chosen or tempfile.gettempdir())!r}: {error}. "
                f"Name a folder with scratch=, or with the environment variable {SCRATCH}."
            ) from None
        self._remove = weakref.finalize(self, _removed, os.getpid(), self.folder)

    def remove(self) -> None:
        """Remove the folder now."""
        self._remove()


def _removed(owner: int, folder: Path) -> None:
    if os.getpid() == owner:  # not where a process was forked from its maker
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class BlockLayout:
    """How the rows of a random block are kept.

    Attributes
    ----------
    levels : int
    columns : int
    ones : bool
        Whether the one column is constant, so that it need not be kept.
    """

    levels: int
    columns: int
    ones: bool


@dataclass(frozen=True, eq=False)
class PredictorLayout:
    """How the rows of a predictor are kept.

    Attributes
    ----------
    columns : int
        Population columns.
    intercept : int or None
        Which of them is constant and not kept.
    offset : bool
    blocks : tuple of BlockLayout
    """

    columns: int
    intercept: int | None
    offset: bool
    blocks: tuple[BlockLayout, ...]

    @classmethod
    def of(cls, predictor: Predictor) -> PredictorLayout:
        """Return the layout of a predictor."""
        blocks = tuple(_block_layout(block) for block in predictor.random)
        return cls(len(predictor.columns), predictor.intercept, predictor.offset is not None, blocks)


def _block_layout(block: RandomBlock) -> BlockLayout:
    ones = block.kind == "group" and block.columns == ("Intercept",) and block.portion is None
    return BlockLayout(len(block.levels), block.X.shape[1], ones)


@dataclass(frozen=True, eq=False)
class Layout:
    """How rows are kept: which columns a file has, and what they become.

    Attributes
    ----------
    predictors : tuple of PredictorLayout
        The distinct ones.
    which : tuple of int
        For each predictor of the model, in order, which of these it is.
    name : str
        Of the response.
    categories : tuple of str
    order : tuple of int, or None
        Predictor and random block by whose levels rows are sorted; None keeps their order.
    """

    predictors: tuple[PredictorLayout, ...]
    which: tuple[int, ...]
    name: str
    categories: tuple[str, ...]
    order: tuple[int, int] | None

    def table(self, response: Response, predictors: Sequence[Predictor]) -> pa.Table:
        """Return the numbers of some rows, `order` first."""
        import pyarrow as pa

        n = len(response.y)
        found: dict[str, Any] = {ORDER: np.zeros(n, dtype=np.int64)}
        if self.order is not None:
            found[ORDER] = predictors[self.order[0]].random[self.order[1]].index.astype(np.int64)
        for name in BY_ROW:
            values = getattr(response, name)
            if values is not None and name != "rows":
                found[name] = np.asarray(values)
        for p, (own, layout) in enumerate(zip(predictors, self.predictors, strict=True)):
            X = own.X
            found |= {f"X{p}_{j}": X[:, j] for j in range(layout.columns) if j != layout.intercept}
            if layout.offset:
                found[f"offset{p}"] = own.offset
            for b, (block, kept) in enumerate(zip(own.random, layout.blocks, strict=True)):
                if kept.levels > 1:
                    found[f"index{p}_{b}"] = block.index.astype(np.int32)
                if not kept.ones:
                    found |= {f"Z{p}_{b}_{j}": block.X[:, j] for j in range(kept.columns)}
        return pa.table({name: np.ascontiguousarray(values) for name, values in found.items()})

    def rows(self, table: pa.Table, levels: Sequence[Sequence[int] | None]) -> PartRows:
        """Return the rows of a part from its file.

        Parameters
        ----------
        table : pyarrow.Table
        levels : sequence
            `Part.levels`.
        """
        n = table.num_rows
        given = {name: _array(table, name) for name in BY_ROW if name in table.column_names}
        response = Response(self.name, given.pop("y"), categories=self.categories, **given)
        fixed, offsets, random, at = [], [], [], 0
        for which in self.which:
            layout = self.predictors[which]
            X = np.ones((n, layout.columns), order="F")
            for j in range(layout.columns):
                if j != layout.intercept:
                    X[:, j] = _array(table, f"X{which}_{j}")
            fixed.append(X)
            offsets.append(_array(table, f"offset{which}") if layout.offset else None)
            for b, block in enumerate(layout.blocks):
                random.append(_random(table, f"{which}_{b}", block, levels[at]))
                at += 1
        return PartRows(response, tuple(fixed), tuple(offsets), tuple(random))


def _random(table: pa.Table, key: str, block: BlockLayout, levels: Sequence[int] | None) -> RandomRows:
    n = table.num_rows
    index: Ints = np.zeros(n, dtype=np.intp)
    if block.levels > 1:
        index = _array(table, f"index{key}").astype(np.intp)
    if isinstance(levels, range):
        index = index - levels.start
    elif levels is not None:
        index = np.searchsorted(np.asarray(levels), index)
    Z: Floats = np.ones((n, block.columns), order="F")
    if not block.ones:
        for j in range(block.columns):
            Z[:, j] = _array(table, f"Z{key}_{j}")
    return RandomRows(index, Z)


def _array(table: pa.Table, name: str) -> Any:
    return table.column(name).combine_chunks().to_numpy(zero_copy_only=False)


@dataclass(frozen=True, eq=False)
class SpooledPart:
    """Rows in a file; a `bayesglmm.parts.Part`.

    Attributes
    ----------
    path : str
    rows : int
    levels : tuple of (sequence of int, or None)
    layout : Layout
    """

    path: str
    rows: int
    levels: tuple[Sequence[int] | None, ...]
    layout: Layout

    def load(self) -> PartRows:
        """Return the rows.

        Raises
        ------
        DataError
            If the file is gone, or this machine does not see it.
        """
        try:
            table = read(self.path)
        except OSError as error:
            raise DataError(
                f"The numbers of the model's rows cannot be read ({error}). They live as long as the model, in a "
                f"folder that all workers must see: name one with scratch=, or with {SCRATCH}."
            ) from None
        return self.layout.rows(table, self.levels)


def write(table: pa.Table, path: Path) -> None:
    """Write a file; whoever reads it sees it whole or not at all."""
    import pyarrow as pa

    partial = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    partial.replace(path)


def read(path: str | Path) -> pa.Table:
    """Return the table of a file, through its memory map."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
