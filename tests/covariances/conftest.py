"""Data in which every structure has something to do, and models of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg

REGIONS = [f"r{i}" for i in range(7)]
EDGES = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (4, 5)]  # two connected parts and an island


def adjacency() -> pd.DataFrame:
    W = np.zeros((7, 7))
    for i, j in EDGES:
        W[i, j] = W[j, i] = 1.0
    return pd.DataFrame(W, index=REGIONS, columns=REGIONS)


def make_data(n: int = 90, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    t = np.concatenate([np.arange(5), rng.integers(0, 5, n - 5)])
    place = np.concatenate([np.arange(8), rng.integers(0, 8, n - 8)])
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "k": rng.poisson(2.0, n),
            "x": rng.normal(size=n),
            "g": np.char.mod("g%d", rng.integers(0, 4, n)),
            "time": np.array([0.0, 0.5, 2.0, 2.5, 6.0])[t],
            "lon": np.array([0.1, 0.4, 0.9, 0.2, 0.7, 0.35, 0.8, 0.05])[place],
            "lat": np.array([0.3, 0.8, 0.1, 0.9, 0.5, 0.45, 0.6, 0.7])[place],
            "map": "one",
            "region": np.array(REGIONS)[rng.integers(0, 6, n)],  # the last one has no data
        }
    )


@pytest.fixture(scope="session")
def data() -> pd.DataFrame:
    return make_data()


@pytest.fixture(scope="session")
def neighbours() -> pd.DataFrame:
    """Return the adjacency of the regions."""
    return adjacency()


@pytest.fixture(scope="session")
def model(data: pd.DataFrame) -> Callable[..., bg.Model]:
    """Return a short way to a model: a group term, and what else `bg.Model` takes."""

    def run(term: str, family: str = "gaussian", **arguments: Any) -> bg.Model:
        cov = {"W": adjacency()} if "W" in term else None
        response = "k" if family == "poisson" else "y"
        return bg.Model(f"{response} ~ x + {term}", data, family, cov=cov, **arguments)

    return run
