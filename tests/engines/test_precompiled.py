"""Code compiled ahead: its density is that of the compiled graph, its gradient that of its density."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.engines.aggregated import density_rows, equal_rows
from bayesglmm.engines.kernels import positive_priors, row_densities
from bayesglmm.engines.prepared import prepare
from bayesglmm.errors import SettingsError
from bayesglmm.families import FAMILIES
from bayesglmm.families.base import ResponseData
from bayesglmm.graph.compiler import INTERPRETED
from bayesglmm.links import LINKS

P = bg.Prior
# What is covered, and one of everything that has code of its own.
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "intercepts": ("y ~ x + (1 | a)", "gaussian", {}),
    "precision weights": ("y ~ x + (1 | a)", "gaussian", {"weights": "w"}),
    "two columns": ("y ~ x + (1 + x | a)", "gaussian", {}),
    "four columns": ("two ~ x + (1 + x + z + w | a)", "bernoulli", {}),
    "independent": ("y ~ x + (1 + x || a)", "gaussian", {}),
    "diagonal": ("y ~ x + diag(1 + x | a)", "gaussian", {}),
    "nested": ("y ~ x + (1 | a/b)", "gaussian", {}),
    "crossed": ("n ~ x + (1 + z | a) + (1 + x | c) + (1 | row)", "negative_binomial", {}),
    "crossed slope": ("n ~ x + (0 + z | c) + (1 + x | a) + (1 | row)", "poisson", {}),
    "crossed, no columns": ("two ~ 0 + (1 | c) + (1 | a)", "bernoulli", {"priors": {"sd[c]": P("Fixed", 0.7)}}),
    "offset": ("n ~ x + offset(z) + (1 | a) + (1 | row)", "poisson", {}),
    "held sd": ("y ~ x + (1 | a)", "gaussian", {"priors": {"sd": P("Fixed", 0.7), "sigma": P("Fixed", 0.5)}}),
    "no columns": ("y ~ 0 + (1 | a)", "gaussian", {}),
    "smooth": ("cbind(s, 7 - s) ~ s(x, k=6) + (1 | a)", "binomial", {}),
    "gamma": ("positive ~ x + (1 | a)", "gamma", {"link": "log"}),
    "priors": (
        "y ~ x + (1 + x | a) + (1 | c)",
        "gaussian",
        {"priors": {"sd[a]": P("Gamma", 2, 3), "sd[c]": P("HalfStudentT", 3, 2.0), "cor": P("LKJ", 3)}},
    ),
    "equal binary rows": ("two ~ half + (1 | a) + (1 + half | c)", "bernoulli", {}),
    "equal counts": ("n ~ half + (1 | a)", "poisson", {}),
    "flat": ("y ~ x + (1 | a)", "gaussian", {"priors": "flat"}),
    "by": ("y ~ x + (1 + x | gr(a, by=half))", "gaussian", {}),
}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 36
    a, x = rng.integers(0, 5, n), rng.normal(5.0, 2.0, n)
    eta = 0.3 * x + np.array([0.5, -1.0, 0.3, 0.9, -0.6])[a]
    y = eta + rng.normal(0, 0.7, n)
    return pd.DataFrame(
        {
            "x": x,
            "z": rng.normal(size=n),
            "w": rng.uniform(0.5, 2, n),
            "a": a,
            "half": np.where(a < 3, "few", "more"),
            "b": rng.integers(0, 2, n),
            "c": rng.integers(0, 4, n),
            "row": np.arange(n),
            "y": y,
            "n": rng.poisson(np.exp(0.3 * eta)),
            "s": rng.binomial(7, 0.4, n),
            "two": (y > y.mean()).astype(int),
            "positive": np.exp(0.2 * y),
        }
    )


@pytest.mark.parametrize("case", CASES)
def test_density_and_gradient_are_those_of_the_graph(case: str, data: pd.DataFrame) -> None:
    formula, family, more = CASES[case]
    prepared = prepare(bg.Model(formula, data, family=family, **more).problem)
    assert prepared.ahead
    packed = prepared.compiled
    assert prepared.conditioned is not None
    graph = prepared.conditioned.model.compile_logp(mode=INTERPRETED)
    rng, apart = np.random.default_rng(0), []
    for _ in range(4):
        q = rng.normal(0, 0.5, packed.n_dim)
        ends = np.cumsum([int(np.prod(shape)) for shape in packed.variables.values()])[:-1]
        pieces = zip(packed.variables.items(), np.split(q, ends), strict=True)
        value, gradient = packed.value_and_gradient(q)
        apart.append(value - float(graph({name: piece.reshape(shape) for (name, shape), piece in pieces})))
        h = 1e-5
        steps = h * np.eye(packed.n_dim)
        numeric = [
            (packed.value_and_gradient(q + s)[0] - packed.value_and_gradient(q - s)[0]) / (2 * h) for s in steps
        ]
        np.testing.assert_allclose(gradient, numeric, atol=1e-6 * max(1.0, np.abs(gradient).max()))
    # Equal up to a constant; the sums have some hundred terms of size one to a hundred.
    assert np.ptp(apart) < 1e-9


@pytest.mark.parametrize(
    ("family", "link", "phi", "trials"),
    [
        ("bernoulli", "logit", None, None),
        ("binomial", "logit", None, 9.0),
        ("poisson", "log", None, None),
        ("gaussian", "identity", 0.7, None),
        ("negative_binomial", "log", 1.7, None),
        ("gamma", "log", 2.3, None),
    ],
)
def test_rows_have_the_derivatives_of_the_family(
    family: str, link: str, phi: float | None, trials: float | None
) -> None:
    own = FAMILIES.get(family)
    name = own.row_density(LINKS.get(link))
    assert name is not None
    code = row_densities.CODES[name]
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0]) + (0.5 if family == "gamma" else 0.0)
    eta = np.array([-30.0, -2.0, 0.3, 3.0, 30.0])
    names = [p.name for p in own.parameters[1:]]
    sizes = np.full(5, trials or 1.0)
    extra = ResponseData(trials=sizes if trials else None)
    expected = own.derivatives(y, eta, dict.fromkeys(names, phi), extra, LINKS.get(link), 2)
    assert expected is not None
    assert expected.value is not None
    rows = list(zip(y, sizes, eta, strict=True))
    if code == row_densities.BINOMIAL:
        linear, tail, slope = np.array([row_densities.binomial_row(*values) for values in rows]).T
        found = np.array([linear - sizes * np.log1p(tail), slope])
    else:
        found = np.array([row_densities.row(code, *values, phi or 1.0) for values in rows]).T
    finite = np.abs(eta) < 10 if family == "gamma" else np.full(5, True)  # y exp(30) is 1e13: nothing to compare
    constants = found[0] - expected.value
    if phi is None:
        by_y = {value: np.ptp(constants[y == value]) for value in set(y)}
        assert max(by_y.values()) < 1e-9
    np.testing.assert_allclose(found[1][finite], np.asarray(expected.d1)[finite], rtol=1e-9, atol=1e-12)
    for each in names:
        np.testing.assert_allclose(found[2][finite], expected.dphi[each][finite], rtol=1e-8, atol=1e-10)


def test_digamma() -> None:
    x = np.array([1e-3, 0.1, 0.7, 1.0, 3.3, 8.0, 40.0, 1e5])
    np.testing.assert_allclose([row_densities.digamma(v) for v in x], special.digamma(x), rtol=1e-12, atol=1e-13)


SCIPY = {
    "Exponential": (stats.expon(scale=1 / 1.7), (1.7,)),
    "HalfNormal": (stats.halfnorm(scale=1.7), (1.7,)),
    "HalfCauchy": (stats.halfcauchy(scale=1.7), (1.7,)),
    "Gamma": (stats.gamma(2.2, scale=1 / 1.3), (2.2, 1.3)),
    "InverseGamma": (stats.invgamma(2.2, scale=1.3), (2.2, 1.3)),
    "LogNormal": (stats.lognorm(0.6, scale=np.exp(0.3)), (0.3, 0.6)),
    "Weibull": (stats.weibull_min(1.6, scale=1.3), (1.6, 1.3)),
}


@pytest.mark.parametrize("name", [*SCIPY, "HalfStudentT", "Flat"])
def test_priors_on_the_log_scale(name: str) -> None:
    code, parameters = positive_priors.CODES[name]
    if name == "HalfStudentT":
        dist, values = stats.t(4.0, scale=1.3), (4.0, 1.3)
    elif name == "Flat":
        dist, values = None, ()
    else:
        dist, values = SCIPY[name]
    assert len(values) == len(parameters)
    a, b = (*values, 0.0, 0.0)[:2]

    def called(t: float) -> tuple[float, float]:
        return positive_priors.on_log_scale(code, a, b, t)

    t = np.array([-3.0, -0.5, 0.4, 1.5])
    found = np.array([called(v) for v in t])
    expected = t if dist is None else dist.logpdf(np.exp(t)) + t
    assert np.ptp(found[:, 0] - expected) < 1e-10
    h = 1e-6
    numeric = [(called(v + h)[0] - called(v - h)[0]) / (2 * h) for v in t]
    np.testing.assert_allclose(found[:, 1], numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("formula", "family", "more", "reason"),
    [
        (["y ~ x + (1 | a)", "sigma ~ z"], "gaussian", {}, "more than one linear predictor"),
        ("y ~ x + (1 | a)", "student_t", {}, "family 'student_t'"),
        ("two ~ x + (1 | a)", "bernoulli", {"link": "probit"}, "probit link"),
        ("y ~ x + cs(1 + x | a)", "gaussian", {}, "covariance structure"),
        ("y ~ x + (1 | a)", "gaussian", {"priors": {"sd": P("Uniform", 0, 3)}}, "prior Uniform"),
        ("y ~ x + (1 | a)", "gaussian", {"likelihood_weights": "w"}, "weighted"),
        ("y ~ x + (1 | a)", "gaussian", {"priors": {"fixed": P("StudentT", 4, 0, 2)}}, "not normal"),
        ("y ~ x + (1 | mm(a, c))", "gaussian", {}, "across levels"),
        ("y ~ x + (1 | a)", "gaussian", {"residual": "ar1(row | a)"}, "correlated"),
        ("y ~ x", "gaussian", {}, "no group effects"),
    ],
)
def test_other_models_are_compiled_and_say_why(
    formula: Any, family: str, more: dict[str, Any], reason: str, data: pd.DataFrame
) -> None:
    problem = bg.Model(formula, data, family=family, **more).problem
    assert not prepare(problem).ahead
    with pytest.raises(SettingsError, match=re.escape(reason)):
        prepare(problem, "ahead")


def test_other_versions_of_nutpie_are_left_alone(data: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nutpie.__version__", "1.0.0")
    assert not prepare(bg.Model("y ~ x + (1 | a)", data).problem).ahead


def test_chains_in_threads_do_not_disturb_each_other(data: pd.DataFrame) -> None:
    model = bg.Model("n ~ x + (1 | a) + (1 | row)", data, family="poisson")
    settings = {"draws": 100, "tune": 100, "chains": 4, "seed": 3, "progressbar": False}
    one, four = (model.fit("nuts", cores=cores, **settings) for cores in (1, 4))
    for name, values in one.draws.data_vars.items():
        np.testing.assert_array_equal(values, four.draws[name])


def test_equal_rows_are_one(data: pd.DataFrame) -> None:
    """What is one row is equal but for the response, and its sums are those of its rows."""
    for formula, family, column in (
        ("two ~ half + (1 | a)", "bernoulli", "two"),
        ("n ~ half + (1 | a)", "poisson", "n"),
    ):
        conditioned = prepare(bg.Model(formula, data, family=family).problem).conditioned
        assert conditioned is not None
        code = row_densities.CODES["binomial-logit" if family == "bernoulli" else "poisson-log"]
        rows = density_rows(conditioned, np.zeros(len(data)), code)
        cells = data.groupby(["a", "half"], sort=False)[column].agg(["sum", "size"])
        np.testing.assert_array_equal(rows.y, cells["sum"])
        np.testing.assert_array_equal(rows.size, cells["size"])
        np.testing.assert_allclose(rows.weights.sum(), conditioned.working.weights.sum())
    gaussian = prepare(bg.Model("y ~ half + (1 | a)", data).problem).conditioned
    assert gaussian is not None
    assert len(density_rows(gaussian, np.zeros(len(data)), row_densities.CODES["gaussian"]).y) == len(data)
    different = data["x"].to_numpy()
    assert equal_rows([data["a"], different], len(data)) is None


def test_many_binary_rows_share_logarithms() -> None:
    """Products of two thousand factors between one and two would overflow; their logarithm is taken on the way."""
    data = pd.DataFrame({"y": np.tile([0, 1, 1], 700), "x": np.linspace(-3, 3, 2100), "g": np.arange(2100) % 700})
    prepared = prepare(bg.Model("y ~ x + (1 | g)", data, family="bernoulli").problem)
    graph = prepared.conditioned.model.compile_logp(mode=INTERPRETED)
    rng, apart = np.random.default_rng(1), []
    for scale in (0.1, 2.0):
        point = {name: scale * rng.normal(size=shape) for name, shape in prepared.compiled.variables.items()}
        q = np.concatenate([np.ravel(values) for values in point.values()])
        apart.append(prepared.compiled.value_and_gradient(q)[0] - float(graph(point)))
    assert np.ptp(apart) < 1e-8


@pytest.mark.slow
def test_posterior_is_that_of_the_compiled_graph(data: pd.DataFrame) -> None:
    model = bg.Model("y ~ x + (1 + z | a) + (1 | c)", data)
    ahead, compiled = (
        model.fit("nuts", path=path, seed=5, draws=2000, progressbar=False).summary()
        for path in ("ahead", "compiled")
    )
    error = np.hypot(ahead["mcse_mean"], compiled["mcse_mean"])
    # Some ten parameters: five standard errors of the difference are exceeded once in a hundred thousand runs.
    assert (np.abs(ahead["mean"] - compiled["mean"]) < 5 * error).all()
    np.testing.assert_allclose(ahead["sd"], compiled["sd"], rtol=0.2)
