"""Files by suffix: written whole or not at all, read with every check."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bayesglmm.errors import StorageError
from bayesglmm.storage.hdf5 import BrokenFileError
from bayesglmm.storage.netcdf import read_netcdf, write_netcdf
from bayesglmm.storage.record import Record, record_of
from bayesglmm.storage.zarr3 import is_ours, read_zarr, write_zarr

_WRITERS: dict[str, Callable[[Path, Record], None]] = {".nc": write_netcdf, ".zarr": write_zarr}


def kind_of(path: Path) -> str:
    """Return the suffix that says how a file is written.

    Raises
    ------
    StorageError
        If it is none that is known.
    """
    if path.suffix not in _WRITERS:
        raise StorageError(
            f"{str(path)!r}: the suffix says how to store, .nc (netCDF, one file) or .zarr (a folder), not "
            f"{path.suffix!r}. For example {path.with_suffix('.nc').name!r}."
        )
    return path.suffix


def write(path: str | os.PathLike[str], record: Record) -> Path:
    """Write a file; what was there before is replaced only when the new one is complete.

    Parameters
    ----------
    path : path
        Ends in ``.nc`` or ``.zarr``.
    record : Record

    Returns
    -------
    Path

    Raises
    ------
    StorageError
        For another suffix, a folder that is missing, or a place where something else is.
    """
    target = Path(path)
    suffix = kind_of(target)
    if not target.parent.is_dir():
        raise StorageError(f"There is no folder {str(target.parent)!r} to save in; make it first.")
    if suffix == ".nc" and target.is_dir():
        raise StorageError(f"{str(target)!r} is a folder; a netCDF file cannot take its place.")
    if suffix == ".zarr" and target.exists() and not (target.is_dir() and is_ours(target)):
        raise StorageError(
            f"{str(target)!r} exists and is not a saved fit: it is left as it is. Choose another name."
        )
    try:
        with _beside(target) as made:
            _WRITERS[suffix](made, record)
            _settle(made, target)
    except OSError as error:
        raise StorageError(f"{str(target)!r} could not be written: {error.strerror or error}.") from error
    return target


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a place in the same folder, in a hidden one that is gone afterwards whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield folder / target.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settle(made: Path, target: Path) -> None:
    """Put what was made in its place. A folder cannot replace another at once: the old one steps aside first."""
    files = [made] if made.is_file() else [file for file in made.rglob("*") if file.is_file()]
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if made.is_file() or not target.exists():
        os.replace(made, target)
        return
    aside = made.with_name("before")
    os.replace(target, aside)
    try:
        os.replace(made, target)
    except BaseException:
        os.replace(aside, target)
        raise


def read(path: str | os.PathLike[str]) -> Record:
    """Read a file that `write` made.

    Parameters
    ----------
    path : path
        A netCDF file or a zarr folder.

    Returns
    -------
    Record

    Raises
    ------
    StorageError
        If there is none, or it is not intact.
    """
    place = Path(path)
    if not place.exists():
        raise StorageError(f"There is no file {str(place)!r}.")
    try:
        document, arrays = _reader(place)(place)
        return record_of(document, arrays)
    except BrokenFileError as error:
        raise StorageError(f"{str(place)!r} {error}.") from None
    except OSError as error:
        raise StorageError(f"{str(place)!r} could not be read: {error.strerror or error}.") from error


def _reader(place: Path) -> Callable[[Path], tuple[bytes, Mapping[str, NDArray[Any]]]]:
    return read_zarr if place.is_dir() else read_netcdf
