"""Do the intervals of a map hold the truth as often as they say? Twenty random surfaces, fitted by Laplace."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg

MAPS, ROWS = 20, 1000


def surface(seed: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a smooth random surface on the unit square: six bumps of random place, height and width."""
    rng = np.random.default_rng(seed)
    centres, heights = rng.uniform(0, 1, (6, 2)), rng.normal(0, 1, 6)
    widths = rng.uniform(0.2, 0.45, 6)
    bumps = [
        h * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * w**2))
        for (a, b), h, w in zip(centres, heights, widths, strict=True)
    ]
    return np.sum(bumps, axis=0)


def coverage(model: bg.Model, places: pd.DataFrame, seed: int) -> float:
    """Return the share of the cells of one map whose 95 % interval holds the true odds ratio."""
    rng = np.random.default_rng([2024, seed])
    field = partial(surface, rng.integers(2**32))
    truth = field(places["x_km"].to_numpy(), places["y_km"].to_numpy())
    case = rng.binomial(1, 1 / (1 + np.exp(-(truth - truth.mean()))))
    fit = model.with_response(places.assign(case=case)).fit("laplace", seed=seed)
    chart = bg.odds_ratio_map(fit, "s(x_km, y_km)", grid=40)
    ratio = np.exp(field(*np.meshgrid(chart["x_km"], chart["y_km"])) - truth.mean())
    held = (chart["lower"] <= ratio) & (ratio <= chart["upper"])
    return float(held.where(chart["mask"]).mean())


@pytest.mark.slow
def test_intervals_hold_the_truth_at_the_nominal_rate() -> None:
    """Averaged over places and maps, pointwise coverage is nominal (Nychka 1988; Marra and Wood 2012).

    Places of one map go together, so the mean over 20 maps has a standard error of one to two percent; hence the
    band.
    """
    rng = np.random.default_rng(2024)
    places = pd.DataFrame({"x_km": rng.uniform(0, 1, ROWS), "y_km": rng.uniform(0, 1, ROWS)})
    places["case"] = rng.integers(0, 2, ROWS)
    model = bg.Model("case ~ s(x_km, y_km, k=40)", places, family="bernoulli")
    found = [coverage(model, places, seed) for seed in range(MAPS)]
    assert 0.92 <= np.mean(found) <= 0.98, found
