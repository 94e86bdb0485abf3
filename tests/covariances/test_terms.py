"""What users write and read: options, errors, priors, labels. Nothing is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import bayesglmm as bg
from bayesglmm.covariances import COVARIANCES
from bayesglmm.errors import DataError, FormulaError, PriorError, UnknownNameError


def make(term: str, data: pd.DataFrame, **arguments: Any) -> bg.Model:
    return bg.Model(f"y ~ x + {term}", data, **arguments)


@pytest.mark.parametrize(
    ("term", "error", "words"),
    [
        (
            "ar1(1 | g)",
            FormulaError,
            r"`ar1` is a process over the levels of one factor: write ar1\(0 \+ time \| g\)",
        ),
        ("ou(time | g)", FormulaError, "process over the levels of one factor"),
        ("ar1(0 + map | g)", FormulaError, r"`map` has one level \(one\)"),
        ("ar1(0 + late | g)", FormulaError, r"in the order 1, 10, 2, which is that of text. Make the column numeric"),
        ("ou(0 + region | g)", FormulaError, r"'r0' is no position. Write a numeric column, ou\(0 \+ time \| g\)"),
        ("ou(0 + numFactor(lon, lat) | g)", FormulaError, "`ou` runs along one time"),
        ("exp(0 + region | map)", FormulaError, r"exp\(0 \+ numFactor\(x, y\) \| map\)"),
        ("cs(1 | g)", FormulaError, "`cs` is the correlation of two or more coefficients"),
        ("mat(0 + pos(lon, lat) | map, nu=2)", FormulaError, "nu = 0.5, 1.5 or 2.5, not 2"),
        ("rr(0 + factor(time) | g, d=5)", FormulaError, "1 <= d < 5, not 5"),
        ("rr(0 + factor(time) | g, k=2)", FormulaError, "`rr` has no option `k`. Known: d|`rr` has no option `k`"),
        ("us(1 + x | g, hom=TRUE)", FormulaError, "`us` has one variant only"),
        ("car(1 | region)", FormulaError, r"adjacency=W\) and bg.Model\(..., cov="),
        ("car(1 | region, adjacency=W)", UnknownNameError, "There is no matrix `W`: pass it by name"),
        ("car(1 + x | region, adjacency=W)", FormulaError, r"one effect per region: write car\(1 \| region"),
        ("(1 | g)", DataError, "cov= has 'W', which no term names. No term of the formula takes a matrix."),
    ],
)
def test_what_has_no_meaning_is_said(term: str, error: Any, words: str, data: Any, neighbours: Any) -> None:
    late = data.assign(late=np.array(["1", "2", "10"])[np.arange(len(data)) % 3])
    cov = {"W": neighbours} if ("W" in term and error is FormulaError) or term == "(1 | g)" else None
    with pytest.raises(error, match=words):
        make(term, late, cov=cov)


def adjacency_error(W: Any, data: Any) -> str:
    with pytest.raises(DataError) as caught:
        make("icar(1 | region, adjacency=W)", data, cov={"W": W})
    return str(caught.value)


def test_an_adjacency_must_be_one(data: Any, neighbours: Any) -> None:
    one_way = neighbours.copy()
    one_way.iloc[0, 1] = 0.0
    assert "is not symmetric" in adjacency_error(one_way, data)
    assert "negative entries" in adjacency_error(-neighbours, data)
    assert "no region has a neighbour" in adjacency_error(0.0 * neighbours, data)
    assert "must be a square matrix; its shape is (2, 3)" in adjacency_error(np.ones((2, 3)), data)
    assert "no row for the level 'r1' of `region`. Known: r0, r2" in adjacency_error(
        neighbours.drop(index="r1", columns="r1"), data
    )
    assert "has no names and 7 rows, but 6 levels" in adjacency_error(neighbours.to_numpy(), data)
    assert "index and columns of the matrix must hold the same names" in adjacency_error(
        neighbours.rename(columns={"r1": "rr"}), data
    )
    assert "'r0' has the neighbour 'r9', which is none of its keys" in adjacency_error({"r0": ["r9"]}, data)


def test_adjacency_in_any_form_and_order_is_the_same(data: Any, neighbours: Any) -> None:
    lists = {name: list(row.index[row > 0]) for name, row in neighbours.iterrows()}
    mixed = neighbours.sample(frac=1.0, random_state=1)
    levels, logs = [], []
    for W in (neighbours, lists, mixed, mixed.sample(frac=1.0, axis=1, random_state=2)):
        block = make("car(1 | region, adjacency=W)", data, cov={"W": W}).problem.blocks[0].block
        entries, log_det = COVARIANCES.get("car").precision(
            block.constants | {"sd": np.array([0.7]), "rho": np.array([0.6])}, block, _numpy()
        )
        Q = sparse.coo_array((entries, COVARIANCES.get("car").couplings(block)), shape=(7, 7)).toarray()
        frame = pd.DataFrame(Q + np.tril(Q, -1).T, block.levels, block.levels).sort_index().sort_index(axis=1)
        levels.append(frame.to_numpy())
        logs.append(log_det)
    for other, log_det in zip(levels[1:], logs[1:], strict=True):
        np.testing.assert_allclose(other, levels[0])
        assert log_det == pytest.approx(logs[0])


def _numpy() -> Any:
    from bayesglmm.arraymath import NUMPY

    return NUMPY


def test_too_many_points_name_the_alternative(data: Any) -> None:
    rng = np.random.default_rng(0)
    many = pd.DataFrame({"y": rng.normal(size=3001), "x": 0.0, "lon": rng.random(3001), "lat": 0.0, "map": "one"})
    many["x"] = rng.normal(size=3001)
    low_rank = r'3,001 points; .* refused above 3,000. .*{}.*s\(x, y, bs="gp", k=100\)'
    with pytest.raises(DataError, match=low_rank.format("Leave out `neighbours=0`")):
        make("exp(0 + numFactor(lon, lat) | map, neighbours=0)", many)
    with pytest.raises(DataError, match=low_rank.format("`mat` with nu=2.5 is nearly as smooth")):
        make("gau(0 + numFactor(lon, lat) | map)", many)
    assert make("exp(0 + numFactor(lon, lat) | map)", many).design.predictors["mu"].random[0].latent == "precision"


def test_times_that_no_row_has_are_levels_of_an_ordered_column(data: Any) -> None:
    times = pd.Categorical(data["time"], [0.0, 0.5, 1.0, 2.0, 2.5, 6.0], ordered=True)
    block = make("ar1(0 + time | g)", data.assign(time=times)).design.predictors["mu"].random[0]
    assert block.terms == tuple(f"time[{t}]" for t in ("0", "0.5", "1", "2", "2.5", "6"))
    assert not block.X[:, 2].any()
    np.testing.assert_array_equal(block.X[np.arange(len(data)), block.column], 1.0)


def test_default_priors_are_those_of_the_page(model: Any) -> None:
    priors = {slot.label: str(slot.prior) for slot in model("ar1(0 + time | g) + (1 + x | g)").priors}
    assert priors["cor[g, ar1]"] == "Beta(alpha=2, beta=2)"
    assert priors["cor[g]"] == "LKJ(eta=2)"
    assert priors["sd[g, ar1]"].startswith("Exponential")
    own = model("exp(0 + numFactor(lon, lat) | map)").priors.blocks["mu"][0]["range"][0].prior
    low, high = np.exp(own.parameters["mu"] + own.parameters["sigma"] * 2.326 * np.array([-1, 1]))
    assert low < 0.25 < 1.0 < high  # nearest neighbours and the diameter of the points


def test_priors_reach_parameters_by_every_key(model: Any) -> None:
    term = "ar1(0 + time | g) + (1 + x | g)"
    for key in ("cor[g, ar1]", "cor[g,ar1]"):
        found = {slot.label: slot for slot in model(term, priors={key: bg.Prior("Beta", 5, 1)}).priors}
        assert (found["cor[g, ar1]"].source, found["cor[g]"].source) == (key, "default")
    # LKJ is for matrices: the key of the class leaves the autoregression alone.
    found = {slot.label: slot for slot in model(term, priors={"cor": bg.Prior("LKJ", 4)}).priors}
    assert (found["cor[g, ar1]"].source, found["cor[g]"].source) == ("default", "cor")
    for key in ("range", "range[g]", "range[g, ou]"):
        found = {slot.label: slot for slot in model("ou(0 + time | g)", priors={key: bg.Prior("Gamma", 2, 1)}).priors}
        assert found["range[g, ou]"].source == key


@pytest.mark.parametrize(
    ("key", "prior", "words"),
    [
        (
            "cor[g]",
            bg.Prior("Normal", 0, 1),
            r"does not suit cor\[g, ar1\] \(a parameter of a covariance structure\)",
        ),
        ("cor[g]", bg.Prior("Uniform", -2, 1), "must be between -1 and 1"),
        ("cor[g]", bg.Prior("Fixed", 1.0), "must be below 1"),
        ("cor[g]", bg.Prior("Fixed", -1.0), "must be above -1"),
        ("cor[h]", bg.Prior("Beta", 1, 1), r"matches nothing. Did you mean .*cor\[g"),
        ("range[g]", bg.Prior("Gamma", 1, 1), "matches nothing"),
    ],
)
def test_priors_that_do_not_suit_are_refused(key: str, prior: Any, words: str, model: Any) -> None:
    with pytest.raises(PriorError, match=words):
        model("ar1(0 + time | g)", priors={key: prior})


def test_densities_of_priors_are_those_of_scipy(model: Any) -> None:
    """A Beta is stretched over (-1, 1); a uniform prior narrows the interval; Fixed leaves no variable."""
    from scipy import stats

    from bayesglmm.graph.latent import LatentView

    def density(prior: Any, theta: float) -> tuple[float, float]:
        view = LatentView(model("ar1(0 + time | g)", priors={"cor": prior, "sd": bg.Prior("Fixed", 1.0)}).problem)
        natural = view.natural(np.array([theta, 0.0]))["cor_g"]
        return float(natural[0]), view.log_prior(np.array([theta, 0.0]), jacobian=False)

    base = density(bg.Prior("Uniform", -1, 1), 0.4)
    stretched = density(bg.Prior("Beta", 3, 2), 0.4)
    assert stretched[0] == pytest.approx(2 / (1 + np.exp(-0.4)) - 1)
    exact = stats.beta(3, 2, loc=-1, scale=2).logpdf(stretched[0]) - stats.uniform(-1, 2).logpdf(base[0])
    assert stretched[1] - base[1] == pytest.approx(exact)
    assert density(bg.Prior("Uniform", 0.5, 0.9), 0.0)[0] == pytest.approx(0.7)
    held = model("ar1(0 + time | g)", priors={"cor": bg.Prior("Fixed", 0.5)}).problem
    assert "cor_g" not in held.roles


def test_draws_from_the_prior_lie_where_it_says(model: Any) -> None:
    import pymc as pm

    from bayesglmm.graph.compiler import INTERPRETED

    graph = model("ar1(0 + time | g) + rr(0 + factor(time) | g, d=2)", priors={"cor": bg.Prior("Beta", 8, 2)}).graph
    found = pm.draw([graph["cor_g"], graph["loading_g_2"]], 400, random_seed=1, mode=INTERPRETED)
    assert found[0].mean() == pytest.approx(0.6, abs=0.05)  # 2 * 8 / 10 - 1
    assert found[0].min() > -1
    assert found[0].max() < 1
    positive = found[1].min(axis=0) > 0.0
    assert positive[[0, 5]].all()  # the diagonal
    assert positive.sum() == 2
