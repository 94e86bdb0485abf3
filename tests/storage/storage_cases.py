"""Small fits of every kind, made once, and what they answer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import bayesglmm as bg
from bayesglmm.engines.base import Run
from bayesglmm.results import Fit


def rows(n: int = 72) -> pd.DataFrame:
    """Return data with every kind of column."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "t": rng.uniform(0.0, 3.0, n),
            "z": rng.normal(size=n),
            "g": np.repeat([f"grüße {i}" for i in range(6)], n // 6),
            "f": pd.Categorical(rng.choice(["low", "mid", "high"], n), ["low", "mid", "high"]),
            "w": rng.uniform(0.5, 2.0, n),
        },
        index=[f"row {i}" for i in range(n)],
    )
    effects = pd.Series(rng.normal(size=6), index=frame["g"].unique())
    eta = 0.4 * frame["x"] + np.sin(2.0 * frame["t"]) + frame["g"].map(effects)
    frame["y"] = eta + rng.normal(scale=0.5, size=n)
    frame["count"] = rng.poisson(np.exp(0.3 * eta))
    frame["yes"] = np.where(rng.random(n) < 1.0 / (1.0 + np.exp(-eta)), "yes", "no")
    frame["grade"] = pd.Categorical(np.digitize(eta, [-0.5, 0.8]).astype(str), ["0", "1", "2"], ordered=True)
    frame.loc["row 7", "x"] = np.nan
    return frame


LAPLACE = {"draws": 60, "chains": 2}
SLOW = ("slopes", "levels", "tensor", "ordered", "nominal", "propagated")
CASES: Mapping[str, tuple[Any, Mapping[str, Any], str, Mapping[str, Any]]] = {
    "slopes": ("y ~ scale(x) + f + (1 + x | g)", {}, "laplace", LAPLACE),
    "likelihood": ("count ~ poly(x, 2) + (1 | g)", {"family": "poisson"}, "laplace", {"objective": "ml", **LAPLACE}),
    "restricted": ("y ~ x + (1 + x | g)", {"weights": "w"}, "laplace", {"objective": "reml", **LAPLACE}),
    "smooths": ("y ~ s(t, k = 6) + s(x, z, k = 8) + f", {}, "laplace", LAPLACE),
    "levels": ('y ~ s(t, f, bs = "fs", k = 4)', {}, "laplace", LAPLACE),
    "tensor": ('y ~ te(t, z, k = 4) + s(x, by = f, bs = "cr", k = 4) + (1 | g)', {}, "laplace", LAPLACE),
    "sigma": (
        ["y ~ x + offset(z)", "sigma ~ t"],
        {"priors": {"fixed": bg.Prior("Normal", 0.0, 3.0)}},
        "laplace",
        LAPLACE,
    ),
    "ordered": ("grade ~ x + (1 | g)", {"family": "cumulative", "link": "probit"}, "laplace", LAPLACE),
    "nominal": ("f ~ x + (1 | g)", {"family": "categorical"}, "laplace", LAPLACE),
    "walk": ("yes ~ x + (1 | g)", {"family": "bernoulli"}, "metropolis", {"draws": 40, "tune": 60, "chains": 2}),
    "propagated": ("yes ~ x + (1 | g)", {"family": "bernoulli", "link": {"mu": "cloglog"}}, "ep", LAPLACE),
    "curve": (
        bg.nonlinear("y ~ a + b * exp(-scale(t))", a="~ 1", b="~ 1 + (1 | g)", start={"b": 1.0}),
        {"priors": {name: bg.Prior("Normal", 0.0, 2.0) for name in ("a", "b")}},
        "laplace",
        LAPLACE,
    ),
}


@cache
def fitted(name: str) -> Any:
    """Return a fit of one of the cases."""
    formula, keywords, engine, settings = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bg.Model(formula, rows(), **keywords).fit(engine, seed=3, **settings)


@cache
def sampled() -> Any:
    """Return a fit as NUTS makes it, of draws that nobody sampled: compiling would take longer than all else."""
    model = bg.Model("y ~ x + (1 | g)", rows())
    rng = np.random.default_rng(2)
    shapes = model.graph.eval_rv_shapes()
    draws = {
        variable.name: np.abs(rng.normal(1.0, 0.1, size=(2, 50, *shapes[variable.name])))
        for variable in model.graph.free_RVs
    }
    stats = {"diverging": rng.random((2, 50)) < 0.02, "lp": rng.normal(size=(2, 50)), "n_steps": np.full((2, 50), 7)}
    run = Run(draws, stats, {"sample": 1.0}, ("Nothing was sampled.",))
    settings = {"draws": 50, "tune": 50, "chains": 2, "target_accept": 0.9, "max_treedepth": 10}
    return Fit.from_run(model, run, engine="nuts", settings=settings, seed=4)


def answers(fit: Any) -> dict[str, Any]:
    """Return what a fit says: every table, predictions of every kind, words."""
    new = rows().dropna().iloc[[3, 30, 60]].reset_index(drop=True)
    unseen = new.assign(g="another")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "repr": repr(fit),
            "summary": fit.summary(),
            "fixed": fit.fixed(),
            "varcorr": fit.varcorr(),
            "ranef": fit.ranef(),
            "fitted": fit.fitted(),
            "link": fit.predict(new, scale="link"),
            "typical": fit.predict(unseen, groups="typical"),
            "average": fit.predict(unseen, groups="average"),
            "new": fit.predict(unseen, groups="new", seed=1),
            "outcome": fit.predict(scale="outcome", seed=2),
            "diagnose": fit.diagnose(),
            "verdict": str(fit.verdict),
            "seconds": fit.seconds,
            "notes": fit.notes,
            "smooths": fit.smooths(),
        }
    return found


def same(a: Any, b: Any) -> bool:
    """Return whether two answers are equal to the last bit."""
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
        return bool(a.attrs == b.attrs)
    return bool(a == b)
