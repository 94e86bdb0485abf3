"""Memory of a fit grows with the rows and no faster: no indicator matrix, no inverse, is ever dense."""

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
