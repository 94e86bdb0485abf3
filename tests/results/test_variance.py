"""Shares of variance against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bayesglmm.blocks import FixedBlock, Predictor, RandomBlock, Response
from bayesglmm.errors import BayesglmmError
from bayesglmm.families import FAMILIES
from bayesglmm.priors import Prior

N = 60


def intercepts(name: str = "mu") -> Predictor:
    ones = np.ones((N, 1))
    fixed = FixedBlock("fixed", ("Intercept",), ("Intercept",), ones, 0)
    block = RandomBlock("(1 | g)", "g", ("Intercept",), ("a", "b", "c"), np.arange(N) % 3, ones, "diag")
    return Predictor(name, N, (fixed,), (block,))


def shares(problem: Any, family: str, link: str, response: Response, **kwargs: Any) -> tuple[Any, Any]:
    fit = problem(family, link, response, {"mu": intercepts()}, **kwargs).fit()
    table = fit.icc().set_index("group")
    assert table["mean"].sum() == pytest.approx(1.0)
    return fit, table


def test_gaussian_is_the_intraclass_correlation(problem: Any) -> None:
    y = np.random.default_rng(0).normal(size=N)
    fit, table = shares(problem, "gaussian", "identity", Response("y", y))
    tau, sigma = (fit.data["posterior"][name].values.ravel() ** 2 for name in ("sd_g", "sigma"))
    icc = tau / (tau + sigma)
    row = table.loc["g"]
    assert row["mean"] == pytest.approx(icc.mean())
    assert row[["lower", "upper"]].tolist() == pytest.approx(np.quantile(icc, [0.025, 0.975]))
    assert table.loc["Residual", "variance"] == pytest.approx(sigma.mean())


@pytest.mark.parametrize(
    ("link", "latent"),
    [("logit", np.pi**2 / 3), ("probit", 1.0), ("cloglog", np.pi**2 / 6), ("loglog", np.pi**2 / 6)],
)
def test_binary_responses_have_the_latent_variance(problem: Any, link: str, latent: float) -> None:
    y = np.random.default_rng(0).binomial(1, 0.5, N).astype(float)
    fit, table = shares(problem, "bernoulli", link, Response("y", y, categories=("no", "yes")))
    tau = fit.data["posterior"]["sd_g"].values.ravel() ** 2
    assert table.loc["g", "mean"] == pytest.approx((tau / (tau + latent)).mean())


def test_cauchit_uses_the_slope_of_its_link(problem: Any) -> None:
    y = np.random.default_rng(0).binomial(1, 0.5, N).astype(float)
    case = problem("bernoulli", "cauchit", Response("y", y, categories=("no", "yes")), {"mu": intercepts()})
    fit = case.fit()
    table = fit.icc().set_index("group")
    eta, tau = fit.draws["beta"].values.ravel(), fit.draws["sd_g"].values.ravel() ** 2
    p, slope = 0.5 + np.arctan(eta) / np.pi, 1.0 / (np.pi * (1.0 + eta**2))
    exact = tau / (tau + p * (1.0 - p) / slope**2)
    assert table.loc["g", "mean"] == pytest.approx(exact.mean(), rel=0.02)  # a thousand simulated responses per draw
    assert "slope of the link" in fit.icc().attrs["note"]


def test_ordered_categories_need_a_link_with_a_latent_variance(problem: Any) -> None:
    y = (np.arange(N) % 3).astype(float)
    ones = np.ones((N, 1))
    block = RandomBlock("(1 | g)", "g", ("Intercept",), ("a", "b", "c"), np.arange(N) % 3, ones, "diag")
    response = Response("y", y, categories=("low", "mid", "high"))
    case = problem("cumulative", "cauchit", response, {"mu": Predictor("mu", N, (), (block,))})
    with pytest.raises(BayesglmmError, match="cauchit link has no latent variance"):
        case.fit().icc()


def test_categories_have_shares_against_the_reference(problem: Any) -> None:
    rng = np.random.default_rng(0)
    response = Response("y", rng.integers(0, 3, N).astype(float), categories=("a", "b", "c"))
    names = FAMILIES.get("categorical").main_predictors(response)
    case = problem("categorical", "identity", response, {name: intercepts(name) for name in names})
    fit = case.fit()
    table = fit.icc().set_index(["predictor", "group"])
    assert table.index.tolist() == [(name, group) for name in names for group in ("g", "Residual")]
    for part in case.problem.predictors:
        tau = fit.draws[part.blocks[0].names.variable("sd")].values.ravel() ** 2
        expected = (tau / (tau + np.pi**2 / 3)).mean()
        assert table.loc[(part.names.parameter, "g"), "mean"] == pytest.approx(expected)


def test_poisson_counts_at_their_mean(problem: Any) -> None:
    y = np.random.default_rng(0).poisson(5, N).astype(float)
    fit, table = shares(problem, "poisson", "log", Response("y", y))
    posterior = fit.data["posterior"]
    tau = posterior["sd_g"].values.ravel() ** 2
    mean = np.exp(posterior["beta"].values.ravel() + tau / 2)
    exact = tau / (tau + np.log1p(1.0 / mean))
    assert table.loc["g", "mean"] == pytest.approx(exact.mean(), abs=0.005)
    assert "log(1 + variance / mean^2)" in fit.icc().attrs["note"]


def test_gamma_with_an_inverse_link_uses_its_slope(problem: Any) -> None:
    y = np.random.default_rng(0).gamma(3.0, size=N)
    case = problem("gamma", "softplus", Response("y", y), {"mu": intercepts()}, priors={"shape": Prior("Fixed", 4.0)})
    draws = case.draws()
    draws["beta"] = draws["beta"] * 0.1 + 5.0  # softplus is nearly the identity there
    table = case.fit(case.run(draws=draws)).icc().set_index("group")
    mean = np.logaddexp(0.0, draws["beta"].ravel())
    tau = draws["sd_g"].ravel() ** 2
    residual = mean**2 / 4.0 / (1.0 - np.exp(-mean)) ** 2
    assert table.loc["g", "mean"] == pytest.approx((tau / (tau + residual)).mean(), rel=0.02)


def test_slopes_are_averaged_over_the_rows(gaussian: Any) -> None:
    fit = gaussian.fit()
    posterior = {name: v.values.reshape(-1, *v.shape[2:]) for name, v in fit.data["posterior"].data_vars.items()}
    Z = gaussian.problem.predictors[0].blocks[0].block.X
    sd, cor = posterior["sd_g"], posterior["cor_g"]
    variance = [np.mean([z @ (np.outer(s, s) * r) @ z for z in Z]) for s, r in zip(sd, cor, strict=True)]
    assert fit.icc().loc[0, "variance"] == pytest.approx(np.mean(variance))


def test_a_modelled_sigma_and_weights_enter_the_residual(two_predictors: Any, problem: Any) -> None:
    fit = two_predictors.fit()
    eta = fit.problem.predictors[1].predictor.X @ np.zeros(2)
    assert np.isfinite(fit.icc()["variance"]).all()
    assert len(eta) == 40
    y = np.random.default_rng(0).normal(size=N)
    plain, table = shares(problem, "gaussian", "identity", Response("y", y))
    _, weighted = shares(problem, "gaussian", "identity", Response("y", y, weights=np.full(N, 4.0)))
    assert weighted.loc["Residual", "variance"] == pytest.approx(table.loc["Residual", "variance"] / 4.0)
    assert plain.icc().equals(plain.icc())


def test_student_t_residuals_have_the_variance_of_their_tails(problem: Any) -> None:
    y = np.random.default_rng(0).normal(size=N)
    case = problem("student_t", "identity", Response("y", y), {"mu": intercepts()})
    draws = case.draws()
    draws["nu"] = 3.0 + draws["nu"]
    tau, sigma, nu = (draws[name].flatten() for name in ("sd_g", "sigma", "nu"))
    residual = sigma**2 * nu / (nu - 2.0)
    table = case.fit(case.run(draws=draws)).icc().set_index("group")
    assert table.loc["g", "mean"] == pytest.approx(np.mean(tau**2 / (tau**2 + residual)))
    assert table.loc["Residual", "variance"] == pytest.approx(residual.mean())
    draws["nu"][0] = 1.5  # no variance in one chain of four
    fit = case.fit(case.run(draws=draws))
    table, note = fit.icc().set_index("group"), fit.icc().attrs["note"]
    share = np.where(draws["nu"].ravel() <= 2.0, 0.0, 1.0)
    assert table.loc["g", "mean"] == pytest.approx(np.mean(share * tau**2 / (tau**2 + residual)))
    assert np.isinf(table.loc["Residual", "variance"])
    assert "infinite in 0.25 of the draws" in note
