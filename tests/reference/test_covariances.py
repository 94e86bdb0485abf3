"""Covariance structures against glmmTMB and nlme; `expected/covariances.R` made the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg

DATA = Path(__file__).parent / "expected"
SMALL = {"sigma": bg.Prior("Fixed", 0.01)}  # the structure takes the place of the residual


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(DATA / f"covariances_{name}.csv")


def fitted(formula: str, data: pd.DataFrame, family: str = "gaussian", **arguments: Any) -> Any:
    return bg.Model(formula, data, family, **arguments).fit("laplace", objective="ml", seed=1)


def rows(fit: Any, kind: str) -> Any:
    table = fit.varcorr()
    return table.loc[table["kind"] == kind, "estimate"].to_numpy()


@pytest.mark.parametrize("word", ["us", "cs", "ar1", "toep", "diag"])
def test_growth_curves(word: str, expected: Callable[[str], Any]) -> None:
    """Distances in four ages of 27 children (Potthoff and Roy 1964), the covariance within a child by each structure.

    glmmTMB has no residual at all there. With one of 0.01 beside sds of 2 the likelihood differs by less than 1e-3.
    """
    block = expected("covariances")[f"orthodont_{word}"]
    data = read("orthodont").assign(occasion=lambda d: d["age"].astype(str).astype("category"))
    data["occasion"] = pd.Categorical(data["age"].astype(str), ["8", "10", "12", "14"], ordered=True)
    fit = fitted(f"distance ~ age * Sex + {word}(0 + occasion | Subject)", data, priors=SMALL)
    assert fit.loglik == pytest.approx(block["logLik"], abs=1e-3)
    sds = rows(fit, "sd")[: len(data["age"].unique())]
    np.testing.assert_allclose(
        sds if word != "ar1" else sds[:1], block["sd"] if word != "ar1" else block["sd"][:1], rtol=2e-3
    )
    correlations = np.array(block["corr"])
    if word == "us":
        np.testing.assert_allclose(rows(fit, "cor"), correlations[np.tril_indices(4, -1)], atol=2e-3)
    elif word == "toep":
        np.testing.assert_allclose(rows(fit, "cor"), correlations[0, 1:], atol=2e-3)
    elif word != "diag":
        assert rows(fit, "cor")[0] == pytest.approx(correlations[0, 1], abs=2e-3)
    if word in ("us", "cs", "ar1"):
        assert fit.loglik == pytest.approx(expected("covariances")[f"orthodont_gls_{word}"]["logLik"], abs=1e-3)


# Terms in glmmTMB's spelling, and the log-likelihood that its Laplace approximation has.
COUNTS = {
    "ar1": "ar1(0 + time | id)",
    "cs": "cs(0 + factor(time) | id)",
    "toep": "toep(0 + time | id)",
    "ou": "ou(0 + hour | id)",
    "exp": "exp(0 + numFactor(hour) | id)",
    "gau": "gau(numFactor(hour) + 0 | id)",
    "rr": "rr(0 + factor(time) | id, d = 2)",
}


@pytest.mark.parametrize(
    "word", [pytest.param(w, marks=pytest.mark.slow) if w in ("toep", "rr", "exp") else w for w in COUNTS]
)
def test_counts_over_time(word: str, expected: Callable[[str], Any]) -> None:
    """Simulated counts, a latent process beside Poisson noise: the same approximation, so the same likelihood."""
    block = expected("covariances")[f"counts_{word}"]
    fit = fitted(f"y ~ x + {COUNTS[word]}", read("counts"), "poisson")
    assert fit.loglik == pytest.approx(block["logLik"], abs=1e-3)
    estimates = fit.fixed()["estimate"]
    assert estimates["x"] == pytest.approx(block["fixef"]["x"], abs=1e-3)
    sds = np.unique(np.round(rows(fit, "sd"), 8))
    np.testing.assert_allclose(np.sort(sds), np.unique(np.round(block["sd"], 8)), rtol=5e-3)
    theta = block["theta"]
    if word == "ar1":
        assert rows(fit, "cor")[0] == pytest.approx(theta[1] / np.hypot(1.0, theta[1]), abs=2e-3)
    elif word in ("ou", "exp", "gau"):  # glmmTMB's ou has the logarithm of a rate, the others that of a range
        assert rows(fit, "range")[0] == pytest.approx(np.exp(-theta[1] if word == "ou" else theta[1]), rel=5e-3)


@pytest.mark.parametrize("word", ["exp", "gau", "mat"])
def test_points_of_the_plane(word: str, expected: Callable[[str], Any]) -> None:
    """One field over 90 points, with noise; glmmTMB's smoothness is held at 3/2."""
    block = expected("covariances")[f"plane_{word}"]
    fit = fitted(f"z ~ 1 + {word}(numFactor(lon, lat) + 0 | one)", read("plane").assign(one="all"))
    assert fit.loglik == pytest.approx(block["logLik"], abs=1e-3)
    assert rows(fit, "sd")[0] == pytest.approx(block["sd"], rel=5e-3)
    assert rows(fit, "range")[0] == pytest.approx(np.exp(block["theta"][1]), rel=1e-2)


@pytest.mark.parametrize("objective", ["ml", "reml"])
def test_autoregression_of_the_ovary_data(
    objective: str, expected: Callable[[str], Any], dataset: Callable[[str], Any]
) -> None:
    """nlme's residual autoregression, here a random effect beside a residual held near zero; glmmTMB too."""
    d = dataset("Ovary")
    d = d.assign(s=np.sin(2 * np.pi * d["Time"]), c=np.cos(2 * np.pi * d["Time"]))
    formula = "follicles ~ s + c + diag(1 + s | Mare) + ar1(0 + occasion | Mare)"
    fit = bg.Model(formula, d, priors=SMALL).fit("laplace", objective=objective, seed=1)
    nlme, tmb = (expected("Ovary")[f"{engine}_ar1_{objective.upper()}"] for engine in ("lme", "glmmTMB"))
    assert fit.loglik == pytest.approx(nlme["logLik"], abs=1e-3)
    assert fit.loglik == pytest.approx(tmb["logLik"], abs=1e-3)
    assert rows(fit, "cor")[0] == pytest.approx(nlme["ar1_phi"], abs=5e-4)
    sds = [nlme["random_sd"][name] for name in ("(Intercept)", "sin(2 * pi * Time)")]
    np.testing.assert_allclose(rows(fit, "sd")[:3], [*sds, nlme["sigma"]], rtol=1e-3)
    np.testing.assert_allclose(fit.fixed()["estimate"], list(nlme["fixef"].values()), atol=2e-3)
