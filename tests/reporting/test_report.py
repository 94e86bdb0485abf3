"""Reports: whole, correct, accessible, self-contained, and free of what users' names could do to a page."""

from __future__ import annotations

import getpass
import os
import platform
import re

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.errors import BayesglmmError, SettingsError, StorageError
from bayesglmm.reporting import report_html
from bayesglmm.reporting.answer import comparison
from bayesglmm.reporting.references import BY_ENGINE
from bayesglmm.reporting.section import Subject
from bayesglmm.reporting.source import program
from bayesglmm.reporting.style import CSS

RESPONSES = {
    "bernoulli": "binary",
    "beta": "share",
    "beta_binomial": "cbind(count, fail)",
    "binomial": "cbind(count, fail)",
    "categorical": "nominal",
    "cumulative": "ordinal",
    "exponential": "positive",
    "gamma": "positive",
    "gaussian": "real",
    "hurdle_gamma": "nonnegative",
    "hurdle_negative_binomial": "count",
    "hurdle_poisson": "count",
    "inverse_gaussian": "positive",
    "lognormal": "positive",
    "negative_binomial": "count",
    "negative_binomial1": "count",
    "poisson": "count",
    "student_t": "real",
    "weibull": "positive",
    "zero_inflated_binomial": "cbind(count, fail)",
    "zero_inflated_negative_binomial": "count",
    "zero_inflated_poisson": "count",
}
QUICK = ("cumulative",)
TITLES = [
    "What was asked",
    "The model",
    "Priors",
    "Data",
    "Can these numbers be trusted?",
    "Estimates",
    "Group effects",
    "Smooth functions",
    "Predictive checks",
    "How to cite",
    "How to reproduce",
]


@pytest.fixture(scope="module")
def text(fit):
    return report_html(fit)


def test_a_report_is_whole_and_accessible(text, faults, parsed):
    assert faults(text) == []
    assert [e.text for e in parsed(text).all("h2")] == TITLES
    assert "Not available" not in text


def test_the_checks_of_this_test_find_faults(text, faults):
    assert any("no alt" in fault for fault in faults(re.sub(r'alt="[^"]*"', "", text)))
    assert any("scope" in fault for fault in faults(text.replace(' scope="row"', "", 1)))
    assert any("jumps" in fault for fault in faults(re.sub(r"<(/?)h2", r"<\1h4", text)))
    assert any("id twice" in fault for fault in faults(text.replace('id="data"', 'id="model"')))
    assert any("elsewhere" in fault for fault in faults(text.replace('href="#data"', 'href="http://a.org"', 1)))
    assert any("<script>" in fault for fault in faults(text.replace("<main>", "<main><script></script>")))


def test_numbers_are_those_of_the_tables(fit, text, parsed):
    rows = {e.text for e in parsed(text).all("tr")}
    mean, sd = fit.summary().loc["x", ["mean", "sd"]]
    assert any(row.startswith(f"x{mean:.3f}".replace("-", "−")[:5]) for row in rows)
    assert any(row.startswith(f"x{np.exp(mean):.3g}") for row in rows)  # the rate ratio
    assert f"{len(fit.problem.response.y):,} of them are used" in text
    assert "Normal(mu=0.1, sigma=0.3333)" in text
    assert "given as x" in text
    assert sd > 0


def test_the_model_in_mathematics(fit, text, parsed):
    maths = parsed(text).all("math")
    assert len(maths) == 1
    spoken = maths[0].attributes["alttext"]
    assert "y[i] ∼ Poisson(μ[i])" in spoken
    assert "log(μ[i]) = β[Intercept] + β[x] · x[i] + s(z)[i] + b[Intercept, g[i]]" in spoken
    assert "b[Intercept, g] ∼ Normal(0, sd[g, Intercept]²)" in spoken


def test_the_file_of_a_loaded_fit_is_the_same(fit, text, tmp_path):
    fit.save(tmp_path / "fit.nc")
    place = bg.load(tmp_path / "fit.nc").report(tmp_path / "report.html")
    assert place == tmp_path / "report.html"
    written = place.read_text(encoding="utf-8")
    assert written == text
    assert len(written) < 2_000_000
    for secret in (str(tmp_path), os.getcwd(), os.path.expanduser("~") + "/", platform.node() or "no name"):
        assert secret not in written
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in written


def test_the_fit_stays_as_it_was(data):
    fit = bg.Model("real ~ x", data).fit("laplace", draws=50, seed=1)
    groups = set(fit.data.children)
    report_html(fit)
    assert set(fit.data.children) == groups


@pytest.mark.slow
def test_other_predictors_and_correlated_residuals(data, faults, parsed):
    d = data.assign(t=np.arange(60) // 6)
    model = bg.Model(["real ~ x + (1 | g)", "sigma ~ z"], d, residual="ar1(t | g)")
    fit = model.fit("laplace", draws=40, seed=1)
    written = report_html(fit)
    assert faults(written) == []
    spoken = parsed(written).all("math")[0].attributes["alttext"]
    assert "log(σ[i]) = β[sigma.Intercept] + β[sigma.z] · z[i]; b[Intercept, g]" in spoken
    assert {"sigma.Intercept", "sigma.z", "sd[g, Intercept]"} <= set(fit.summary().index)
    assert "are correlated, ar1(t | g)" in written
    assert "residual=&#x27;ar1(t | g)&#x27;" in written


def test_the_code_makes_the_same_fit(fit, data):
    lines = program(fit).replace("data = ...", "data = given")
    found = {"given": data}
    exec(compile(lines, "report", "exec"), found)
    assert found["fit"].draws.equals(fit.draws)


@pytest.mark.slow
def test_the_code_of_models_with_more_arguments(data, faults):
    W = pd.DataFrame(np.ones((6, 6)) - np.eye(6), index=(names := [f"g{k}" for k in range(6)]), columns=names)
    model = bg.Model(
        ["real ~ x + car(1 | g, adjacency=W)", "sigma ~ z"],
        data.assign(w=2.0),
        "gaussian",
        link={"sigma": "softplus"},
        likelihood_weights="w",
        cov={"W": W},
    )
    fit = model.fit("laplace", objective="ml", seed=3)
    lines = program(fit).replace("data = ...", "data = given").replace("W = ...", "W = matrix")
    found = {"given": data.assign(w=2.0), "matrix": W}
    exec(compile(lines, "report", "exec"), found)
    assert found["fit"].loglik == fit.loglik
    written = report_html(fit)
    assert faults(written) == []
    assert "maximum likelihood" in written
    assert "odds ratio" not in written  # exp of a coefficient in units of the response is no ratio


@pytest.mark.slow
def test_the_code_of_a_nonlinear_model(data, faults, parsed):
    formula = bg.nonlinear("real ~ a * exp(-k * z)", a="~ 1 + (1 | g)", k="~ 1", start={"a": 1.0, "k": 0.5})
    fit = bg.Model(formula, data).fit("laplace", objective="ml")
    found = {"given": data}
    exec(compile(program(fit).replace("data = ...", "data = given"), "report", "exec"), found)
    assert found["fit"].loglik == fit.loglik
    written = report_html(fit)
    assert faults(written) == []
    assert "a * exp(-k * z)" in parsed(written).all("math")[0].attributes["alttext"]


def test_names_are_text_and_never_markup(hostile, evil, faults, parsed):
    column, level = evil
    written = report_html(hostile, title=f"{column} {level}")
    assert faults(written) == []
    page = parsed(written)
    assert page.all("h1")[0].text == f"{column} {level}"
    assert all("onerror" not in e.attributes for e in page.elements)
    assert any(e.text == level for e in page.all("th"))
    assert column not in written


@pytest.fixture(scope="module")
def chains(data):
    return bg.Model("real ~ x + (1 | g)", data).fit("metropolis", draws=60, tune=60, seed=1, progressbar=False)


def test_chains_and_engines_compared(data, chains, faults):
    other = bg.Model("real ~ x + (1 | g)", data).fit("laplace", draws=60, seed=1)
    written = report_html(chains, others={"metropolis": other})
    assert faults(written) == []
    assert "Engines compared" in written
    assert "Traces, autocorrelations and densities" in written
    assert "What to do:" in written  # sixty draws are too few
    assert "Not available" not in written
    wrong = bg.Model("real ~ z", data).fit("laplace", draws=60, seed=1)
    section = comparison(Subject(chains, 0.9, {"other": wrong}))
    assert section is not None
    assert "do not have the same parameters" in section.body


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in RESPONSES])
def test_every_family(data, name, faults, parsed):
    slopes = "1 + x" if name == "gaussian" else "1"  # a table in which rows share the name of a group
    fit = bg.Model(f"{RESPONSES[name]} ~ x + ({slopes} | g)", data, name).fit("laplace", draws=60, seed=1)
    written = report_html(fit)
    assert faults(written) == []
    assert "Not available" not in written
    called = "".join(word.capitalize() for word in name.split("_"))
    assert f"∼ {called}(" in parsed(written).all("math")[0].attributes["alttext"]


def test_every_family_and_engine_is_known_here():
    assert set(RESPONSES) == set(bg.FAMILIES.names())
    assert set(BY_ENGINE) == set(ENGINES.names())


@pytest.mark.slow
def test_maps_and_surfaces(faults, parsed):
    r = np.random.default_rng(2)
    d = pd.DataFrame(
        {"lon": r.uniform(-71, -70, 150), "lat": r.uniform(41, 42, 150), "a": r.random(150), "b": r.random(150)}
    )
    d["y"] = (r.random(150) < 0.4).astype(int)
    fit = bg.Model("y ~ s(lon, lat, k=8) + te(a, b, k=3)", d, "bernoulli").fit("laplace", draws=60, seed=1)
    written = report_html(fit)
    assert faults(written) == []
    alts = [e.attributes["alt"] for e in parsed(written).all("img")]
    assert any(alt.startswith("Map of s(lon, lat") for alt in alts)
    assert any(alt.startswith("Filled contours of te(a, b") for alt in alts)


def test_what_a_report_refuses(fit, tmp_path):
    with pytest.raises(SettingsError, match=r"must end in \.html"):
        fit.report(tmp_path / "report.pdf")
    with pytest.raises(SettingsError, match="probability between 0 and 1"):
        fit.report(tmp_path / "report.html", prob=95)
    with pytest.raises(StorageError, match="cannot be written"):
        fit.report(tmp_path / "there is no such folder" / "report.html")
    bare = type(fit)(fit.data, fit.problem)
    with pytest.raises(BayesglmmError, match="does not hold its model"):
        bare.report(tmp_path / "report.html")


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize(("name", "least"), [("ink", 7.0), ("soft", 4.5), ("link", 4.5)])
def test_contrast_of_text(name, least):
    """WCAG 2.2, success criterion 1.4.3, on white and on the grey of code."""
    colour = re.search(rf"--{name}: (#\w{{6}})", CSS).group(1)
    for back in ("#ffffff", "#f3f3f3"):
        assert (luminance(back) + 0.05) / (luminance(colour) + 0.05) >= least
