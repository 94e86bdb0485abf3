"""Memory of a fit grows with rows and draws and no faster: nothing quadratic is dense, draws are hardly copied."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg


def _peak(rows: int, crossed: bool) -> float:
    """Return the peak of numpy's and Python's memory while a model with a level per ten rows is fitted, in bytes."""
    rng = np.random.default_rng(1)
    g, x = rng.integers(0, rows // 10, rows), rng.normal(size=rows)
    h = g % 20 if crossed else g
    eta = 0.5 * x + rng.normal(0.0, 0.8, rows // 10)[g] + rng.normal(0.0, 0.5, rows // 10)[h]
    data = pd.DataFrame({"x": x, "g": g, "h": h, "y": (rng.random(rows) < 1.0 / (1.0 + np.exp(-eta))).astype(int)})
    model = bg.Model(f"y ~ x + (1 + x | g){' + (1 | h)' if crossed else ''}", data, "bernoulli")
    tracemalloc.start()
    fit = model.fit("laplace", objective="ml")
    fit.summary()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak)


@pytest.mark.slow
@pytest.mark.parametrize("crossed", [False, True])
def test_memory_is_linear_in_the_rows(crossed: bool) -> None:
    """Ten times the rows and levels take about ten times the memory; a dense indicator would take a hundred times.

    It would also be 8 kB per row at 10,000 rows and 80 kB at 100,000, where a fit holds some dozens of numbers per
    row at once.
    """
    small, large = _peak(10_000, crossed), _peak(100_000, crossed)
    assert large < 12.0 * small
    assert large / 100_000 < 1_500.0


@pytest.fixture(scope="module")
def many_levels(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, str]:
    """Return rows of 1,000 levels, and where they are stored in two files."""
    rng, rows, levels = np.random.default_rng(2), 4_000, 1_000
    g, x = np.arange(rows) % levels, rng.normal(size=rows)
    eta = 0.5 * x + rng.normal(0.0, 0.8, levels)[g]
    data = pd.DataFrame({"x": x, "g": g, "y": (rng.random(rows) < 1.0 / (1.0 + np.exp(-eta))).astype(int)})
    folder = tmp_path_factory.mktemp("rows")
    for number, piece in enumerate(np.array_split(np.arange(rows), 2)):
        data.iloc[piece].to_parquet(folder / f"{number}.parquet")
    return data, str(folder / "*.parquet")


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "stored"])
@pytest.mark.parametrize("objective", ["posterior", "ml"])
def test_memory_is_about_twice_that_of_the_draws(
    many_levels: tuple[pd.DataFrame, str], objective: str, stored: bool
) -> None:
    """Spherical effects become those of users, so that both are there for a moment; nothing else is as large.

    What is worked on at once has a fixed size, 8 MB per array; modules that are imported meanwhile take 50 MB.
    """
    model = bg.Model("y ~ x + (1 | g)", many_levels[stored], "bernoulli")
    tracemalloc.start()
    fit = model.fit("laplace", objective=objective, draws=2_500, points=8, seed=1)
    size = float(fit.draws["b_g"].nbytes)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 8.0 * 10_000 * 1_000
    assert peak < 2.2 * size + 50e6
    assert held < 1.1 * size + 70e6  # the spherical ones are gone
