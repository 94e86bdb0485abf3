"""Group-wise covariances, ``gr(g, by=z)``: lme4's numbers, the dense density, names, priors, new data, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.errors import DataError, FormulaError
from bayesglmm.graph.compiler import UNREWRITTEN
from bayesglmm.graph.latent import LatentView

GROWTH = Path(__file__).parents[1] / "reference" / "expected" / "covariances_orthodont.csv"
TERM = "(1 + x | gr(g, by=z))"


def simulated(levels: int = 30, n: int = 300, seed: int = 1) -> pd.DataFrame:
    """Return rows of groups whose intercepts have sd 1 and 2 by z, and slopes 0.5 and 0.2."""
    rng = np.random.default_rng(seed)
    z = np.where(np.arange(levels) % 3 == 0, "a", "b")
    sds = np.array([{"a": (1.0, 0.5), "b": (2.0, 0.2)}[own] for own in z])
    b, g, x = rng.normal(size=(levels, 2)) * sds, rng.integers(0, levels, n), rng.normal(size=n)
    y = 1.0 + x + b[g, 0] + b[g, 1] * x + 0.5 * rng.normal(size=n)
    return pd.DataFrame({"y": y, "k": rng.poisson(2.0, n), "x": x, "g": np.char.mod("g%02d", g), "z": z[g]})


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return simulated()


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> Any:
    return bg.Model(f"y ~ x + {TERM}", data).fit("laplace", seed=1, draws=400)


@pytest.mark.parametrize(
    ("kind", "term"), [("us", "1 + age |"), ("diag", "1 + age ||"), ("intercept", "1 |")], ids=["us", "diag", "1"]
)
def test_growth_of_boys_and_girls(kind: str, term: str, expected: Callable[[str], Any]) -> None:
    """lme4 with dummy variables in the place of the covariances; the girls' correlation is one in ``us``."""
    block = expected("groupwise")[kind]
    model = bg.Model(f"distance ~ age * Sex + ({term} gr(Subject, by=Sex))", pd.read_csv(GROWTH))
    fit = model.fit("laplace", objective="ml", seed=1)
    assert fit.loglik == pytest.approx(block["logLik"], abs=2e-4)
    table = fit.varcorr().set_index(["term", "kind"])["estimate"]
    boys = ["Intercept:Sex[Male]", "age:Sex[Male]"][: 1 if kind == "intercept" else 2]
    # lme4 lists boys first, sds of a term before its correlation, and the residual last.
    np.testing.assert_allclose([table[name, "sd"] for name in boys], block["sd"][: len(boys)], rtol=5e-3)
    np.testing.assert_allclose(table["", "sd"], block["sigma"], rtol=1e-3)
    if kind == "us":
        assert table[boys[0], "cor"] == pytest.approx(block["cor"][0], abs=2e-3)
        assert table["Intercept:Sex[Female]", "cor"] == pytest.approx(1.0, abs=1e-3)


def test_marginal_density_is_that_of_a_dense_normal_distribution(data: pd.DataFrame) -> None:
    """Z_a Sigma_a Z_a' + ... written out by rows: two rows are correlated if they share g, as their z says."""
    model = bg.Model(f"y ~ x + {TERM}", data)
    view = LatentView(model.problem)
    theta = view.initial_theta + 0.3 * np.random.default_rng(0).normal(size=view.theta_size)
    natural = view.natural(theta)
    Z = np.column_stack([np.ones(len(data)), data["x"]])
    same = data["g"].to_numpy()[:, None] == data["g"].to_numpy()
    V = natural["sigma"] ** 2 * np.eye(len(data))
    for part, z in zip(model.problem.blocks, "ab", strict=True):
        values = part.values(natural)
        L = values["sd"][:, None] * values["cor"]
        rows = Z * (data["z"] == z).to_numpy()[:, None]
        V += same * (rows @ L @ L.T @ rows.T)
    beta = np.array([0.7, 0.3])
    exact = stats.multivariate_normal(Z @ beta, V).logpdf(data["y"])
    ((offset, A),) = view.design(theta)  # effects are standard normal there, and A holds their factor
    A = A.toarray()
    U, r = A[:, 2:], data["y"].to_numpy() - offset - A[:, :2] @ beta
    found = stats.multivariate_normal(np.zeros(len(r)), U @ U.T + natural["sigma"] ** 2 * np.eye(len(r))).logpdf(r)
    assert found == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    ("term", "family"),
    [("(1 | gr(g, by=z))", "gaussian"), pytest.param(TERM, "poisson", marks=pytest.mark.slow)],
)
def test_view_and_graph_agree(term: str, family: str, data: pd.DataFrame) -> None:
    model = bg.Model(f"{'y' if family == 'gaussian' else 'k'} ~ x + {term}", data, family)
    view, rng = LatentView(model.problem), np.random.default_rng(3)
    x, theta = 0.4 * rng.normal(size=view.size), view.initial_theta + 0.4 * rng.normal(size=view.theta_size)
    graph = float(model.graph.compile_logp(mode=UNREWRITTEN)(view.point(x, theta)))
    for name in model.problem.names("fixed"):
        graph -= model.graph.rvs_to_transforms[model.graph[name]].log_det
    assert view.log_joint(x, theta) == pytest.approx(graph, rel=1e-9, abs=1e-7)


def test_names(fit: Any) -> None:
    table = fit.varcorr()
    assert set(table["group"]) == {"g", "Residual"}
    assert table["term"].tolist()[:3] == ["Intercept:z[a]", "x:z[a]", "Intercept:z[a]"]
    assert {"sd[g, Intercept:z[b]]", "cor[g, Intercept:z[b], x:z[b]]"} <= set(fit.summary().index)
    # Each level has effects of one z, and coefficients under the name of the column.
    effects, coefficients = fit.ranef(), fit.coef()
    assert len(effects) == len(coefficients) == 2 * 30
    assert set(coefficients["term"]) == {"Intercept", "x"}
    merged = effects.assign(term=effects["term"].str.partition(":")[0]).merge(coefficients, on=["level", "term"])
    population = fit.fixed()["mean"][merged["term"]].to_numpy()
    np.testing.assert_allclose(merged["mean_x"] + population, merged["mean_y"], atol=1e-12)
    assert "g (30)" in str(fit)
    assert "g (30 levels)" in str(fit.model)


def test_priors_reach_all_one_level_or_one_parameter(data: pd.DataFrame) -> None:
    priors = {
        "sd": bg.Prior("HalfNormal", 1.0),
        "sd[g, z[b]]": bg.Prior("HalfNormal", 2.0),
        "sd[g, x:z[b]]": bg.Prior("HalfNormal", 3.0),
        "cor[g, z[b]]": bg.Prior("LKJ", 4.0),
    }
    model = bg.Model(f"y ~ x + {TERM}", data, priors=priors)
    found = {slot.label: next(iter(slot.prior.parameters.values())) for slot in model.priors}
    assert found["sd[g, Intercept:z[a]]"] == found["sd[g, x:z[a]]"] == 1.0
    assert (found["sd[g, Intercept:z[b]]"], found["sd[g, x:z[b]]"]) == (2.0, 3.0)
    assert (found["cor[g, z[a]]"], found["cor[g, z[b]]"]) == (2.0, 4.0)


def test_default_priors_are_those_of_the_rows_of_a_level(data: pd.DataFrame) -> None:
    """An intercept is a constant of its rows, and not a dummy variable of all."""
    model = bg.Model(f"y ~ x + {TERM}", data)
    plain = bg.Model("y ~ x + (1 + x | g)", data)
    own = {slot.label: slot.prior.parameters["lam"] for slot in model.priors if slot.kind == "scale"}
    one = {slot.label: slot.prior.parameters["lam"] for slot in plain.priors if slot.kind == "scale"}
    assert own["sd[g, Intercept:z[a]]"] == pytest.approx(one["sd[g, Intercept]"])
    ratio = data.loc[data["z"] == "b", "x"].std(ddof=0) / data["x"].std(ddof=0)
    assert own["sd[g, x:z[b]]"] == pytest.approx(one["sd[g, x]"] * ratio)


def test_new_levels_have_the_distribution_of_their_z(fit: Any) -> None:
    new = pd.DataFrame({"x": 0.0, "z": ["a", "b", "b"], "g": ["new 1", "new 2", "g02"]})
    drawn = fit.predict(new.drop(columns="g"), groups="new", scale="link", prob=0.683)
    sds = fit.summary()["mean"][[f"sd[g, Intercept:z[{z}]]" for z in "abb"]].to_numpy()
    np.testing.assert_allclose(drawn["upper"] - drawn["lower"], 2 * sds, rtol=0.2)
    mixed = fit.predict(new, groups="these or new", scale="link", prob=0.683)
    np.testing.assert_allclose((mixed["upper"] - mixed["lower"])[:2], 2 * sds[:2], rtol=0.2)
    known = fit.predict(new.iloc[2:], groups="these", scale="link", prob=0.683)
    np.testing.assert_allclose(mixed["mean"].iloc[2], known["mean"].iloc[0])
    coefficients = fit.coef().query("level == 'g02' and term == 'Intercept'")["mean"].iloc[0]
    assert known["mean"].iloc[0] == pytest.approx(coefficients)
    typical = fit.predict(new.drop(columns="g"), groups="typical", scale="link")
    np.testing.assert_allclose(typical["mean"], fit.fixed()["mean"]["Intercept"])
    with pytest.raises(DataError, match="a level of 'g' that the model has not seen"):
        fit.predict(new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": ["q", "b", "b"]}, "`z` is 'q' in the new data.*no covariance of g for it"),
        ({"g": ["g00", "g01", "g02"], "z": ["b", "b", "b"]}, "'g00' of `g` has `z` = 'b' in the new data and 'a'"),
    ],
)
def test_new_data_that_contradict_the_model(change: dict[str, Any], message: str, fit: Any) -> None:
    new = pd.DataFrame({"x": 0.0, "z": ["a", "b", "b"], "g": ["new 1", "new 2", "g02"]}).assign(**change)
    with pytest.raises(DataError, match=message):
        fit.predict(new, groups="these or new")


def test_what_cannot_be(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="occurs with `z` = 'a' and 'b': a level that has one covariance has one"):
        bg.Model(f"y ~ x + {TERM}", data.assign(z=np.resize(["a", "b"], len(data))))
    alone = data.assign(z=np.where(data["g"] == "g00", "only", "others"))
    with pytest.raises(DataError, match=r"With `z` = 'only' there is one level of `g` \(g00\)"):
        bg.Model(f"y ~ x + {TERM}", alone)
    for right, message in (
        ("(1 | gr(g, by=z, cov=K))", "`cov=` or `by=`"),
        ("(1 | gr(g, to=z))", "no option `to`"),
        ("(1 | g) + (1 | gr(g, by=z))", "`Intercept` varies by `g` twice"),
    ):
        with pytest.raises(FormulaError, match=message):
            bg.Model(f"y ~ x + {right}", data)


def test_all_parts_are_eliminated_level_by_level() -> None:
    """Parts are nested in each other for the factorisation, so that none of their levels is in a dense border."""
    model = bg.Model(f"y ~ x + {TERM}", simulated(levels=400, n=2000))
    pattern = Structure(LatentView(model.problem)).pattern
    assert [corner.width for corner in pattern.corners] == [2, 2]
    assert len(pattern.border) == 2  # Intercept and x


def test_files(fit: Any, data: pd.DataFrame, tmp_path: Path) -> None:
    fit.save(tmp_path / "fit.nc")
    again = bg.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    new = data.head(5).assign(g="new")
    pd.testing.assert_frame_equal(
        again.predict(new, groups="average", seed=1), fit.predict(new, groups="average", seed=1)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "settings"),
    [
        ("nuts", {"draws": 400, "tune": 300, "chains": 2}),
        ("metropolis", {"draws": 1500, "tune": 1000, "chains": 2}),
    ],
)
def test_engines_agree(engine: str, settings: dict[str, Any], data: pd.DataFrame) -> None:
    """With gaussian rows Laplace is exact but for the integration over theta: means within 5 Monte Carlo errors."""
    model = bg.Model("y ~ x + (1 + x || gr(g, by=z))", data)
    one, two = model.fit("laplace", seed=1, draws=1000).summary(), model.fit(engine, seed=1, **settings).summary()
    for label in one.index:
        error = two.loc[label, "sd"] * (two.loc[label, "ess_bulk"] ** -0.5 + 1000**-0.5)
        assert abs(one.loc[label, "mean"] - two.loc[label, "mean"]) < 5 * error + 0.02 * two.loc[label, "sd"], label
