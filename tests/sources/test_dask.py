"""Data frames of dask: the same design and the same fit as of the frame in memory, on a cluster or without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import DataError
from bayesglmm.sources import Piece, open_source

dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

FORMULA = "won ~ x + kind + (1 | id)"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    group, x = rng.integers(0, 60, 1500), rng.normal(size=1500)
    eta = 0.4 * x - 0.2 + rng.normal(0.0, 0.8, 60)[group]
    return pd.DataFrame(
        {
            "won": (rng.random(1500) < 1.0 / (1.0 + np.exp(-eta))).astype(int),
            "x": x,
            "kind": rng.choice(["a", "b", "c"], 1500),
            "id": group,
            "unused": "text",
        }
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers in processes of their own, which see the same files."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as made,
    ):
        yield made


def test_partitions_are_pieces_in_their_order(frame: pd.DataFrame) -> None:
    def values(piece: Piece) -> list[int]:  # workers cannot import this file: what is local is sent as it is
        return [value for part in piece.frames for value in part["id"].tolist()]

    def joined(one: list[int], two: list[int]) -> list[int]:
        return one + two

    source = open_source(dd.from_pandas(frame, npartitions=11))
    assert source is not None
    assert source.rows == 1500
    assert source.fold(("id",), values, joined) == frame["id"].tolist()
    assert source.peek(("x",)).columns.tolist() == ["x"]
    with pytest.raises(DataError, match="no rows"):
        open_source(dd.from_pandas(frame.iloc[:0], npartitions=1)).peek(("x",))  # type: ignore[union-attr]


def test_a_cluster_reads_and_fits(frame: pd.DataFrame, client: Any, tmp_path: Path) -> None:
    from joblib import parallel_config

    here = bg.Model(FORMULA, frame, "bernoulli").fit("laplace", objective="ml", progressbar=False)
    table = dd.from_pandas(frame, npartitions=6)
    model = bg.Model(FORMULA, table, "bernoulli", scratch=tmp_path)
    assert model.design.n == 1500
    with parallel_config(backend="dask"):
        there = model.fit("laplace", objective="ml", progressbar=False)
    assert there.loglik == pytest.approx(here.loglik, abs=1e-8)
    pd.testing.assert_frame_equal(there.fixed(), here.fixed(), rtol=1e-6)
    pd.testing.assert_frame_equal(there.ranef(), here.ranef(), rtol=1e-6, atol=1e-8)


def test_text_of_arrow_and_categories_without_a_list(frame: pd.DataFrame) -> None:
    table = dd.from_pandas(frame, npartitions=3).astype({"kind": "category", "id": "string"})
    model = bg.Model(FORMULA, table, "bernoulli")
    whole = bg.Model(FORMULA, frame.astype({"kind": "category", "id": "string"}), "bernoulli")
    assert model.design.coding == whole.design.coding
    assert model.design.predictors["mu"].random[0].levels == whole.design.predictors["mu"].random[0].levels
