"""Parquet files as a source: which files, which columns, which rows in which piece."""

from __future__ import annotations

import operator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesglmm.errors import DataError
from bayesglmm.sources import Piece, open_source
from bayesglmm.sources.base import merged

pytest.importorskip("pyarrow")


def frame(n: int = 30, start: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(start, start + n, dtype=float), "g": [f"g{i % 4}" for i in range(n)]})


def rows(piece: Piece) -> list[tuple[int, float]]:
    return [pair for part in piece.frames for pair in zip(part.index.tolist(), part["x"].tolist(), strict=True)]


def test_a_folder_a_pattern_and_a_file(tmp_path: Path) -> None:
    for number in range(3):
        frame(30, 30 * number).to_parquet(tmp_path / f"p{number}.parquet", row_group_size=7)
    (tmp_path / "_metadata.parquet").write_bytes(b"of another program")
    for path, count in ((tmp_path, 90), (f"{tmp_path}/p[01].parquet", 60), (str(tmp_path / "p2.parquet"), 30)):
        source = open_source(path)
        assert source is not None
        assert source.rows == count
        assert source.columns == ("x", "g")
        found = source.fold(("x",), rows, operator.add)
        assert [label for label, _ in found] == list(range(count))
        start = 60.0 if count == 30 else 0.0
        assert [value for _, value in found] == list(np.arange(start, start + count))
    assert open_source(frame()) is None


def test_names_of_folders_are_columns(tmp_path: Path) -> None:
    for year, city in ((2023, "Bern"), (2024, "St%20Gallen")):
        (tmp_path / f"year={year}" / f"city={city}").mkdir(parents=True)
        frame(5).to_parquet(tmp_path / f"year={year}" / f"city={city}" / "a.parquet")
    source = open_source(tmp_path)
    assert source is not None
    assert set(source.columns) == {"x", "g", "year", "city"}
    found = source.fold(
        ("year", "x", "city"), lambda piece: pd.concat(list(piece.frames)), lambda a, b: pd.concat([a, b])
    )
    assert found["year"].tolist() == [2023] * 5 + [2024] * 5
    assert found["city"].tolist() == ["Bern"] * 5 + ["St Gallen"] * 5


def test_nothing_to_read(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "visits.parquet")
    with pytest.raises(DataError, match=r"Did you mean 'visits.parquet'"):
        open_source(tmp_path / "visit.parquet")
    with pytest.raises(DataError, match="No file matches"):
        open_source(f"{tmp_path}/w*.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no parquet file"):
        open_source(tmp_path / "empty")
    frame(0).to_parquet(tmp_path / "empty" / "a.parquet")
    with pytest.raises(DataError, match="hold no rows"):
        open_source(tmp_path / "empty")
    frame().to_csv(tmp_path / "visits.csv")
    with pytest.raises(DataError, match=r"cannot be read as parquet.*read_csv"):
        open_source(tmp_path / "visits.csv")
    with pytest.raises(DataError, match="is an address"):
        open_source("s3://bucket/visits.parquet")


def test_paths_begin_at_home_where_they_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    frame().to_parquet(tmp_path / "visits.parquet")
    source = open_source("~/visits.parquet")
    assert source is not None
    assert source.rows == 30


@pytest.mark.parametrize("names", [["g"], ["g", "x"], ["y"]])
def test_an_index_that_pandas_stored_is_columns(names: list[str], tmp_path: Path) -> None:
    data = frame().assign(y=1.0)
    data.set_index(["g", "x"]).to_parquet(tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    assert source is not None
    assert set(source.columns) == {"g", "x", "y"}
    found = source.peek(names)
    pd.testing.assert_frame_equal(found, data[names], check_dtype=False)


def test_files_with_other_columns(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "a.parquet")
    frame().astype({"x": "int32"}).to_parquet(tmp_path / "b.parquet")  # widths of numbers may differ
    assert open_source(tmp_path) is not None
    frame().rename(columns={"x": "xs"}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"c.parquet' lacks the column 'x'.*Did you mean 'xs'"):
        open_source(tmp_path)
    frame().assign(x="text").to_parquet(tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"'x' holds text .* but numbers"):
        open_source(tmp_path)
    frame().assign(more=1).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"has the column 'more', which"):
        open_source(tmp_path)


def test_merging_keeps_the_order_and_depends_on_the_number_alone() -> None:
    assert merged(iter("abcdefg"), lambda a, b: f"({a}{b})") == "(((ab)(cd))((ef)g))"
    assert merged(iter([]), operator.add) is None
