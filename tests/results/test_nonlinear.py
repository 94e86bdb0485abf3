"""What users read of a nonlinear model: names, scales, predictions averaged over groups, what has no meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, PriorError

PRIORS = {"a": bg.Prior("Normal", 1, 1), "a.fixed": bg.Prior("Normal", 0, 1), "b": bg.Prior("HalfNormal", 1)}


@pytest.fixture(scope="module")
def fit() -> Any:
    rng = np.random.default_rng(4)
    group, x = np.repeat(np.arange(8), 10), rng.uniform(0.0, 3.0, 80)
    z, effect = rng.normal(size=80), rng.normal(0.0, 0.5, 8)
    y = rng.poisson(np.exp((1.5 + 0.3 * z + effect[group]) * np.exp(-0.4 * x)))
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": [f"g{j}" for j in group]})
    formula = bg.nonlinear("y ~ a * exp(-b * x)", a="~ z + (1 | g)", b="~ 1")
    return bg.Model(formula, data, family="poisson", priors=PRIORS).fit("laplace", seed=1, draws=500, chains=2)


def test_names_and_texts(fit: Any) -> None:
    assert list(fit.summary().index) == ["a.Intercept", "a.z", "b.Intercept", "a.sd[g, Intercept]"]
    assert list(fit.varcorr()["term"]) == ["a.Intercept"]
    assert set(fit.ranef()["term"]) == {"a.Intercept"}
    text = str(fit)
    assert text.startswith(
        "Formula: y ~ a * exp(-b * x)\n         a ~ z + (1 | g)\n         b ~ 1\nFamily:  poisson(log)\n"
    )
    np.testing.assert_allclose(fit.data["constant_data"]["covariate_1"], fit.design.response.covariates["x"])
    assert fit.data["constant_data"]["covariate_1"].attrs["text"] == "x"


def test_averages_over_groups_integrate_within_the_expression(fit: Any) -> None:
    """Against groups simulated draw by draw; 400 each leave an error of a few parts in a thousand."""
    new = {"x": [0.2, 2.0], "z": [0.0, 1.0]}
    found = fit.predict(new, groups="average")["mean"]
    draws = fit.draws.stack(s=("chain", "draw"))
    a, b, sd = (draws[name].to_numpy() for name in ("a_beta", "b_beta", "a_sd_g"))
    effects = sd * np.random.default_rng(1).standard_normal((400, 1000))
    for row in range(2):
        eta = (a[0] + a[1] * new["z"][row] + effects) * np.exp(-b[0] * new["x"][row])
        assert found[row] == pytest.approx(np.exp(eta).mean(), rel=0.02)
        typical = np.exp((a[0] + a[1] * new["z"][row]) * np.exp(-b[0] * new["x"][row])).mean()
        assert fit.predict(new, groups="typical")["mean"][row] == pytest.approx(typical, rel=1e-10)
    assert found[0] > fit.predict(new, groups="typical")["mean"][0]


def test_shares_of_variance_have_no_meaning(fit: Any) -> None:
    with pytest.raises(BayesglmmError, match="here it is an expression of parameters"):
        fit.icc()


def test_a_saved_fit_predicts_the_same(fit: Any, tmp_path: Any) -> None:
    fit.save(tmp_path / "fit.nc")
    new = {"x": [0.2, 2.0], "z": [0.0, 1.0], "g": ["g1", "g2"]}
    pd.testing.assert_frame_equal(bg.load(tmp_path / "fit.nc").predict(new), fit.predict(new))


def test_nothing_is_droppable_from_an_expression(fit: Any) -> None:
    assert fit.model.droppable == ()


def test_priors_that_no_count_can_follow_are_named() -> None:
    data = pd.DataFrame({"y": [0, 1, 2], "x": [1.0, 2.0, 3.0]})
    wide = {"a": bg.Prior("Normal", 0, 1e3), "b": bg.Prior("Normal", 0, 1)}
    model = bg.Model(bg.nonlinear("y ~ a + b * x", a="~ 1", b="~ 1"), data, family="poisson", priors=wide)
    with pytest.raises(PriorError, match="far too wide for the scale of the link"):
        model.prior_predictive(100, seed=1)
