"""Small models of every kind: a data frame, a valid response for each family, and random points of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.graph.compiler import UNREWRITTEN
from bayesglmm.graph.latent import LatentView

N = 24
COUNTS, POSITIVE, UNIT, REAL = (0, 1, 2, 9), (0.2, 1.0, 4.0), (0.1, 0.5, 0.8), (-3.0, 0.0, 1.5)
# family -> values that a response may take; strings are categories
RESPONSES: dict[str, tuple[Any, ...]] = {
    "gaussian": REAL,
    "student_t": REAL,
    "lognormal": POSITIVE,
    "bernoulli": (0, 1),
    "binomial": COUNTS,
    "beta_binomial": COUNTS,
    "zero_inflated_binomial": COUNTS,
    "poisson": COUNTS,
    "negative_binomial": COUNTS,
    "negative_binomial1": COUNTS,
    "zero_inflated_poisson": COUNTS,
    "zero_inflated_negative_binomial": COUNTS,
    "hurdle_poisson": COUNTS,
    "hurdle_negative_binomial": COUNTS,
    "hurdle_gamma": (0.0, 0.2, 3.0),
    "gamma": POSITIVE,
    "exponential": POSITIVE,
    "weibull": POSITIVE,
    "inverse_gaussian": POSITIVE,
    "beta": UNIT,
    "cumulative": (1, 2, 3),
    "categorical": ("a", "b", "c"),
}


def left(family: str) -> str:
    """Return the left side of a formula."""
    return "y | trials(n)" if "binomial" in family and "negative" not in family else "y"


def make_frame(family: str = "gaussian", seed: int = 0, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = RESPONSES[family]
    return pd.DataFrame(
        {
            "y": [values[i % len(values)] for i in rng.permutation(n)],
            "n": np.full(n, 12),
            "x": rng.normal(3.0, 2.0, n),
            "z": rng.normal(size=n),
            "f": np.tile(list("pqr"), n)[:n],
            "g": np.array([f"g{i % 5}" for i in rng.permutation(n)]),
            "h": np.array([f"h{i % 3}" for i in rng.permutation(n)]),
            "w": rng.uniform(0.5, 2.0, n),
            "t": rng.uniform(1.0, 3.0, n),
        }
    )


@dataclass
class Points:
    """Random points of a model, and two ways to its log density."""

    model: bg.Model

    def __post_init__(self) -> None:
        self.problem = self.model.problem
        self.view = LatentView(self.problem)
        self._logp = self.problem.model.compile_logp(mode=UNREWRITTEN)

    def draw(self, seed: int) -> tuple[Any, Any]:
        """Return x and unconstrained theta near the initial point."""
        rng = np.random.default_rng(seed)
        start = self.problem.model.initial_point()
        theta = np.concatenate([np.zeros(0), *(np.ravel(start[value.name]) for value in self.view.theta_values)])
        return 0.3 * rng.normal(size=self.view.size), theta + 0.2 * rng.normal(size=theta.size)

    def graph(self, x: Any, theta: Any) -> float:
        """Return PyMC's log density without the constant Jacobian of the whitening of the fixed part."""
        model, total = self.problem.model, float(self._logp(self.view.point(x, theta)))
        for name in self.problem.names("fixed"):
            total -= model.rvs_to_transforms[model[name]].log_det
        return total


@pytest.fixture(scope="session")
def frame() -> Callable[..., pd.DataFrame]:
    """Return `make_frame`: family -> data with a valid response."""
    return make_frame


@pytest.fixture(scope="session")
def make() -> Callable[..., bg.Model]:
    """Return a short way to a model: right sides and family; data is `make_frame(family)`."""

    def run(right: str | list[str], family: str = "gaussian", data: Any = None, **arguments: Any) -> bg.Model:
        sides = [right] if isinstance(right, str) else right
        main = sides[0] if "~" in sides[0] else f"{left(family)} ~ {sides[0]}"
        return bg.Model([main, *sides[1:]], make_frame(family) if data is None else data, family, **arguments)

    return run


@pytest.fixture(scope="session")
def points() -> type[Points]:
    """Return `Points`."""
    return Points


@pytest.fixture(scope="session")
def bounded() -> Callable[..., pd.DataFrame]:
    """Return data with censoring codes `c` and bounds `lb`, `ub` that are missing in some of the rows."""

    def run(family: str, intervals: str = "") -> pd.DataFrame:
        data, row = make_frame(family), np.arange(N)
        data["c"] = np.tile(["none", "left", "right", "interval" if intervals else "none"], N)[:N]
        data["lb"] = np.where(row % 3 == 0, -np.inf, data["y"] - 1)
        data["ub"] = np.where(row % 4 == 0, np.inf, data["y"] + 1)
        return data

    return run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over every registered family."""
    if "family_name" in metafunc.fixturenames:
        from bayesglmm.families import FAMILIES

        metafunc.parametrize("family_name", FAMILIES.names())
