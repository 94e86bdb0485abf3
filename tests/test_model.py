"""`Model`: what it prints, what it refuses, prior predictive draws, and the modes of plain GLMs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import DataError, PriorError, SettingsError, UnknownNameError
from bayesglmm.graph.latent import LatentView

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
PRINTED = """\
Formula:  cbind(incidence, size - incidence) ~ period + (1 | herd)
Family:   binomial, logit link for mu
Rows:     56 used
Groups:   herd (15 levels)
Coding:   period: 1, 2, 3, 4 (treatment, reference 1)
Priors:   Intercept            Normal(mu=-2.029, sigma=2.5)  at the mean of the predictors
          period[2]            Normal(mu=0, sigma=5.774)
          period[3]            Normal(mu=0, sigma=5.774)
          period[4]            Normal(mu=0, sigma=5.921)
          sd[herd, Intercept]  Exponential(lam=1)"""


@pytest.fixture(scope="module")
def cbpp() -> bg.Model:
    return bg.Model(CBPP, bg.load_dataset("cbpp"), family="binomial")


def test_a_model_in_words(cbpp: bg.Model) -> None:
    assert str(cbpp) == PRINTED


def test_a_model_in_a_notebook(cbpp: bg.Model) -> None:
    html = cbpp._repr_html_()
    assert html.startswith("<table>")
    for text in ("<th", "Formula", "sd[herd, Intercept]", "56 used"):
        assert text in html
    escaped = bg.Model("y ~ I(x > 0)", pd.DataFrame({"y": [1.0, 2, 4], "x": [-1.0, 1, 2]}))._repr_html_()
    assert "I(x &gt; 0)" in escaped


def test_what_the_user_gave_is_said() -> None:
    data = bg.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = np.nan
    priors = {"Days": bg.Prior("Normal", 0, 20), "sd": bg.Prior("HalfNormal", 50)}
    model = bg.Model(["Reaction ~ Days + (Days | Subject)", "sigma ~ Days"], data, priors=priors)
    text = " ".join(str(model).split())
    assert "179 used, 1 dropped of 180" in text
    assert "identity link for mu, log link for sigma" in text
    assert " Days Normal(mu=0, sigma=20) given as 'Days'" in text
    assert "sd[Subject, Days] HalfNormal(sigma=50) given as 'sd'" in text
    assert "cor[Subject] LKJ(eta=2)" in text


def test_hundreds_of_priors_are_not_all_printed() -> None:
    data = pd.DataFrame({"y": np.arange(200.0), "f": [f"level{j % 60}" for j in range(200)]})
    assert "... and 21 more: list(model.priors)" in str(bg.Model("y ~ f", data))


# ------------------------------------------------------------------------------------------------- modes of GLMs


def newton(view: LatentView, theta: Any) -> Any:
    """Return the mode in x for fixed theta."""
    (offset, A), *_ = view.design(theta)
    A, phi, x = A.toarray(), view.dispersions(view.natural(theta)), np.zeros(view.size)
    for _ in range(50):
        rows = view.elementwise([offset + A @ x], phi, 1)
        x = x + np.linalg.solve(-(A.T * rows.d2[0, 0]) @ A, A.T @ rows.d1[0])
    return x


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_bernoulli_modes_are_those_of_statsmodels(link: str) -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(20, 3, 200), "f": np.tile(list("abcd"), 50)})
    data["y"] = (0.3 * (data["x"] - 20) + (data["f"] == "b") + rng.logistic(size=200) > 0).astype(int)
    model = bg.Model("y ~ x + f", data, "bernoulli", link=link, priors="flat")
    view = LatentView(model.problem)
    X = model.design.predictors["mu"].X
    links = {"logit": sm.families.links.Logit(), "probit": sm.families.links.Probit()}
    peer = sm.GLM(data["y"], X, family=sm.families.Binomial(links[link])).fit(tol=1e-12)
    mode = newton(view, np.zeros(0))
    np.testing.assert_allclose(mode, peer.params, rtol=1e-6)
    assert view.log_joint(mode, np.zeros(0)) == pytest.approx(peer.llf, rel=1e-9)


def test_gaussian_modes_are_those_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    data = bg.load_dataset("sleepstudy")
    model = bg.Model("Reaction ~ Days + I(Days^2)", data, priors="flat")
    view = LatentView(model.problem)
    peer = sm.OLS(data["Reaction"].to_numpy(), model.design.predictors["mu"].X).fit()
    sigma = np.sqrt(np.mean(peer.resid**2))
    theta = np.log([sigma])
    mode = newton(view, theta)
    np.testing.assert_allclose(mode, peer.params, rtol=1e-6)
    # log_joint without the Jacobian is the log-likelihood, and sigma is its maximum
    at = [view.log_joint(mode, theta + step, jacobian=False) for step in (-1e-3, 0.0, 1e-3)]
    assert at[1] == pytest.approx(peer.llf, rel=1e-9)
    assert at[1] > max(at[0], at[2])
    assert at[0] == pytest.approx(at[2], abs=1e-5)


# ---------------------------------------------------------------------------------------------- prior predictive


def test_prior_predictive_draws(cbpp: bg.Model) -> None:
    one, two = (cbpp.prior_predictive(30, seed=4) for _ in range(2))
    y = one["prior_predictive"]["y"]
    assert dict(y.sizes) == {"chain": 1, "draw": 30, "obs": 56}
    np.testing.assert_array_equal(y, two["prior_predictive"]["y"])
    assert (y != cbpp.prior_predictive(30, seed=5)["prior_predictive"]["y"]).any()
    trials = one["constant_data"]["trials"]
    np.testing.assert_array_equal(trials, cbpp.design.response.trials)
    assert (y <= trials).all()
    assert set(one["prior"].data_vars) == {"beta", "sd_herd", "b_herd"}


def test_prior_predictive_needs_proper_priors() -> None:
    model = bg.Model(CBPP, bg.load_dataset("cbpp"), "binomial", priors="flat")
    with pytest.raises(PriorError, match="flat prior is not a distribution"):
        model.prior_predictive(seed=1)


def test_truncated_prior_predictive_stays_within_bounds() -> None:
    data = pd.DataFrame({"y": np.linspace(0.5, 3.0, 20), "x": np.tile([-1.0, 1.0], 10)})
    drawn = bg.Model("y | trunc(lb = 0, ub = 4) ~ x", data).prior_predictive(200, seed=1)["prior_predictive"]["y"]
    assert (drawn >= 0).all()
    assert (drawn <= 4).all()


# -------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "one", True])
def test_seeds(cbpp: bg.Model, seed: Any) -> None:
    with pytest.raises(SettingsError, match="seed must be an integer between 0"):
        cbpp.prior_predictive(seed=seed)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"family": "gausian"}, UnknownNameError, r"Unknown family 'gausian'. Did you mean 'gaussian'\?"),
        ({"link": "logg"}, UnknownNameError, r"Unknown link 'logg'. Did you mean 'log'\?"),
        ({"link": {"sigma": "log"}}, UnknownNameError, "no formula models 'sigma'"),
        (
            {"family": "poisson", "link": "logit"},
            SettingsError,
            r"Link 'logit' does not suit mu \(positive\); use",
        ),
        ({"family": "binomial", "link": "log"}, SettingsError, r"Link 'log' does not suit mu \(unit\)"),
    ],
)
def test_families_and_links(arguments: Any, error: type[Exception], message: str) -> None:
    data = pd.DataFrame({"y": [1, 2, 3, 5], "n": [9, 9, 9, 9], "x": [1.0, 2.0, 1.5, 0.3]})
    formula = "y | trials(n) ~ x" if arguments.get("family") == "binomial" else "y ~ x"
    with pytest.raises(error, match=message):
        bg.Model(formula, data, **arguments)


def test_unknown_engines_and_settings(cbpp: bg.Model) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown engine 'nutz'. Did you mean 'nuts'\?"):
        cbpp.fit("nutz")
    with pytest.raises(SettingsError, match=r"drawz.*Did you mean 'draws'"):
        cbpp.fit("nuts", drawz=10)


def test_the_link_is_that_of_the_user() -> None:
    data = pd.DataFrame({"y": [1.0, 2, 3, 5], "x": [1.0, 2.0, 1.5, 0.3]})
    model = bg.Model(["y ~ x", "sigma ~ x"], data, link={"mu": "log", "sigma": "softplus"})
    assert {name: link.name for name, link in model.links.items()} == {"mu": "log", "sigma": "softplus"}


def test_another_response_keeps_priors_and_takes_nothing_else() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0, 5.0, 4.5], "x": [0.0, 1.0, 2.0] * 2, "g": list("aabbcc")})
    model = bg.Model("y ~ x + (1 | g)", data)
    other = model.with_response(data.assign(y=10.0 * data["y"]))
    assert repr(other.priors) == repr(model.priors)
    assert other.design.response.y.tolist() == [10, 20, 40, 30, 50, 45]
    assert other.graph["y"] is not model.graph["y"]
    np.testing.assert_array_equal(other.graph["y_observed"].get_value(), other.design.response.y)
    with pytest.raises(DataError, match="response alone; here `fixed` differs too"):
        model.with_response(data.assign(x=data["x"] + 1.0))
    with pytest.raises(DataError, match=r"`\(1 \| g\)` differs too"):
        model.with_response(data.assign(g=list("abbbcc")))
    with pytest.raises(DataError, match=r"number of rows used \(6 and 5\)` differs too"):
        model.with_response(data.assign(y=[np.nan, 2.0, 4.0, 3.0, 5.0, 4.5]))
