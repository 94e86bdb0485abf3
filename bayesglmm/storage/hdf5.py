"""Reading the arrays of a netCDF file with every check before any number is read.

This file needs nothing of the package: it is also run by itself, ``python hdf5.py FILE``, in a process of its own
with limits on time and memory, before the process of the user opens the file. HDF5 is a large library in C; a file
made to make it fail should fail there.

Only a small part of HDF5 is accepted: hard links, groups, and contiguous unfiltered arrays of numbers or characters.
So no plugin is loaded, no other file is opened, nothing is unpacked, and an array cannot be larger than the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DOCUMENT = "document"
SHA256 = "document_sha256"
NUMBERS = ("<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")
_DTYPES = {"number": NUMBERS, "bool": ("|i1",), "text": ("|S1",)}
_PATH = re.compile(r"[^/\x00]+(/[^/\x00]+)*")
_MOST_DIMS = 32


class BrokenFileError(ValueError):
    """A file that is not an intact one of ours; the message ends a sentence that begins with its name."""


def digest(values: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's bytes."""
    contiguous = np.ascontiguousarray(values)
    return hashlib.sha256(contiguous.reshape(-1).view(np.uint8).data).hexdigest()


def parse_document(text: bytes) -> dict[str, Any]:
    """Return the document of a file after checking the list of its variables.

    Raises
    ------
    BrokenFileError
        If it is not JSON, or lists what cannot be stored.
    """

    def refused(constant: str) -> Any:
        raise ValueError(constant)

    try:
        document = json.loads(text, parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise BrokenFileError(f"holds a document that cannot be read ({type(error).__name__})") from None
    if not isinstance(document, dict) or not isinstance(document.get("variables"), dict):
        raise BrokenFileError("holds a document without a list of variables")
    for path, entry in document["variables"].items():
        if not _fits(path, entry):
            raise BrokenFileError(f"lists a variable that makes no sense, {path[:80]!r}")
    return document


def _fits(path: str, entry: Any) -> bool:
    if not (_PATH.fullmatch(path) and ".." not in path.split("/") and "." not in path.split("/")):
        return False
    if not isinstance(entry, dict) or set(entry) != {"dims", "kind", "dtype", "shape", "sha256"}:
        return False
    dims, shape = entry["dims"], entry["shape"]
    return (
        isinstance(dims, list)
        and all(isinstance(dim, str) for dim in dims)
        and isinstance(shape, list)
        and all(type(size) is int and 0 <= size < 2**48 for size in shape)
        and len(shape) == len(dims) + (entry["kind"] == "text") <= _MOST_DIMS
        and isinstance(entry["kind"], str)
        and isinstance(entry["sha256"], str)
        and entry["dtype"] in _DTYPES.get(entry["kind"], ())
    )


def declared_bytes(entry: Mapping[str, Any]) -> int:
    """Return how many bytes a listed variable has, in exact integers."""
    size = int(np.dtype(entry["dtype"]).itemsize)
    for length in entry["shape"]:
        size *= length
    return size


def check_sizes(document: Mapping[str, Any], available: int) -> None:
    """Refuse a document that declares more bytes than there are.

    Raises
    ------
    BrokenFileError
    """
    total = sum(declared_bytes(entry) for entry in document["variables"].values())
    if total > available:
        raise BrokenFileError(
            f"declares {total:,} bytes of numbers and has {available:,}: it is incomplete or forged"
        )


def compared(path: str, entry: Mapping[str, Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a variable if they are those that were written.

    Raises
    ------
    BrokenFileError
    """
    if digest(values) != entry["sha256"]:
        raise BrokenFileError(f"is damaged: the checksum of {path!r} does not agree with its numbers")
    return values


def read_arrays(path: str) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """Return the document of a netCDF file and every array that it lists.

    Raises
    ------
    BrokenFileError
        For a file that is not one of ours, or no longer what was written.
    OSError
        If it cannot be opened.
    """
    import h5py

    available = os.path.getsize(path)
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise BrokenFileError(f"is no netCDF file that can be opened ({_first_line(error)})") from None
    with file:
        try:
            return _read(file, available)
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:
            if isinstance(error, BrokenFileError):
                raise
            raise BrokenFileError(f"cannot be read ({_first_line(error)})") from None


def _read(file: Any, available: int) -> tuple[bytes, dict[str, NDArray[Any]]]:
    if DOCUMENT not in file:
        raise BrokenFileError("is a netCDF file, but not one that fit.save() wrote")
    held = _dataset(file, DOCUMENT, "|S1", None, available)
    text = held[()].tobytes()
    wanted = file.attrs.get(SHA256, "")
    if str(wanted) != hashlib.sha256(text).hexdigest():
        raise BrokenFileError("is damaged: the checksum of its document does not agree with its text")
    document = parse_document(text)
    check_sizes(document, available)
    arrays = {}
    for path, entry in document["variables"].items():
        if not declared_bytes(entry):
            arrays[path] = np.empty(entry["shape"], dtype=entry["dtype"])  # nothing is stored of empty arrays
            continue
        found = _dataset(file, path, entry["dtype"], tuple(entry["shape"]), available)
        values = np.empty(found.shape, dtype=found.dtype)
        found.read_direct(values)
        arrays[path] = compared(path, entry, values)
    return text, arrays


def _dataset(file: Any, path: str, dtype: str, shape: tuple[int, ...] | None, available: int) -> Any:
    """Return an array of the file if it is stored in the one way that is accepted."""
    import h5py

    place = file
    for name in path.split("/"):
        if not isinstance(place, h5py.Group) or not isinstance(place.get(name, getlink=True), h5py.HardLink):
            raise BrokenFileError(f"lacks {path!r}")
        place = place[name]
    if not isinstance(place, h5py.Dataset):
        raise BrokenFileError(f"lacks {path!r}")
    stored, made = place.id.get_type(), place.id.get_create_plist()
    simple = stored.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING)
    if not simple or (stored.get_class() == h5py.h5t.STRING and stored.is_variable_str()):
        raise BrokenFileError(f"stores {path!r} as something else than numbers or characters")
    layout = made.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if not layout or made.get_nfilters() or made.get_external_count():
        raise BrokenFileError(f"stores {path!r} in pieces, filtered or elsewhere, which fit.save() does not")
    if place.dtype.str != dtype or (shape is not None and place.shape != shape):
        raise BrokenFileError(f"declares {path!r} with another type or shape than its document")
    size = place.dtype.itemsize
    for length in place.shape:
        size *= int(length)
    if size > available or (size and place.id.get_storage_size() < size):
        raise BrokenFileError(f"declares more numbers for {path!r} than it holds: it is incomplete or forged")
    return place


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def limit(memory: int, seconds: int) -> None:
    """Limit what this process may use, where the system can (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    wanted = {"RLIMIT_AS": memory, "RLIMIT_CPU": seconds, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (allowed, allowed))
        except (OSError, ValueError):
            continue


def main(arguments: list[str]) -> int:
    """Read a file for trial: ``hdf5.py FILE MEMORY SECONDS``; return 0 if all is well, 3 with a reason if not."""
    path, memory, seconds = arguments
    limit(int(memory), int(seconds))
    try:
        read_arrays(path)
    except (BrokenFileError, OSError, MemoryError) as error:
        sys.stderr.write(_first_line(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
