"""Priors of priors: standard deviations with a common scale that is estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bayesglmm as bg
from bayesglmm.errors import PriorError, SettingsError
from bayesglmm.graph.compiler import UNREWRITTEN
from bayesglmm.graph.latent import LatentView

COMMON = bg.Prior("HalfNormal", sigma=bg.Prior("Exponential", lam=2.0))


def simulated(terms: int = 4, n: int = 300, seed: int = 3) -> pd.DataFrame:
    """Return rows with `terms` grouping factors of 12 levels, small standard deviations."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n)})
    y = 1.0 + 0.5 * data["x"].to_numpy() + rng.normal(size=n)
    for j, sd in enumerate(np.abs(rng.normal(size=terms)) * 0.4):
        g = rng.integers(0, 12, n)
        data[f"g{j}"] = np.char.mod("l%d", g)
        y = y + sd * rng.normal(size=12)[g]
    return data.assign(y=y)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return simulated()


FORMULA = "y ~ x + (1 | g0) + (1 | g1) + (1 | g2)"


@pytest.mark.parametrize(
    ("priors", "density"),
    [
        (
            {"sd": COMMON},
            lambda v: (
                stats.expon(scale=0.5).logpdf(v["prior_sd_sigma"])
                + sum(stats.halfnorm(scale=v["prior_sd_sigma"]).logpdf(v[f"sd_g{j}"][0]) for j in range(3))
            ),
        ),
        (
            {
                "sd": bg.Prior("LogNormal", mu=bg.Prior("Normal", -1, 0.5), sigma=bg.Prior("HalfNormal", 1.0)),
                "sd[g1]": bg.Prior("Exponential", lam=bg.Prior("Gamma", 2.0, 1.0)),
            },
            lambda v: (
                stats.norm(-1, 0.5).logpdf(v["prior_sd_mu"])
                + stats.halfnorm(scale=1.0).logpdf(v["prior_sd_sigma"])
                + stats.gamma(2.0).logpdf(v["prior_sd_g1_lam"])
                + stats.expon(scale=1 / v["prior_sd_g1_lam"]).logpdf(v["sd_g1"][0])
                + sum(
                    stats.lognorm(v["prior_sd_sigma"], scale=np.exp(v["prior_sd_mu"])).logpdf(v[f"sd_g{j}"][0])
                    for j in (0, 2)
                )
            ),
        ),
    ],
    ids=["one scale", "several"],
)
def test_density_is_the_one_written_out(priors: Any, density: Any, data: pd.DataFrame) -> None:
    model = bg.Model(FORMULA, data, priors=priors)
    view, rng = LatentView(model.problem), np.random.default_rng(1)
    x, theta = 0.3 * rng.normal(size=view.size), view.initial_theta + 0.3 * rng.normal(size=view.theta_size)
    natural = view.natural(theta)
    sigma = natural["sigma"]
    own = stats.expon(scale=1 / model.priors.dispersions["sigma"].prior.parameters["lam"]).logpdf(sigma)
    assert view.log_prior(theta, jacobian=False) == pytest.approx(own + density(natural), rel=1e-9)
    # The graph that NUTS samples is the structured view that Laplace integrates.
    graph = float(model.graph.compile_logp(mode=UNREWRITTEN)(view.point(x, theta)))
    graph -= model.graph.rvs_to_transforms[model.graph["beta"]].log_det
    assert view.log_joint(x, theta) == pytest.approx(graph, rel=1e-9)


def test_one_term_may_have_its_own_prior_beside_the_common_one() -> None:
    """Components of one vector with different distributions, one of them with an estimated parameter."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.normal(size=60), "x": rng.normal(size=60), "g": np.resize(list("abcdef"), 60)})
    model = bg.Model(
        "y ~ x + (1 + x || g)", data, priors={"sd": COMMON, "sd[g, x]": bg.Prior("Exponential", lam=3.0)}
    )
    view = LatentView(model.problem)
    natural = view.natural(view.initial_theta + 0.2)
    expected = (
        stats.halfnorm(scale=natural["prior_sd_sigma"]).logpdf(natural["sd_g"][0])
        + stats.expon(scale=1 / 3).logpdf(natural["sd_g"][1])
        + stats.expon(scale=0.5).logpdf(natural["prior_sd_sigma"])
        + stats.expon(scale=1 / model.priors.dispersions["sigma"].prior.parameters["lam"]).logpdf(natural["sigma"])
    )
    assert view.log_prior(view.initial_theta + 0.2, jacobian=False) == pytest.approx(expected, rel=1e-9)
    drawn = model.prior_predictive(draws=4000, seed=1)["prior"]
    shared, sds = drawn["prior_sd_sigma"].values.ravel(), drawn["sd_g"].values.reshape(-1, 2)
    assert shared.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(4000))
    # E |N(0, s)| = s sqrt(2 / pi), and large scales go with large standard deviations.
    assert (sds[:, 0] / shared).mean() == pytest.approx(np.sqrt(2 / np.pi), abs=5 * 0.6 / np.sqrt(4000))
    assert np.corrcoef(shared, sds[:, 0])[0, 1] > 0.4
    assert abs(np.corrcoef(shared, sds[:, 1])[0, 1]) < 5 / np.sqrt(4000)


def test_posterior_of_the_common_scale_is_that_of_an_integral(data: pd.DataFrame) -> None:
    """With one grouping factor the scale can be integrated out by a grid over it, sd and the rest held."""
    held = {"sigma": bg.Prior("Fixed", 1.0), "sd": COMMON}
    fit = bg.Model("y ~ x + (1 | g0)", data, priors=held).fit("laplace", seed=1, draws=4000)
    # Given sd the data say nothing of the scale: p(scale | y) = integral of p(scale | sd) p(sd | y).
    grid = np.linspace(1e-3, 5.0, 4000)
    sds = fit.draws["sd_g0"].values.ravel()
    density = np.mean(
        [
            weights / integrate.trapezoid(weights, grid)
            for weights in (
                stats.expon(scale=0.5).pdf(grid) * stats.halfnorm(scale=grid).pdf(sd)
                for sd in np.quantile(sds, np.linspace(0.0025, 0.9975, 200))
            )
        ],
        axis=0,
    )
    mean = integrate.trapezoid(grid * density, grid)
    row = fit.summary().loc["prior[sd, sigma]"]
    assert row["mean"] == pytest.approx(mean, abs=0.15 * row["sd"])  # theta is explored on a grid
    assert row["sd"] == pytest.approx(np.sqrt(integrate.trapezoid((grid - mean) ** 2 * density, grid)), rel=0.15)


def test_summary_text_and_files(data: pd.DataFrame, tmp_path: Path) -> None:
    model = bg.Model(FORMULA, data, priors={"sd": COMMON})
    assert "sd[g0, Intercept]  HalfNormal(sigma=Exponential(lam=2))  given as 'sd'" in str(model)
    fit = model.fit("laplace", seed=1, draws=100)
    assert "prior[sd, sigma]" in fit.summary().index
    assert set(fit.varcorr()["group"]) == {"g0", "g1", "g2", "Residual"}
    fit.save(tmp_path / "fit.nc")
    again = bg.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    assert again.model.priors.blocks["mu"][0]["sd"][0].prior == COMMON


def test_standard_deviations_by_level_share_a_scale() -> None:
    """Those of gr(g, by=z), one level of which has few groups: it borrows from the others."""
    rng = np.random.default_rng(2)
    g = rng.integers(0, 40, 400)
    z = np.array(["a", "b", "c", "d"])[np.arange(40) % 4]
    y = 0.6 * rng.normal(size=40)[g] + rng.normal(size=400)
    data = pd.DataFrame({"y": y, "g": np.char.mod("g%02d", g), "z": z[g]})
    model = bg.Model("y ~ 1 + (1 | gr(g, by=z))", data, priors={"sd[g]": COMMON})
    assert model.problem.hyperpriors[0].label == "prior[sd[g], sigma]"
    assert model.problem.labels()["prior_sd_g_sigma"] == ("prior[sd[g], sigma]",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bg.Prior("HalfNormal", sigma=bg.Prior("Normal", 0, 1)), "support real; allowed: positive"),
        (lambda: bg.Prior("HalfNormal", sigma=COMMON), "priors may be nested once"),
        (lambda: bg.Prior("Uniform", lower=0, upper=bg.Prior("Exponential", 1.0)), "upper must be a number"),
        (lambda: bg.Prior("HalfNormal", sigma=bg.Prior("Flat")), "support any"),
    ],
)
def test_nested_priors_must_make_sense(make: Any, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        make()


def test_only_standard_deviations_have_them(data: pd.DataFrame) -> None:
    with pytest.raises(PriorError, match="for standard deviations of group effects and smooths only, not for x"):
        bg.Model(FORMULA, data, priors={"x": bg.Prior("Normal", 0, bg.Prior("Exponential", 1.0))})
    model = bg.Model(FORMULA, data, priors={"sd": COMMON})
    with pytest.raises(SettingsError, match="uses no priors"):
        model.fit("laplace", objective="ml")


def test_texts_of_nested_priors() -> None:
    assert repr(COMMON) == "Prior('HalfNormal', sigma=Prior('Exponential', lam=2))"
    assert str(COMMON) == "HalfNormal(sigma=Exponential(lam=2))"
    assert eval(repr(COMMON), {"Prior": bg.Prior}) == COMMON
    assert hash(COMMON) == hash(bg.Prior("HalfNormal", bg.Prior("Exponential", 2.0)))
    draws = COMMON.draw(np.random.default_rng(0), 20000)
    assert draws.mean() == pytest.approx(0.5 * np.sqrt(2 / np.pi), abs=0.02)
    assert COMMON.centre == pytest.approx(0.4)


@pytest.mark.slow
def test_engines_agree_on_many_small_standard_deviations() -> None:
    """Eight factors with small sds: NUTS and Laplace within 5 Monte Carlo errors and 0.1 posterior sds."""
    data = simulated(terms=8, n=400)
    formula = "y ~ x + " + " + ".join(f"(1 | g{j})" for j in range(8))
    model = bg.Model(formula, data, priors={"sd": COMMON})
    one = model.fit("laplace", seed=1).summary()
    two = model.fit("nuts", seed=1, draws=500, tune=500, chains=2).summary()
    for label in one.index:
        error = two.loc[label, "sd"] / np.sqrt(two.loc[label, "ess_bulk"])
        apart = abs(one.loc[label, "mean"] - two.loc[label, "mean"])
        assert apart < 5 * error + 0.1 * two.loc[label, "sd"], label
