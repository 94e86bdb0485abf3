"""netCDF files: written through h5netcdf, so that xarray, ArviZ, R and Julia read them; read with `hdf5` alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.storage import hdf5
from bayesglmm.storage.record import Plain, Record, listed

LEAST_SECONDS = 30
"""Processor time that any file may take to be read for trial."""
_LONGEST_ATTRIBUTE = 16_000  # bytes; HDF5 keeps attributes of up to 64 kB in an object's header, all of them together


def write_netcdf(path: Path, record: Record) -> None:
    """Write a record as a new file.

    Parameters
    ----------
    path : Path
        Does not exist.
    record : Record

    Raises
    ------
    StorageError
        For variables that cannot be stored.
    """
    import h5netcdf

    document, stored = listed(record)
    with h5netcdf.File(path, "w") as file:
        text = np.frombuffer(document, dtype="S1")
        file.dimensions["document_length"] = len(text)
        file.create_variable(hdf5.DOCUMENT, ("document_length",), "S1", data=text)
        file.attrs[hdf5.SHA256] = hashlib.sha256(document).hexdigest()
        for name, attrs in record.attrs.items():
            group = _group(file, name)
            group.attrs.update(_shown(attrs, set(group.attrs)))
        for variable, own in stored.items():
            if own.values.size:  # a dimension of length zero would be one without a limit
                _write(file, variable, own)


def _group(file: Any, path: str) -> Any:
    for name in filter(None, path.split("/")):
        file = file.groups[name] if name in file.groups else file.create_group(name)
    return file


def _write(file: Any, path: str, own: Plain) -> None:
    head, _, name = path.rpartition("/")
    group = _group(file, head)
    dims = list(own.dims)
    attrs = _shown(own.attrs, set())
    if own.kind == "text":
        dims.append(f"string{own.values.shape[-1]}")
        attrs["_Encoding"] = "utf-8"
    elif own.kind == "bool":
        attrs["dtype"] = "bool"  # as xarray marks them
    for dim, size in zip(dims, own.values.shape, strict=True):
        if dim not in group.dimensions:
            group.dimensions[dim] = size
    made = group.create_variable(name, tuple(dims), own.values.dtype, data=own.values)
    made.attrs.update(attrs)


def _shown(attrs: Mapping[str, Any], taken: set[str]) -> dict[str, Any]:
    """Return the attributes that other programs can be shown; the document holds all of them."""
    found: dict[str, Any] = {}
    room = 2 * _LONGEST_ATTRIBUTE
    for name, value in attrs.items():
        plain = isinstance(value, str | int | float) and not isinstance(value, bool) and name.isidentifier()
        size = len(str(value).encode(errors="replace"))
        if plain and name not in taken and value != "" and size <= min(room, _LONGEST_ATTRIBUTE):
            found[name], room = value, room - size
    return found


def read_netcdf(path: Path) -> tuple[bytes, Mapping[str, NDArray[Any]]]:
    """Return the document and the arrays of a file, after a trial in a process of its own.

    Raises
    ------
    BrokenFileError
        For a file that is not one of ours, or no longer what was written.
    """
    _trial(path)
    return hdf5.read_arrays(str(path))


def _trial(path: Path) -> None:
    size = path.stat().st_size
    memory, seconds = 2 * 2**30 + 2 * size, LEAST_SECONDS + size // 20_000_000
    # `-I`: neither the working folder nor PYTHONPATH is searched for modules
    command = [sys.executable, "-I", hdf5.__file__, str(path.absolute()), str(memory), str(seconds)]
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HDF5_")} | single
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=3 * seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise hdf5.BrokenFileError("takes longer to read than a file of its size can: it was given up") from None
    if done.returncode == 3:
        raise hdf5.BrokenFileError(done.stderr.decode(errors="replace") or "cannot be read")
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or [f"code {done.returncode}"])[-1]
        raise hdf5.BrokenFileError(f"made the process that read it for trial fail ({said[:200]})")
