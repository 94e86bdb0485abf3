"""R-squared against R's package performance (0.10.2), closed forms and definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.blocks import Response
from bayesglmm.results.draws import stacked


def table(fit: Any) -> Any:
    return fit.r2().set_index("kind")


@pytest.mark.parametrize(
    ("link", "marginal", "conditional"),
    # performance::r2_nakagawa of glmmTMB(cbind(incidence, size - incidence) ~ period + (1 | herd), binomial(link))
    [("logit", 0.08536317, 0.18721354), ("probit", 0.07611846, 0.17116384)],
)
def test_binomial_as_performance(link: str, marginal: float, conditional: float) -> None:
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = bg.Model(formula, bg.load_dataset("cbpp"), family="binomial", link=link).fit(
        "laplace", objective="ml", seed=1
    )
    found = table(fit)
    assert found.columns.tolist() == ["estimate", "se", "lower", "upper"]
    # Estimates of both agree to four digits, and so do functions of them.
    assert found.loc["marginal", "estimate"] == pytest.approx(marginal, rel=2e-3)
    assert found.loc["conditional", "estimate"] == pytest.approx(conditional, rel=2e-3)
    assert (found["lower"] < found["estimate"]).all()
    assert (found["upper"] > found["estimate"]).all()
    assert f"{link} link" in fit.r2().attrs["note"]


def test_random_slopes_as_performance(dataset: Any) -> None:
    # performance::r2_nakagawa(lmer(Reaction ~ Days + (1 + Days | Subject), sleepstudy, REML = FALSE))
    model = bg.Model("Reaction ~ Days + (1 + Days | Subject)", dataset("sleepstudy"))
    found = table(model.fit("laplace", objective="ml", seed=1))
    assert found.loc["marginal", "estimate"] == pytest.approx(0.2876159, rel=2e-3)
    assert found.loc["conditional", "estimate"] == pytest.approx(0.7927586, rel=2e-3)


def test_gaussian_by_hand(gaussian: Any) -> None:
    fit = gaussian.fit()
    found, draws, problem = table(fit), stacked(fit.draws), gaussian.problem
    X, block = problem.predictors[0].predictor.X, problem.predictors[0].blocks[0].block
    fixed = (draws["beta"] @ X.T).var(axis=1, ddof=1)
    sd, cor = draws["sd_g"], draws["cor_g"]
    sigma_g = sd[:, :, None] * cor * sd[:, None, :]
    groups = np.einsum("sij,ni,nj->s", sigma_g, block.X, block.X) / len(X)
    total = fixed + groups + draws["sigma"] ** 2
    assert found.loc["marginal", "mean"] == pytest.approx((fixed / total).mean())
    assert found.loc["conditional", ["lower", "upper"]].tolist() == pytest.approx(
        np.quantile((fixed + groups) / total, [0.025, 0.975])
    )
    mean = fit._evaluator.predictors(draws, fit._evaluator.arrays())["mu"]
    explained = mean.var(axis=1, ddof=1)
    bayesian = explained / (explained + draws["sigma"] ** 2)
    assert found.loc["bayesian", "mean"] == pytest.approx(bayesian.mean(), abs=0.005)
    assert found.loc["bayesian", "sd"] == pytest.approx(bayesian.std(), rel=0.1)


def test_offsets_are_known_and_explain_nothing(problem: Any) -> None:
    from tests.results.conftest import predictor

    y = np.random.default_rng(0).poisson(4.0, 40).astype(float)
    with_offset = problem("poisson", "log", Response("y", y), {"mu": predictor(offset=True)})
    draws = stacked(with_offset.fit().draws)
    found = table(with_offset.fit())
    X, block = with_offset.problem.predictors[0].predictor.X, with_offset.problem.predictors[0].blocks[0].block
    fixed = (draws["beta"] @ X.T).var(axis=1, ddof=1)
    sigma_g = draws["sd_g"][:, :, None] * draws["cor_g"] * draws["sd_g"][:, None, :]
    groups = np.einsum("sij,ni,nj->s", sigma_g, block.X, block.X) / len(X)
    eta = draws["beta"] @ X.T + with_offset.problem.predictors[0].predictor.offset
    mean = np.exp(eta).mean(axis=1) * np.exp(groups / 2)
    total = fixed + groups + np.log1p(1.0 / mean)  # the Poisson form of Nakagawa, Johnson and Schielzeth
    assert found.loc["marginal", "mean"] == pytest.approx((fixed / total).mean(), rel=0.01)


def test_what_is_missing_is_said() -> None:
    data = bg.load_dataset("cbpp").assign(
        kind=lambda d: d["period"].astype(str).str[-1].map({"1": "a", "2": "b", "3": "c", "4": "a"})
    )
    fit = bg.Model("kind ~ size", data, family="categorical").fit("laplace", seed=1, draws=50)
    assert fit.r2()["kind"].tolist() == ["marginal", "conditional"] * 2
    assert "unordered categories have no variance" in fit.r2().attrs["note"]
