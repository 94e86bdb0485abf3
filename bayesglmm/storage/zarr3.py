"""zarr folders (format 3): one JSON file and one file of raw numbers per array, written and read without a library.

Chunks, compression and codecs of other kinds are refused on reading. So nothing is unpacked or unpickled: the bytes
of a file are the numbers.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.storage.hdf5 import (
    DOCUMENT,
    SHA256,
    BrokenFileError,
    check_sizes,
    compared,
    declared_bytes,
    parse_document,
)
from bayesglmm.storage.record import Plain, Record, listed, text_of

_TYPES = {"f": "float", "i": "int", "u": "uint"}
_LONGEST = 2**31  # bytes of a document
_PADDED = 4096  # texts are padded to the longest of them, here to at most so many times their own size


def write_zarr(path: Path, record: Record) -> None:
    """Write a record as a new folder.

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
    document, stored = listed(record)
    groups = {"": {SHA256: hashlib.sha256(document).hexdigest()}}
    groups |= {parent: {} for variable in stored for parent in _parents(variable)}
    for name, attrs in record.attrs.items():
        groups[name] = dict(attrs) | groups.get(name, {})
    nodes = {name: _node("group", shown) for name, shown in groups.items()}
    text = Plain(("document_length",), "number", np.frombuffer(document, dtype="|u1"), {})
    for name, own in {DOCUMENT: text, **stored}.items():
        if own.values.size:
            nodes[name] = _array(own)
            chunk = _chunk(path / name, len(nodes[name]["shape"]))
            chunk.parent.mkdir(parents=True)
            chunk.write_bytes(_packed(text_of(own.values)) if own.kind == "text" else own.values.tobytes())
    root = nodes.pop("")
    root["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": nodes}
    for name, node in {"": root, **nodes}.items():
        (path / name).mkdir(parents=True, exist_ok=True)
        (path / name / "zarr.json").write_text(json.dumps(node), encoding="utf-8")


def _parents(variable: str) -> list[str]:
    parts = variable.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _node(kind: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in attributes.items() if isinstance(value, str | int | float)}
    return {"zarr_format": 3, "node_type": kind, "attributes": shown}


def _array(own: Plain) -> dict[str, Any]:
    shape = list(own.values.shape[:-1] if own.kind == "text" else own.values.shape)
    return _node("array", own.attrs) | {
        "shape": shape,
        "data_type": _data_type(own),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": {"text": "", "bool": False}.get(own.kind, 0),
        "codecs": _codecs(own),
        "dimension_names": list(own.dims),
    }


def _data_type(own: Plain) -> str:
    if own.kind != "number":
        return "string" if own.kind == "text" else "bool"
    return f"{_TYPES[own.values.dtype.kind]}{8 * own.values.dtype.itemsize}"


def _codecs(own: Plain) -> list[dict[str, Any]]:
    if own.kind == "text":
        return [{"name": "vlen-utf8"}]
    configuration = {} if own.values.dtype.itemsize == 1 else {"configuration": {"endian": "little"}}
    return [{"name": "bytes"} | configuration]


def _chunk(folder: Path, axes: int) -> Path:
    return folder.joinpath("c", *("0",) * axes)


def _packed(texts: NDArray[Any]) -> bytes:
    """Return texts as zarr's ``vlen-utf8`` has them: their number, then the length and the bytes of each."""
    pieces = [struct.pack("<I", texts.size)]
    for text in texts.flat:
        encoded = str(text).encode()
        pieces += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(pieces)


def _unpacked(raw: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return texts as characters of the given shape (..., width)."""
    *outer, width = shape
    count, place = struct.unpack_from("<I", raw)[0], 4
    if count != int(np.prod(outer, dtype=object)):
        raise ValueError("number of texts")
    texts = []
    for _ in range(count):
        length = struct.unpack_from("<I", raw, place)[0]
        text = raw[place + 4 : place + 4 + length]
        if len(text) != length or length > width:
            raise ValueError("length of a text")
        texts.append(text)
        place += 4 + length
    if place != len(raw):
        raise ValueError("something follows the texts")
    return np.array(texts, dtype=f"S{width}").view("S1").reshape(shape)


def read_zarr(path: Path) -> tuple[bytes, Mapping[str, NDArray[Any]]]:
    """Return the document and the arrays of a folder.

    Raises
    ------
    BrokenFileError
        For a folder that is not one of ours, or no longer what was written.
    """
    place = _chunk(path / DOCUMENT, 1)
    if not place.is_file() or place.is_symlink() or place.stat().st_size > _LONGEST:
        raise BrokenFileError("is a folder, but not one that fit.save() wrote")
    text = place.read_bytes()
    root = _metadata(path)
    attributes = root.get("attributes")
    if not isinstance(attributes, dict) or attributes.get(SHA256) != hashlib.sha256(text).hexdigest():
        raise BrokenFileError("is damaged: the checksum of its document does not agree with its text")
    document = parse_document(text)
    arrays = {}
    for name, entry in document["variables"].items():
        if declared_bytes(entry):
            arrays[name] = compared(name, entry, _read(path, name, entry))
        else:
            arrays[name] = np.empty(entry["shape"], dtype=entry["dtype"])
    return text, arrays


def is_ours(path: Path) -> bool:
    """Return whether a folder is a zarr folder that `write_zarr` made."""
    try:
        return SHA256 in _metadata(path).get("attributes", {})
    except (BrokenFileError, AttributeError, TypeError):
        return False


def _metadata(folder: Path) -> dict[str, Any]:
    place = folder / "zarr.json"
    try:
        if place.is_symlink() or place.stat().st_size > 10_000_000:
            raise ValueError
        found = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise BrokenFileError(f"lacks {place.name} in {folder.name!r}, or it cannot be read") from None
    if not isinstance(found, dict) or found.get("zarr_format") != 3:
        raise BrokenFileError(f"has no zarr format 3 in {folder.name!r}")
    return found


def _read(path: Path, name: str, entry: Mapping[str, Any]) -> NDArray[Any]:
    folder, shape = path / name, tuple(entry["shape"])
    zeros = np.zeros((0,) * len(shape), dtype=entry["dtype"])
    expected = Plain(tuple(entry["dims"]), entry["kind"], zeros, {})
    found = _metadata(folder)
    if found.get("data_type") != _data_type(expected) or found.get("codecs") != _codecs(expected):
        raise BrokenFileError(f"stores {name!r} in another type or by other codecs than fit.save() does")
    axes = len(shape) - (entry["kind"] == "text")
    chunk = _chunk(folder, axes)
    if any(place.is_symlink() for place in (chunk, *chunk.parents[: axes + name.count("/") + 2])):
        raise BrokenFileError(f"has links instead of files for {name!r}")
    try:
        raw = chunk.read_bytes()
    except OSError:
        raise BrokenFileError(f"lacks the numbers of {name!r}") from None
    if entry["kind"] == "text":
        check_sizes({"variables": {name: entry}}, 2**20 + _PADDED * len(raw))
        try:
            return _unpacked(raw, shape)
        except (ValueError, struct.error):
            raise BrokenFileError(f"is damaged: {name!r} holds no texts") from None
    if len(raw) != declared_bytes(entry):
        raise BrokenFileError(f"declares another size for {name!r} than it has: it is incomplete or forged")
    return np.frombuffer(raw, dtype=entry["dtype"]).reshape(shape)
