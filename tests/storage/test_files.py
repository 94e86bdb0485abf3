"""Files as such: what is written is read, whole or not at all, and what is broken or hostile is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bayesglmm.errors import StorageError
from bayesglmm.storage import Record, Variable, files, hdf5, netcdf, read, write

SUFFIXES = (".nc", ".zarr")


def record() -> Record:
    rng = np.random.default_rng(1)
    variables = {
        "posterior/beta": Variable(("chain", "draw", "column"), rng.normal(size=(2, 30, 3)), {"kind": "Größe"}),
        "posterior/column": Variable(("column",), np.array(["Intercept", "größe", ""], dtype=object)),
        "posterior/chain": Variable(("chain",), np.arange(2)),
        "stats/diverging": Variable(("chain",), np.array([True, False])),
        "stats/small": Variable(("chain",), np.array([1, 200], dtype=np.uint8)),
        "stats/single": Variable(("chain",), np.array([0.1, np.nan], dtype=np.float32)),
        "other/scalar": Variable((), np.array(2.5)),
        "other/word": Variable((), np.array("one", dtype=object)),
        "other/nothing": Variable(("none",), np.zeros(0)),
        "other/no_words": Variable(("none",), np.array([], dtype=object)),
        "other/nested/deep": Variable(("i", "j"), np.array([["a", "bb"], ["ccc", "d"]])),
    }
    return Record(
        {"words": ["ä", None, 1.5]}, variables, {"": {"title": "ein Titel"}, "posterior": {"long": "x" * 10**5}}
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read(suffix: str, tmp_path: Path) -> None:
    written = record()
    assert write(tmp_path / f"file{suffix}", written) == tmp_path / f"file{suffix}"
    found = read(tmp_path / f"file{suffix}")
    assert found.document == written.document
    assert set(found.variables) == set(written.variables)
    for path, variable in written.variables.items():
        own, values = np.asarray(variable.values), found.variables[path].values
        assert found.variables[path].dims == variable.dims
        assert values.shape == own.shape
        assert values.dtype == (object if own.dtype.kind in "UO" else own.dtype)
        np.testing.assert_array_equal(values, own)
    assert [file.name for file in tmp_path.iterdir()] == [f"file{suffix}"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([object()]), "cannot be stored, only numbers and text"),
        (np.array([1j]), "complex128 cannot be stored"),
        (np.array([None, "a"], dtype=object), "cannot be stored"),
        (np.array(["a\0b"]), "character NUL"),
        (np.array(["\ud800"]), "not valid Unicode"),
    ],
)
def test_other_values_are_refused_before_anything_is_written(values: Any, message: str, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        with pytest.raises(StorageError, match=message):
            write(tmp_path / f"file{suffix}", Record({}, {"a/b": Variable(("i",), values)}))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ whole or not


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("No space left on device"), MemoryError])
def test_what_was_there_survives_a_failure(
    suffix: str, failure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / f"file{suffix}", record())
    writer = files._WRITERS[suffix]

    def failing(place: Path, given: Record) -> None:
        writer(place, given)
        raise failure

    with monkeypatch.context() as context:
        context.setitem(files._WRITERS, suffix, failing)  # type: ignore[arg-type]
        with pytest.raises((KeyboardInterrupt, StorageError, MemoryError)):
            write(path, Record({"other": 1}, {}))
    assert read(path).document == record().document
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_was_there_survives_a_failure_of_the_last_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "file.zarr", record())
    replace, calls = os.replace, []

    def failing(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(KeyboardInterrupt):
        write(path, Record({"other": 1}, {}))
    assert len(calls) == 3
    assert read(path).document == record().document
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_replaced(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"file{suffix}", record())
    path = write(tmp_path / f"file{suffix}", Record({"other": 1}, {}))
    assert read(path).document == {"other": 1}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"\.nc \(netCDF, one file\) or \.zarr .* not '\.pkl'.*'fit\.nc'"):
        write(tmp_path / "fit.pkl", record())
    with pytest.raises(StorageError, match="There is no folder"):
        write(tmp_path / "missing" / "fit.nc", record())
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="is not a saved fit: it is left as it is"):
        write(tmp_path / "mine.zarr", record())
    assert (tmp_path / "mine.zarr" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "folder.nc").mkdir()
    with pytest.raises(StorageError, match="is a folder"):
        write(tmp_path / "folder.nc", record())


# ------------------------------------------------------------------------------------------ broken and foreign


def test_files_that_are_none_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="There is no file"):
        read(tmp_path / "missing.nc")
    (tmp_path / "text.nc").write_text("not netCDF")
    with pytest.raises(StorageError, match="is no netCDF file that can be opened"):
        read(tmp_path / "text.nc")
    (tmp_path / "empty.nc").touch()
    with pytest.raises(StorageError, match="is no netCDF file"):
        read(tmp_path / "empty.nc")
    with h5py.File(tmp_path / "other.nc", "w") as file:
        file["x"] = 1.0
    with pytest.raises(StorageError, match=r"not one that fit\.save"):
        read(tmp_path / "other.nc")
    (tmp_path / "folder.zarr").mkdir()
    with pytest.raises(StorageError, match=r"is a folder, but not one that fit\.save"):
        read(tmp_path / "folder.zarr")


def broken_netcdf(raw: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.4:
        return raw[: rng.integers(len(raw))]
    changed = bytearray(raw)
    for place in rng.integers(0, len(raw), size=rng.integers(1, 20)):
        changed[place] = rng.integers(256)
    return bytes(changed)


def test_damaged_netcdf_is_refused_or_unharmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process: the trial in another one is tested on its own, and takes longer."""
    monkeypatch.setattr(netcdf, "_trial", lambda path: None)
    raw = write(tmp_path / "file.nc", record()).read_bytes()
    rng, refused = np.random.default_rng(3), 0
    for _ in range(150):
        (tmp_path / "broken.nc").write_bytes(broken_netcdf(raw, rng))
        try:
            found = read(tmp_path / "broken.nc")
        except StorageError:
            refused += 1
        else:  # what was hit is metadata that nobody reads
            np.testing.assert_array_equal(
                found.variables["posterior/beta"].values, record().variables["posterior/beta"].values
            )
    assert refused > 75


def test_damaged_zarr_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "file.zarr", record())
    chunks = sorted(file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")
    assert len(chunks) == 10
    for chunk in chunks:
        raw = chunk.read_bytes()
        for changed in (raw[:-1], bytes([raw[0] ^ 1]) + raw[1:], raw + b"\0", b""):
            chunk.write_bytes(changed)
            with pytest.raises(StorageError):
                read(path)
        chunk.unlink()
        with pytest.raises(StorageError):
            read(path)
        chunk.write_bytes(raw)
    assert read(path).document == record().document


# ------------------------------------------------------------------------------------------------- hostile


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def forge(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the document of a file and its checksum with it."""
    if path.is_dir():
        place = path / "document" / "c" / "0"
        document = json.loads(place.read_bytes())
        change(document)
        place.write_bytes(json.dumps(document).encode())
        root = json.loads((path / "zarr.json").read_bytes())
        root["attributes"][hdf5.SHA256] = hashlib.sha256(place.read_bytes()).hexdigest()
        (path / "zarr.json").write_text(json.dumps(root))
        return
    with h5py.File(path, "r+") as file:
        document = json.loads(file["document"][()].tobytes())
        change(document)
        text = json.dumps(document).encode()
        del file["document"]
        file["document"] = np.frombuffer(text, dtype="S1")
        file.attrs[hdf5.SHA256] = hashlib.sha256(text).hexdigest()


def huge(document: dict[str, Any]) -> None:
    document["variables"]["posterior/beta"]["shape"] = [2, 2**40, 3]


def endless(document: dict[str, Any]) -> None:
    document["variables"]["posterior/beta"]["shape"] = [2**47, 2**47, 2**47]


def outside(document: dict[str, Any]) -> None:
    document["variables"]["../../secret"] = document["variables"]["posterior/beta"]


def objects(document: dict[str, Any]) -> None:
    document["variables"]["posterior/beta"]["dtype"] = "|O"


def structured(document: dict[str, Any]) -> None:
    document["variables"]["posterior/beta"]["dtype"] = "<f8,<f8"


def nonsense(document: dict[str, Any]) -> None:
    document["variables"]["posterior/beta"] = {"dims": 1}


def no_list(document: dict[str, Any]) -> None:
    document["variables"] = ["posterior/beta"]


def wide_text(document: dict[str, Any]) -> None:
    document["variables"]["posterior/column"]["shape"] = [3, 2**40]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("change", [huge, endless, outside, objects, structured, nonsense, no_list, wide_text])
def test_forged_documents_are_refused(
    suffix: str, change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netcdf, "_trial", lambda path: None)
    path = write(tmp_path / f"file{suffix}", record())
    forge(path, lambda document: None)
    assert read(path).document == record().document
    forge(path, change)
    with pytest.raises(
        StorageError, match=r"declares|lists|without a list|type or shape|cannot be read|texts|other codecs"
    ):
        read(path)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"variables": {}, "a": NaN}', b"\xff", b"{}", b"[]"])
def test_documents_that_are_no_documents_are_refused(text: bytes) -> None:
    with pytest.raises(hdf5.BrokenFileError):
        hdf5.parse_document(text)


def replaced(file: Any, **creation: Any) -> None:
    values = file["posterior/beta"][()]
    del file["posterior/beta"]
    file["posterior"].create_dataset("beta", **({"data": values} | creation))


def external(file: Any) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(bytes(2 * 30 * 3 * 8))
    replaced(file, data=None, shape=(2, 30, 3), dtype="<f8", external=[(str(secret), 0, 1440)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(2, 30, 3), dtype="<f8")
    layout[:] = h5py.VirtualSource(file.filename + ".other", "x", shape=(2, 30, 3))
    del file["posterior/beta"]
    file["posterior"].create_virtual_dataset("beta", layout)


def linked(link: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file["posterior/beta"]
        file["posterior/beta"] = link

    return change


def variable_text(file: Any) -> None:
    replaced(file, data=np.full((2, 30, 3), "text", dtype=object), dtype=h5py.string_dtype())


def opaque(file: Any) -> None:
    pickled = np.void(pickle.dumps(Bomb(Path(file.filename).with_name("executed"))))
    replaced(file, data=np.full((2, 30, 3), pickled))


def never_written(file: Any) -> None:
    replaced(file, data=None, shape=(2, 30, 3), dtype="<f8")


HOSTILE = {
    "external storage": (external, "elsewhere"),
    "virtual": (virtual, "in pieces, filtered or elsewhere"),
    "external link": (linked(h5py.ExternalLink("other.nc", "/x")), "lacks 'posterior/beta'"),
    "soft link": (linked(h5py.SoftLink("/other/scalar")), "lacks 'posterior/beta'"),
    "group": (lambda file: (file.__delitem__("posterior/beta"), file.create_group("posterior/beta")), "lacks"),
    "compressed": (lambda file: replaced(file, compression="gzip"), "in pieces, filtered"),
    "chunked": (lambda file: replaced(file, chunks=(1, 1, 1)), "in pieces, filtered"),
    "references": (lambda file: replaced(file, data=file.ref, dtype=h5py.ref_dtype), "something else than numbers"),
    "variable text": (variable_text, "something else than numbers"),
    "opaque": (opaque, "something else than numbers"),
    "compound": (lambda file: replaced(file, data=np.zeros((2, 30, 3), dtype="<f8,<f8")), "something else"),
    "big endian": (lambda file: replaced(file, dtype=">f8"), "another type or shape"),
    "another shape": (lambda file: replaced(file, data=np.zeros((2, 31, 3))), "another type or shape"),
    "other numbers": (lambda file: file["posterior/beta"].__setitem__(0, 0.0), "checksum of 'posterior/beta'"),
    "never written": (never_written, "more numbers .* than it holds"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_netcdf_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netcdf, "_trial", lambda path: None)
    change, message = HOSTILE[name]
    path = write(tmp_path / "file.nc", record())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(StorageError, match=message):
        read(path)
    assert not (tmp_path / "executed").exists()


def test_attributes_are_not_read_back(tmp_path: Path) -> None:
    path = write(tmp_path / "file.nc", record())
    with h5py.File(path, "r+") as file:
        file.attrs["code"] = np.void(pickle.dumps(Bomb(tmp_path / "executed")))
        file["posterior/beta"].attrs["add_offset"] = 1.0
        file["posterior/beta"].attrs["units"] = "__import__('os').system('true')"
    assert read(path).document == record().document
    assert not (tmp_path / "executed").exists()


def zarr_metadata(path: Path, **entries: Any) -> None:
    place = path / "posterior" / "beta" / "zarr.json"
    place.write_text(json.dumps(json.loads(place.read_bytes()) | entries))


@pytest.mark.parametrize(
    "entries",
    [
        {"codecs": [{"name": "numcodecs.pickle"}]},
        {"codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1}}]},
        {"data_type": "object"},
        {"data_type": {"name": "numpy.object"}},
        {"zarr_format": 2, "filters": [{"id": "pickle"}], "dtype": "|O"},
    ],
)
def test_pickles_in_zarr_are_refused(entries: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "file.zarr", record())
    chunk = path / "posterior" / "beta" / "c" / "0" / "0" / "0"
    chunk.write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    zarr_metadata(path, **entries)
    with pytest.raises(StorageError, match=r"other codecs|no zarr format 3"):
        read(path)
    assert not (tmp_path / "executed").exists()


def test_links_in_zarr_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "file.zarr", record())
    chunk = path / "posterior" / "beta" / "c" / "0" / "0" / "0"
    chunk.rename(tmp_path / "secret")
    chunk.symlink_to(tmp_path / "secret")
    with pytest.raises(StorageError, match="links instead of files"):
        read(path)
    chunk.unlink()
    (tmp_path / "secret").rename(chunk)
    (path / "posterior").rename(tmp_path / "elsewhere")
    (path / "posterior").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="links instead of files"):
        read(path)


def test_texts_in_zarr_that_claim_to_be_long_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "file.zarr", record())
    chunk = path / "posterior" / "column" / "c" / "0"
    for raw in (struct.pack("<I", 2**31), struct.pack("<II", 3, 2**31), chunk.read_bytes()[:7]):
        chunk.write_bytes(raw)
        with pytest.raises(StorageError, match="holds no texts"):
            read(path)


# ------------------------------------------------------------------------------------- the trial in a process


def test_netcdf_is_tried_in_a_process_of_its_own_first(tmp_path: Path) -> None:
    path = write(tmp_path / "file.nc", record())
    netcdf._trial(path)
    with h5py.File(path, "r+") as file:
        file["posterior/beta"][0] = 0.0
    with pytest.raises(hdf5.BrokenFileError, match="checksum of 'posterior/beta' does not agree"):
        netcdf._trial(path)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", r"made the process that read it for trial fail"),
        ("x = bytearray(2**40)", "MemoryError"),
        ("while True: pass", "made the process that read it for trial fail|given up"),
        ("import time; time.sleep(60)", "given up"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="limits on memory and time are those of Unix")
def test_a_crash_there_is_an_error_here(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "file.nc", record())
    script = tmp_path / "reader.py"
    source = Path(hdf5.__file__).read_text(encoding="utf-8")
    script.write_text(source.replace("        read_arrays(path)\n    except", f"        exec({code!r})\n    except"))
    monkeypatch.setattr(hdf5, "__file__", str(script))
    monkeypatch.setattr(netcdf, "LEAST_SECONDS", 1)
    with pytest.raises(StorageError, match=message):
        read(path)
