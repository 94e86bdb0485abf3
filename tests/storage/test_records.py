"""A model as data: frames of every kind of column, numbers that terms learned, documents that somebody changed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from storage_cases import fitted

import bayesglmm as bg
from bayesglmm.design.frame import convert
from bayesglmm.errors import BayesglmmError, StorageError
from bayesglmm.records.frame import frame_hash, pack_frame, unpack_frame
from bayesglmm.records.learned import check_summary, learned, summary, with_learned
from bayesglmm.storage import Record, read, write

TIMES = pd.date_range("2020-01-01", periods=4, freq="D")
COLUMNS: dict[str, Any] = {
    "float": np.array([0.1, np.nan, -0.0, 1e300]),
    "float32": np.array([0.1, 2, 3, 4], dtype=np.float32),
    "half": np.array([0.5, 2, 3, 4], dtype=np.float16),
    "integer": np.array([1, -(2**60) - 1, 3, 4]),
    "unsigned": np.array([1, 2**64 - 1, 3, 4], dtype=np.uint64),
    "bytes": np.array([1, 2, 255, 0], dtype=np.uint8),
    "truth": np.array([True, False, True, True]),
    "nullable truth": pd.array([True, None, False, True], dtype="boolean"),
    "nullable integer": pd.array([1, None, 3, 4], dtype="Int64"),
    "text": np.array(["b", "ä", None, "b"], dtype=object),
    "string": pd.array(["b", "a", None, "b"], dtype="string"),
    "category": pd.Categorical(["u", "v", None, "u"], ["v", "w", "u"]),
    "ordered": pd.Categorical(["u", "v", "v", "u"], ["v", "u"], ordered=True),
    "numbers as levels": pd.Categorical([10, 9, 10, None], [9, 10, 11]),
    "truths as levels": pd.Categorical([True, False, None, True]),
    "numbers as objects": np.array([10, 9, None, 9], dtype=object),
    "mixed": np.array([10, "9", None, 9.5], dtype=object),
}


def same_value(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if hasattr(a, "levels"):
        same = (a.levels, a.ordered, a.boolean) == (b.levels, b.ordered, b.boolean)
        return same and bool(np.array_equal(a.codes, b.codes))
    return bool(np.array_equal(a.values, b.values, equal_nan=True))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_means_the_same_after_storing(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({name: COLUMNS[name]})
    document, variables = pack_frame(frame, "data")
    found = read(write(tmp_path / "data.zarr", Record(document, variables)))
    back = unpack_frame(found.document, found.variables, "data")
    assert same_value(convert(name, frame[name]).value, convert(name, back[name]).value)
    assert frame_hash(back) == frame_hash(frame)
    np.testing.assert_array_equal(convert(name, back[name]).missing, convert(name, frame[name]).missing)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3, 11, 2, name="row"),
        pd.Index([4, 2, 9, 9]),
        pd.Index([0.5, 1.5, 2.5, 3.5]),
        pd.Index(["a", "ü", "c", "d"], name="where"),
        TIMES,
        pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["g", None]),
    ],
)
def test_an_index_is_kept(index: Any, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(4.0)}, index=index)
    document, variables = pack_frame(frame, "data")
    found = read(write(tmp_path / "data.zarr", Record(document, variables)))
    pd.testing.assert_frame_equal(unpack_frame(found.document, found.variables, "data"), frame, check_freq=False)


def test_the_fingerprint_sees_values_levels_and_rows_but_not_types() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, np.nan], "g": ["a", "b", "a"]})
    assert frame_hash(frame) == frame_hash(frame[["g", "x"]])
    assert frame_hash(frame) == frame_hash(
        frame.assign(g=frame["g"].astype("category"), x=frame["x"].astype("Int64"))
    )
    assert frame_hash(frame) == frame_hash(frame.set_axis([7, 8, 9]))
    others = [
        frame.assign(x=[1.0, 2.0, 3.0]),
        frame.assign(g=["a", "b", "c"]),
        frame.assign(g=pd.Categorical(frame["g"], ["b", "a"])),
        frame.assign(g=pd.Categorical(frame["g"], ordered=True)),
        frame.iloc[::-1],
        frame.iloc[:2],
        frame.rename(columns={"x": "y"}),
    ]
    hashes = [frame_hash(other) for other in (frame, *others)]
    assert len(set(hashes)) == len(hashes)
    assert frame_hash(pd.DataFrame({"x": [2**60]})) != frame_hash(pd.DataFrame({"x": [2**60 + 1]}))


# ------------------------------------------------------------------------------------------- learned numbers


class Pair(NamedTuple):
    name: str
    value: float


@dataclass(frozen=True, eq=False)
class Inner:
    knots: Any
    count: int
    reach: float


@dataclass(frozen=True, eq=False)
class Outer:
    parts: tuple[Inner, ...]
    state: dict[str, Any]
    pair: Pair
    codes: Any


def nested() -> Outer:
    inner = Inner(np.arange(3.0), 2, 0.5)
    codes = np.arange(3)
    return Outer((inner, inner), {"poly": {"alpha": [1.0, 2.0], "norm": 3.0}}, Pair("a", np.nan), codes)


def test_numbers_are_taken_out_and_put_back() -> None:
    root = nested()
    values = learned(root)
    assert [own.tolist() for own in values[:-1]] == [[0.0, 1.0, 2.0], 0.5, 1.0, 2.0, 3.0]
    assert with_learned(root, values) is root
    changed = with_learned(root, [values[0] + 1.0, *values[1:4], np.asarray(9.0), values[5]])
    assert changed.parts[0].knots.tolist() == [1.0, 2.0, 3.0]
    assert changed.parts[0] is changed.parts[1]
    assert changed.state == {"poly": {"alpha": [1.0, 2.0], "norm": 9.0}}
    assert changed.pair is root.pair
    assert changed.codes is root.codes
    assert root.parts[0].knots.tolist() == [0.0, 1.0, 2.0]


def test_numbers_of_another_shape_are_refused() -> None:
    values = learned(nested())
    for wrong in (values[:-1], [*values, values[0]], [values[0][:2], *values[1:]], []):
        with pytest.raises(StorageError, match="does not fit the model"):
            with_learned(nested(), wrong)


def test_sums_tell_rounding_from_another_function() -> None:
    values = [np.random.default_rng(1).normal(size=(30, 4)), np.asarray(2.0)]
    kept = summary(values)
    check_summary([values[0] * (1.0 + 1e-13), values[1]], kept)
    for other in ([-values[0], values[1]], [values[0][:, ::-1], values[1]], [values[0], np.asarray(2.1)]):
        with pytest.raises(StorageError, match="not those of the fit"):
            check_summary(other, kept)
    with pytest.raises(StorageError, match="does not fit"):
        check_summary(values[:1], kept)


# ------------------------------------------------------------------------------------------ changed documents


@pytest.mark.parametrize(
    "formula",
    [
        "count ~ __import__('os').system('touch executed') + (1 | g)",
        'count ~ eval(\'open("executed", "w")\') + (1 | g)',
        "count ~ x.__class__ + (1 | g)",
        "count ~ {open('executed', 'w')} + (1 | g)",
        "count ~ " + "(" * 100_000,
        "count ~ poly(x, 1000000) + (1 | g)",
        "count ~ s(x, k = 1000000000) + (1 | g)",
        "count ~ x^" + "9" * 400,
        "",
        ["count ~ x", 5],
        {"main": "count ~ exec('x') * b", "parameters": {"b": "~ 1"}, "others": [], "start": {}},
        {"main": "count ~ b", "parameters": {"b": 5}, "others": [], "start": {"b": "x"}},
        {"main": "count ~ b", "parameters": {"formula": "~ 1", "start": "~ 1"}, "others": [], "start": {}},
        7,
    ],
)
def test_hostile_formulas_are_parsed_and_refused(
    formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fitted("likelihood").save(tmp_path / "fit.zarr")
    found = read(tmp_path / "fit.zarr")
    document = {**found.document, "model": {**found.document["model"], "formula": formula}}
    write(tmp_path / "hostile.zarr", Record(document, found.variables))
    with pytest.raises(StorageError):
        bg.load(tmp_path / "hostile.zarr")
    assert not (tmp_path / "executed").exists()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything within a document."""
    own = [path] if path else []
    if isinstance(value, dict):
        return own + [p for key, inner in value.items() for p in places(inner, (*path, key))]
    if isinstance(value, list):
        return own + [p for i, inner in enumerate(value) for p in places(inner, (*path, i))]
    return own


def test_documents_with_anything_anywhere_give_a_fit_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in a document, whoever loads it gets a fit that answers, or an error of this package."""
    fitted("sigma").save(tmp_path / "fit.zarr")
    found = read(tmp_path / "fit.zarr")
    everywhere = places(found.document)
    rng = np.random.default_rng(11)
    others: list[Any] = [None, -1, 1e308, 2.5, "x", [], {}, True, ["a"], {"a": 1}]
    refused = 0
    for chosen in rng.choice(len(everywhere), size=25, replace=False):
        *head, last = everywhere[chosen]
        document = copy.deepcopy(found.document)
        place: Any = document
        for key in head:
            place = place[key]
        place[last] = others[rng.integers(len(others))]
        monkeypatch.setattr("bayesglmm.loading.read", lambda path, held=document: Record(held, found.variables))
        try:
            bg.load(tmp_path / "fit.zarr").summary()
        except BayesglmmError:
            refused += 1
    assert refused > 5


def test_arrays_with_other_contents_give_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted("sigma").save(tmp_path / "fit.zarr")
    found = read(tmp_path / "fit.zarr")
    needed = [path for path in found.variables if not path.startswith(("sample_stats/", "constant", "observed"))]
    for path in needed:
        own = found.variables[path]
        changed = type(own)(own.dims, own.values[:-1] if own.values.ndim else np.array([1.0, 2.0]))
        for variables in (
            {**found.variables, path: changed},
            {key: value for key, value in found.variables.items() if key != path},
        ):
            held = Record(found.document, variables)
            monkeypatch.setattr("bayesglmm.loading.read", lambda path, held=held: held)
            with pytest.raises(BayesglmmError):
                bg.load(tmp_path / "fit.zarr")
