"""Monotonic effects, `mo(x)`, through the whole package: by hand, against ordinary columns, and against brms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.covariances import COVARIANCES
from bayesglmm.errors import DataError, FormulaError, PriorError, SettingsError
from bayesglmm.graph.latent import LatentView

N = 90
LEVELS = ["low", "middle", "high", "top"]
PRIORS = {
    "Intercept": bg.Prior("Normal", 0, 3),
    "mo(f)": bg.Prior("Normal", 0, 0.7),
    "sigma": bg.Prior("Exponential", 1),
}


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    code, z = rng.integers(4, size=N), rng.normal(size=N)
    y = np.array([0.0, 1.5, 1.8, 2.4])[code] + 0.2 * z + rng.normal(scale=0.6, size=N)
    data = pd.DataFrame(
        {"y": y, "z": z, "k": code, "two": (code > 1).astype(int), "group": [f"g{i % 6}" for i in range(N)]}
    )
    data["f"] = pd.Categorical(np.array(LEVELS)[code], LEVELS, ordered=True)
    data["plain"] = np.array(LEVELS)[code]
    return data


DATA = frame()


@pytest.fixture(scope="module")
def fitted() -> bg.Fit:
    return bg.Model("y ~ mo(f) * z + (1 | group)", DATA).fit("laplace", seed=1)


def test_the_density_by_hand() -> None:
    """log p(y, b, zeta, sigma) with a Dirichlet(1) prior, and the Jacobian of the coordinates, computed here."""
    model = bg.Model("y ~ mo(f)", DATA, priors=PRIORS)
    view, rng = LatentView(model.problem), np.random.default_rng(1)
    x, theta = rng.normal(size=view.size), rng.normal(size=view.theta_size)
    natural = view.natural(theta)
    shares, sigma = natural["share_mo_f"], float(natural["sigma"])
    zeta = np.array([shares[0], (1 - shares[0]) * shares[1], (1 - shares[0]) * (1 - shares[1])])
    intercept, b = x[0], 0.7 * x[1]
    effect = np.concatenate([[0.0], np.cumsum(zeta)])[DATA["k"]]
    total = stats.norm(intercept + b * 3 * effect, sigma).logpdf(DATA["y"]).sum()
    total += stats.norm(0, 3).logpdf(intercept) + stats.norm(0, 1).logpdf(x[1:]).sum()
    # d zeta / d share is (1 - share_1); logit and log have s (1 - s) and sigma.
    total += stats.dirichlet([1, 1, 1]).logpdf(zeta) + np.log(1 - shares[0])
    total += np.log(shares * (1 - shares)).sum() + stats.expon.logpdf(sigma) + np.log(sigma)
    assert view.log_joint(x, theta) == pytest.approx(total, rel=1e-10)


def test_independent_shares_make_a_uniform_simplex() -> None:
    """40,000 draws of the default priors: means of Dirichlet(1) within 4 standard errors, variances within 4 %."""
    block = bg.Model("y ~ mo(f)", DATA).problem.blocks[0].block
    monotonic, rng = COVARIANCES.get("monotonic"), np.random.default_rng(2)
    share = next(p for p in monotonic.parameters(block) if p.name == "share")
    drawn = np.stack([prior.draw(rng, (40_000,)) for prior in share.priors], axis=-1)
    simplex = monotonic.derive({"share": drawn, "spread": np.ones((40_000, 1))}, block)["simplex"]
    np.testing.assert_allclose(simplex.sum(axis=-1), 1.0, atol=1e-12)
    exact = stats.dirichlet([1, 1, 1])
    np.testing.assert_allclose(simplex.mean(axis=0), exact.mean(), atol=4 * np.sqrt(exact.var()[0] / 40_000))
    np.testing.assert_allclose(simplex.var(axis=0), exact.var(), rtol=0.04)


def test_another_dirichlet_prior() -> None:
    """Dirichlet(2, 2, 2): the first share is Beta(2, 4), the second Beta(2, 2); the density by scipy."""
    shares = {"share[mo(f), 1]": bg.Prior("Beta", 2, 4), "share[mo(f), 2]": bg.Prior("Beta", 2, 2)}
    views = [LatentView(bg.Model("y ~ mo(f)", DATA, priors=PRIORS | own).problem) for own in ({}, shares)]
    x, theta = np.zeros(views[0].size), np.linspace(-1.0, 1.0, views[0].theta_size)
    share = views[0].natural(theta)["share_mo_f"]
    zeta = np.array([share[0], (1 - share[0]) * share[1], (1 - share[0]) * (1 - share[1])])
    difference = stats.dirichlet([2, 2, 2]).logpdf(zeta) - stats.dirichlet([1, 1, 1]).logpdf(zeta)
    assert views[1].log_joint(x, theta) - views[0].log_joint(x, theta) == pytest.approx(difference, rel=1e-9)


def test_one_step_is_an_ordinary_column() -> None:
    """The same model: the posteriors agree within 4 Monte Carlo standard errors of 1,000 draws."""
    priors = {
        "Intercept": bg.Prior("Normal", 0, 3),
        "fixed": bg.Prior("Normal", 0, 1),
        "sigma": bg.Prior("Exponential", 1),
    }
    one = bg.Model("y ~ two + z", DATA, priors=priors).fit("laplace", seed=1).fixed()
    own = bg.Model("y ~ mo(two) + z", DATA, priors=priors).fit("laplace", seed=1).fixed()
    for column, name in (("two", "mo(two)"), ("z", "z"), ("Intercept", "Intercept")):
        assert own.loc[name, "mean"] == pytest.approx(
            one.loc[column, "mean"], abs=4 * one.loc[column, "sd"] * np.sqrt(2 / 1000)
        )
        assert own.loc[name, "sd"] == pytest.approx(one.loc[column, "sd"], rel=0.15)


def test_tables(fitted: bg.Fit) -> None:
    assert list(fitted.fixed().index) == ["Intercept", "z", "mo(f)", "mo(f):z"]
    own = [label for label in fitted.summary().index if "simplex" in label]
    assert own == [f"simplex[{term}, {j}]" for term in ("mo(f)", "mo(f):z") for j in (1, 2, 3)]
    assert not any("share" in label or "spread" in label for label in fitted.summary().index)
    assert set(fitted.varcorr()["group"]) == {"group", "Residual"}


def test_print(fitted: bg.Fit) -> None:
    text = str(fitted)
    assert "Monotonic effects: shares of the steps" in text
    assert "Smooths" not in text


def test_predictions_by_hand(fitted: bg.Fit) -> None:
    """eta = beta0 + beta_z z + D (b sum zeta + b_z z sum zeta_z) + group, draw by draw."""
    draws = fitted.data.posterior
    beta, group = (draws[name].values.reshape(4 * 0 - 1, *draws[name].shape[2:]) for name in ("beta", "b_group"))
    found = fitted.predict(DATA.head(12))["mean"]
    table = {name: draws[f"simplex_{name}"].values.reshape(-1, 3) for name in ("mo_f", "mo_f_z")}
    b = {name: draws[f"smooth_{name}"].values.reshape(-1, 3).sum(axis=-1) for name in table}
    levels = list(draws["level_group"].values)
    for i in range(12):
        row = DATA.iloc[i]
        steps = {name: 3 * b[name] * zeta[:, : row["k"]].sum(axis=1) for name, zeta in table.items()}
        eta = beta @ [1.0, row["z"]] + steps["mo_f"] + row["z"] * steps["mo_f_z"]
        eta = eta + group[:, levels.index(row["group"]), 0]
        assert found.iloc[i] == pytest.approx(eta.mean(), rel=1e-9)


def test_whole_numbers_are_categories(fitted: bg.Fit) -> None:
    numbers = bg.Model("y ~ mo(k) * z + (1 | group)", DATA).fit("laplace", seed=1)
    np.testing.assert_allclose(numbers.fixed()["mean"], fitted.fixed()["mean"], rtol=1e-6)


def test_new_rows_and_files(fitted: bg.Fit, tmp_path: Path) -> None:
    fitted.save(tmp_path / "mo.nc")
    pd.testing.assert_frame_equal(bg.load(tmp_path / "mo.nc").predict(DATA.head(3)), fitted.predict(DATA.head(3)))
    few = DATA.iloc[:2].assign(f="top")
    assert fitted.predict(few)["mean"].iloc[0] > fitted.predict(few.assign(f="low"))["mean"].iloc[0]
    with pytest.raises(DataError, match=r"'tip'.*Did you mean 'top'"):
        fitted.predict(few.assign(f="tip"))


def test_the_defaults_are_those_of_a_slope() -> None:
    """Normal(0, 2.5 sd(y) / sd(x)) for the mean difference between neighbours, as for the codes as numbers."""
    own = {slot.label: slot.prior for slot in bg.Model("y ~ mo(f)", DATA).problem.priors}
    slope = {slot.label: slot.prior for slot in bg.Model("y ~ k", DATA).problem.priors}
    assert own["mo(f)"] == slope["k"]


def test_as_in_brms(expected: Any) -> None:
    """`ls ~ mo(income) * age` in brms, 12,000 draws: means within 4 standard errors of both, sds within 12 %."""
    reference = expected("monotonic")
    data = pd.DataFrame(reference["data"])
    data["income"] = pd.Categorical(data["income"], reference["levels"], ordered=True)
    priors = {
        "Intercept": bg.Prior("Normal", 0, 50),
        "mo(income)": bg.Prior("Normal", 0, 20),
        "age": bg.Prior("Normal", 0, 5),
        "mo(income):age": bg.Prior("Normal", 0, 5),
        "sigma": bg.Prior("Exponential", 0.1),
    }
    found = bg.Model("ls ~ mo(income) * age", data, priors=priors).fit("laplace", seed=1).summary()
    names = {"b_Intercept": "Intercept", "b_age": "age", "bsp_moincome": "mo(income)", "sigma": "sigma"}
    names |= {"bsp_moincome:age": "mo(income):age"}
    names |= {f"simo_moincome1[{j}]": f"simplex[mo(income), {j}]" for j in (1, 2, 3)}
    names |= {f"simo_moincome:age1[{j}]": f"simplex[mo(income):age, {j}]" for j in (1, 2, 3)}
    for theirs, ours in names.items():
        brms, own = reference["fit"][theirs], found.loc[ours]
        error = 4 * np.hypot(1 / np.sqrt(brms["ess_bulk"]), 1 / np.sqrt(1000))
        assert abs(own["mean"] - brms["mean"]) < error * brms["sd"], theirs
        assert own["sd"] == pytest.approx(brms["sd"], rel=0.12), theirs


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["nuts", "metropolis", "ep"])
def test_engines_agree(engine: str) -> None:
    """Fixed effects of a bernoulli response, within 4 standard errors of the draws and a tenth of a sd."""
    data = DATA.assign(over=(DATA["y"] > 1.5).astype(int))
    model = bg.Model("over ~ mo(f) + z", data, family="bernoulli")
    settings = {} if engine == "ep" else {"chains": 2, "draws": 1500, "tune": 1000}
    found, own = model.fit(engine, seed=1, **settings).summary(), model.fit("laplace", seed=1).summary()
    for name in ("Intercept", "z", "mo(f)", "simplex[mo(f), 1]"):
        error = 0.1 + 4 / np.sqrt(found.loc[name, "ess_bulk"] if engine != "ep" else 1000)
        assert abs(found.loc[name, "mean"] - own.loc[name, "mean"]) < error * own.loc[name, "sd"]


def test_maximum_likelihood_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"mo\(f\).*no maximum likelihood"):
        bg.Model("y ~ mo(f)", DATA).fit("laplace", objective="ml")


@pytest.mark.parametrize(
    ("term", "error", "message"),
    [
        ("mo(plain)", DataError, "have no order"),
        ("mo(z)", DataError, "ordered factor or whole numbers"),
        ("mo(f, k)", FormulaError, "one ordered column"),
        ("mo(f):plain", FormulaError, "multiplied by numbers"),
        ("mo(f):mo(k)", FormulaError, "cannot take part"),
        ("mo(far)", DataError, "at most 50 steps"),
        ("log(mo(f))", FormulaError, "term of its own"),
    ],
)
def test_what_is_refused(term: str, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as found:
        bg.Model(f"y ~ {term}", DATA.assign(far=np.arange(N)))
    assert "^" in str(found.value)


@pytest.mark.parametrize("prior", [bg.Prior("Normal", 1, 1), bg.Prior("StudentT", nu=3, mu=0, sigma=1)])
def test_priors_that_are_not_gaussian_around_zero(prior: bg.Prior) -> None:
    with pytest.raises(PriorError, match="Normal around 0"):
        bg.Model("y ~ mo(f)", DATA, priors={"mo(f)": prior})
