"""The structured view against the graph: the same log density at random points, for everything that can be built."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.graph.latent import LatentView


def agree(points: Any, model: bg.Model) -> None:
    own = points(model)
    for seed in range(2):
        x, theta = own.draw(seed)
        assert np.isfinite(own.view.log_joint(x, theta))
        assert own.view.log_joint(x, theta) == pytest.approx(own.graph(x, theta), rel=1e-9, abs=1e-7)


def test_every_family(family_name: str, make: Any, points: Any) -> None:
    agree(points, make("x + (1 | g)", family_name))


@pytest.mark.parametrize("covariance", ["us", "diag", "iid", "homdiag"])
@pytest.mark.parametrize("terms", ["1", "1 + x", "1 + x + z"])
def test_every_covariance(covariance: str, terms: str, make: Any, points: Any) -> None:
    """Those that take any columns, with one to three; the others are in tests/covariances."""
    agree(points, make(f"1 + {covariance}({terms} | g)"))


TERMS: dict[str, tuple[Any, ...]] = {
    "fixed only": ("x + f",),
    "no columns": ("0 + (1 | g)",),
    "offset": ("x + offset(log(t)) + (1 | g)", "poisson"),
    "offset alone": ("0 + offset(z)",),
    "several groups": ("x + (1 + x | g) + (0 + z | h) + (1 | f)",),
    "the same group twice": ("x + (1 | g) + (0 + x | g)",),
    "nested": ("x + (1 | h/f)",),
    "categorical slopes": ("x + (f | g)",),
    "double bar": ("x + (x || g)",),
    "monotonic": ("mo(x %/% 2) * z + (1 | g)",),
    "several levels per row": ("x + (1 + x | mm(g, h)) + (1 | g)",),
    "intercept as a column": ("0 + Intercept + x",),
    "sigma": (["x + (x | g)", "sigma ~ z + (1 | h)"],),
    "zi": (["x + (1 | g)", "zi ~ x + (1 | g)"], "zero_inflated_poisson"),
    "hu and shape": (["x", "hu ~ 1 + (1 | g)", "shape ~ z"], "hurdle_gamma"),
    "nu": (["x", "nu ~ 1 + (1 | g)"], "student_t"),
    "nominal": ("x + (1 + x | g)", "categorical"),
    "ordinal with flat cutpoints": ("x + (1 | g)", "cumulative", {"cutpoints": bg.Prior("Flat")}),
    "flat": ("x + (1 + x | g)", "negative_binomial", "flat"),
    "flat unit": ("x", "zero_inflated_poisson", "flat"),
    "priors": (
        "x + z + (1 | g)",
        "gaussian",
        {
            "Intercept": bg.Prior("Normal", 1, 2),
            "z": bg.Prior("Normal", -1, 0.5),
            "sd": bg.Prior("HalfStudentT", 3, 2.5),
        },
    ),
    "a uniform prior": ("x + z", "gaussian", {"z": bg.Prior("Uniform", -5, 5)}),
    "uniform sds": ("x + (x | g)", "gaussian", {"sd": bg.Prior("Uniform", 0, 5), "sigma": bg.Prior("Uniform", 0, 9)}),
    "a heavy prior": ("x + z + (1 | g)", "poisson", {"fixed": bg.Prior("StudentT", 3, 0, 1)}),
    "only heavy priors": ("x + z", "poisson", dict.fromkeys(("fixed", "Intercept"), bg.Prior("Cauchy", 0, 1))),
    "part flat": ("x + z", "gaussian", {"x": bg.Prior("Flat")}),
    "explicit flat intercept": ("x + z", "gaussian", {"Intercept": bg.Prior("Flat")}),
    "a held slope": ("x + z + (1 | g)", "gaussian", {"x": bg.Prior("Fixed", 0.7)}),
    "a held intercept": ("x + z", "bernoulli", {"Intercept": bg.Prior("Fixed", 0.7)}),
    "all held": ("x + (1 | g)", "gaussian", dict.fromkeys(("fixed", "Intercept"), bg.Prior("Fixed", 0.3))),
    "a held sd": ("x + (1 | g)", "gaussian", {"sd": bg.Prior("Fixed", 0.3)}),
    "a held sd of two": ("x + (x | g)", "gaussian", {"sd[g, x]": bg.Prior("Fixed", 0.3)}),
    "all sds held": ("x + (x | g)", "gaussian", {"sd": bg.Prior("Fixed", 0.3)}),
    "mixed sds": ("x + (x | g)", "gaussian", {"sd[g, x]": bg.Prior("Gamma", 2, 1)}),
    "a held dispersion": ("x + (1 | g)", "student_t", {"nu": bg.Prior("Fixed", 4)}),
    "everything held but u": (
        "0 + x + (1 | g)",
        "gaussian",
        {"fixed": bg.Prior("Fixed", 0.1), "sd": bg.Prior("Fixed", 1), "sigma": bg.Prior("Fixed", 1)},
    ),
    "held beside cutpoints": ("x + z", "cumulative", {"x": bg.Prior("Fixed", 0.5)}),
}


@pytest.mark.parametrize("kind", TERMS)
def test_every_kind_of_term_and_prior(kind: str, make: Any, points: Any) -> None:
    right, *rest = TERMS[kind]
    family = rest[0] if rest else "gaussian"
    agree(points, make(right, family, priors=rest[1] if len(rest) > 1 else None))


@pytest.mark.parametrize(
    ("formula", "family", "arguments"),
    [
        ("y ~ x + (1 | g)", "gaussian", {"weights": "w"}),
        ("y ~ x + (1 | g)", "student_t", {"weights": "w"}),
        ("y ~ x", "poisson", {"likelihood_weights": "w"}),
        ("y ~ x", "gaussian", {"likelihood_weights": "w", "weights": "w"}),
        ("y | cens(c) ~ x + (1 | g)", "gaussian", {}),
        ("y | cens(c, y + 1) ~ x", "gaussian", {"likelihood_weights": "w"}),
        ("y | cens(c) ~ x", "weibull", {}),
        ("y | cens(c, y + 2) ~ x", "poisson", {}),
        ("y | trunc(lb = -4) ~ x", "gaussian", {}),
        ("y | trunc(ub = ub) ~ x", "gaussian", {}),
        ("y | trunc(lb = lb, ub = ub) ~ x", "gaussian", {}),
        ("y | trunc(lb = lb, ub = ub) ~ x", "poisson", {}),
        ("y | trunc(lb = 0, ub = 20) ~ x", "gamma", {}),
        ("y | trunc(lb = 0.05, ub = 0.9) ~ x", "beta", {}),
    ],
)
def test_every_change_of_the_likelihood(
    formula: str, family: str, arguments: Any, make: Any, points: Any, bounded: Any
) -> None:
    agree(points, make(formula, family, bounded(family, "y2" if "cens(c, " in formula else ""), **arguments))


def test_more_hyperparameters_than_interpreted_mode_adds_at_once() -> None:
    """Forty exponential priors of scale one and the log transform: log p(theta) at zero is -1 each."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({f"g{i}": rng.integers(0, 4, 50).astype(str) for i in range(40)})
    frame["y"] = rng.poisson(2.0, 50)
    model = bg.Model("y ~ " + " + ".join(f"(1 | {g})" for g in list(frame)[:-1]), frame, family="poisson")
    view = LatentView(model.problem)
    assert view.log_prior(np.zeros(40)) == pytest.approx(-40.0)
