"""A small case-control study on a map, fitted once by Laplace: small, and everything is real."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg


def places(rows: int = 300) -> pd.DataFrame:
    """Return cases and controls around a hot spot."""
    rng = np.random.default_rng(8)
    lon, lat = rng.uniform(-70.7, -70.3, rows), rng.uniform(41.5, 41.8, rows)
    eta = -0.3 + 1.5 * np.exp(-((lon + 70.55) ** 2 + (lat - 41.65) ** 2) / 0.01)
    case = rng.binomial(1, 1 / (1 + np.exp(-eta)))
    count = rng.poisson(np.exp(0.4 * eta))
    frame = pd.DataFrame({"lon": lon, "lat": lat, "case": case, "count": count, "y": eta + rng.normal(size=rows)})
    return frame.assign(x_km=100 * lon, y_km=100 * lat, age=rng.uniform(30, 80, rows))


def fitted(formula: str, family: str = "bernoulli", frame: pd.DataFrame | None = None, **settings: Any) -> Any:
    """Fit by Laplace."""
    model = bg.Model(formula, places() if frame is None else frame, family=family)
    return model.fit("laplace", seed=1, draws=400, **settings)


@pytest.fixture(scope="session")
def study() -> Any:
    return fitted("case ~ age + s(lon, lat, k=12)")


@pytest.fixture(scope="session")
def chart(study: Any) -> Any:
    return bg.odds_ratio_map(study, "s(lon,lat)", grid=24, threshold=1.2)


@pytest.fixture(scope="session")
def make() -> Any:
    return fitted


@pytest.fixture
def drawn() -> Any:
    """Render a figure, so that warnings of drawing surface, and hand it back."""

    def render(figure: Any) -> Any:
        figure.savefig(io.BytesIO(), format="png", dpi=40)
        return figure

    return render
