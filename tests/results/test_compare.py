"""The comparison of engines: distances with closed forms, tables equal to the summaries, words that fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.blocks import FixedBlock, Predictor, Response
from bayesglmm.errors import SettingsError
from bayesglmm.results import Fit
from bayesglmm.results.compare import EngineComparison, compare_engines, difference, overlap

COLUMNS = ["parameter", "engine", "mean", "sd", "lower", "upper"]
COMPARED = ["shift", "shift_error", "sd_ratio", "overlap", "wasserstein", "beyond_noise"]


def normal(mean: float = 0.0, sd: float = 1.0, size: int = 4000, chains: int = 4) -> Any:
    """Return draws at the quantiles of a normal distribution, shuffled: its moments almost without noise."""
    z = stats.norm.ppf((np.arange(size) + 0.5) / size)
    return mean + sd * np.random.default_rng(11).permutation(z).reshape(chains, -1)


def changed(case: Any, **beta: tuple[float, float]) -> Fit:
    """Return a fit whose population coefficients are moved and stretched: label -> (move, factor)."""
    draws = case.draws(draws=1000)
    names = ["Intercept", "x"]
    values = np.array(draws["beta"])
    for name, (move, factor) in beta.items():
        j = names.index(name)
        centre = values[..., j].mean()
        values[..., j] = centre + factor * (values[..., j] - centre) + move * values[..., j].std(ddof=1)
    return case.fit(case.run(draws=draws | {"beta": values}))


@pytest.mark.parametrize("shift", [0.0, 0.25, 1.0, 3.0])
def test_two_normals_of_one_spread(shift: float) -> None:
    found = difference(normal(5.0, 2.0), normal(5.0 + 2.0 * shift, 2.0))
    assert found["shift"] == pytest.approx(shift, rel=1e-4)
    assert found["sd_ratio"] == pytest.approx(1.0)
    assert found["wasserstein"] == pytest.approx(shift, rel=1e-4)
    # Kernels widen both densities by some percent, which the area in common feels a little.
    assert found["overlap"] == pytest.approx(2.0 * stats.norm.cdf(-shift / 2.0), abs=0.015)


@pytest.mark.parametrize("ratio", [0.5, 0.9, 2.0])
def test_two_normals_of_one_mean(ratio: float) -> None:
    found = difference(normal(-1.0, 3.0, 20_000), normal(-1.0, 3.0 * ratio, 10_000))
    assert found["shift"] == pytest.approx(0.0, abs=1e-12)
    assert found["sd_ratio"] == pytest.approx(ratio, rel=1e-3)
    assert found["wasserstein"] == pytest.approx(abs(ratio - 1.0) * np.sqrt(2.0 / np.pi), rel=2e-3)
    # The densities cross at two points symmetric about the mean.
    at = np.sqrt(2.0 * np.log(ratio) / (1.0 - ratio**-2))
    inside = [stats.norm.cdf(at / sd) - 0.5 for sd in (1.0, ratio)]
    assert found["overlap"] == pytest.approx(1.0 - 2.0 * abs(inside[1] - inside[0]), abs=0.01)


def test_overlap_does_not_mind_outliers_and_ignores_the_number_of_draws() -> None:
    draws = normal().ravel()
    assert overlap(draws, draws) == pytest.approx(1.0)
    assert overlap(draws, np.append(draws, 1e4)) == pytest.approx(1.0, abs=0.01)
    assert overlap(draws, normal(size=1000).ravel()) == pytest.approx(1.0, abs=0.02)
    assert overlap(draws, draws + 100.0) == pytest.approx(0.0, abs=1e-12)


def test_parameters_that_are_held() -> None:
    held, free = np.full((4, 100), 2.0), normal(size=400)
    assert all(np.isnan(value) for value in difference(held, free).values())
    found = difference(free, held)
    assert found["sd_ratio"] == 0.0
    assert found["overlap"] == 0.0
    assert found["shift"] == pytest.approx(2.0 / free.std(ddof=1))


def test_table_holds_the_summaries_and_the_changes(gaussian: Any) -> None:
    a, b = changed(gaussian), changed(gaussian, x=(0.5, 1.0), Intercept=(0.0, 0.8))
    comparison = compare_engines({"nuts": a, "laplace": b}, prob=0.9)
    table = comparison.table
    assert list(table.columns) == [*COLUMNS, *COMPARED]
    assert table["parameter"].tolist() == [label for label in a.summary().index for _ in range(2)]
    for name, fit in (("nuts", a), ("laplace", b)):
        own = table[table["engine"] == name].set_index("parameter")
        expected = fit.summary(prob=0.9)
        assert np.allclose(own[["mean", "sd", "lower", "upper"]], expected[["mean", "sd", "lower", "upper"]])
    assert table.loc[table["engine"] == "nuts", COMPARED[:-1]].isna().all(axis=None)
    assert not table.loc[table["engine"] == "nuts", "beyond_noise"].any()
    own = table[table["engine"] == "laplace"].set_index("parameter")
    assert own.loc["x", "shift"] == pytest.approx(0.5)
    assert own.loc["x", "wasserstein"] == pytest.approx(0.5)
    assert own.loc["x", "beyond_noise"]
    error = np.hypot(*(fit.summary().loc["x", "mcse_mean"] for fit in (a, b))) / a.summary().loc["x", "sd"]
    assert own.loc["x", "shift_error"] == pytest.approx(error)
    assert own.loc["Intercept", "sd_ratio"] == pytest.approx(0.8)
    assert own.loc["Intercept", "shift"] == pytest.approx(0.0, abs=1e-9)
    rest = own.drop(index=["Intercept", "x"])
    assert rest["shift"].to_numpy() == pytest.approx(0.0)
    assert rest["overlap"].to_numpy() == pytest.approx(1.0)
    assert not rest["beyond_noise"].any()


def test_a_shift_within_monte_carlo_error_is_not_marked(gaussian: Any) -> None:
    few = gaussian.fit(gaussian.run(draws=gaussian.draws(draws=25)))
    many = changed(gaussian)
    table = compare_engines({"many": many, "few": few}).table.dropna()
    assert (table["shift_error"] > 0.05).all()
    assert table["beyond_noise"].tolist() == (table["shift"].abs() > 3 * table["shift_error"]).tolist()
    assert table["beyond_noise"].sum() <= 1


def test_costs(gaussian: Any) -> None:
    fit = gaussian.fit()  # build 0.25, compile 8, sample 4.25 seconds
    found = compare_engines({"a": fit, "b": fit}).engines
    assert list(found.index) == ["a", "b"]
    row = found.loc["a"]
    assert row[["engine", "draws", "verdict"]].tolist() == ["nuts", 1000, fit.verdict.word]
    assert row["total"] == pytest.approx(fit.seconds["total"])
    assert row["compile"] == pytest.approx(8.25)
    assert row["compile"] + row["sample"] == pytest.approx(row["total"])
    least = fit.summary()[["ess_bulk", "ess_tail"]].min(axis=None)
    assert row["ess_min"] == pytest.approx(least)
    assert row["ess_per_second"] == pytest.approx(least / row["sample"])


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (0.12, "x, 0.12 posterior sds (higher by laplace than by nuts): small, and beyond Monte Carlo error."),
        (-0.09, "x, 0.09 posterior sds (lower by laplace than by nuts): negligible, though beyond"),
        (-2.0, "x, 2.00 posterior sds (lower by laplace than by nuts): large, and beyond Monte Carlo error."),
        (0.01, "x, 0.01 posterior sds (higher by laplace than by nuts): negligible, and within Monte Carlo error."),
    ],
)
def test_sentence(gaussian: Any, move: float, words: str) -> None:
    comparison = compare_engines({"nuts": changed(gaussian), "laplace": changed(gaussian, x=(move, 1.0))})
    (sentence,) = comparison.sentences
    assert sentence.startswith("Largest difference: ")
    assert words in sentence
    assert "Sds by laplace are 1.00 to 1.00 times those by nuts." in sentence
    assert sentence in repr(comparison)


def test_text(gaussian: Any) -> None:
    fits = {"nuts": changed(gaussian), "laplace": changed(gaussian, x=(0.5, 1.0))}
    text = repr(compare_engines(fits, prob=0.9))
    lines = text.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("x ")]
    assert lines[at].split()[:2] == ["x", "nuts"]
    assert lines[at + 1].split()[0] == "laplace"
    assert lines[at + 1].split()[-3:-1] == ["0.50*", "1.00"]
    assert "lower 90%" in text
    assert "ESS/second" in text
    assert "nan" not in text
    assert max(map(len, lines)) <= 160
    # Decimal points of the means stand below each other.
    table = lines[lines.index("Parameters") + 2 :]
    assert len({line.index(".") for line in table[: 2 * len(fits["nuts"].summary())]}) == 1


def test_text_of_three_engines_says_which(gaussian: Any) -> None:
    fit = changed(gaussian)
    comparison = compare_engines({"long": fit, "short": changed(gaussian, x=(0.2, 1.0)), "third": fit})
    assert [s.split(":")[0] for s in comparison.sentences] == [
        "Largest difference of short",
        "Largest difference of third",
    ]
    assert comparison.reference == "long"
    assert len(comparison.table) == 3 * len(fit.summary())
    assert "engine" in repr(comparison).splitlines()[1]  # names that are not engines: the engine is shown


def test_html_is_escaped_and_whole(gaussian: Any) -> None:
    fit, name = changed(gaussian), "<b>a name that is longer than fifty characters, which pandas would cut</b>"
    text = compare_engines({"nuts": fit, name: fit})._repr_html_()
    assert "<b>a name" not in text
    assert text.count("which pandas would cut&lt;/b&gt;") >= 2
    assert "Largest difference" in text


@pytest.fixture(scope="module")
def wide(problem: Callable[..., Any]) -> Any:
    """A model with thirty coefficients."""
    n = 40
    X = np.random.default_rng(3).normal(size=(n, 30))
    names = tuple(f"x{j}" for j in range(30))
    block = FixedBlock("fixed", names, names, X, None)
    response = Response("y", np.random.default_rng(1).normal(size=n))
    return problem("gaussian", "identity", response, {"mu": Predictor("mu", n, (block,), (), ())}, formula="y ~ X")


def test_long_tables_are_cut(wide: Any) -> None:
    fit = wide.fit()
    text = repr(compare_engines({"a": fit, "b": fit}))
    assert "... and 11 more parameters: comparison.table" in text
    assert "x19" in text
    assert "x20" not in text


def test_other_priors_are_said(gaussian: Any, problem: Callable[..., Any]) -> None:
    response = gaussian.problem.response
    other = problem("gaussian", "identity", response, priors={"x": bg.Prior("Normal", mu=0.0, sigma=1.0)})
    comparison = compare_engines({"a": gaussian.fit(), "b": other.fit()})
    assert comparison.notes == ("Note: b has other priors than a, for x.",)
    assert comparison.notes[0] in repr(comparison)
    assert compare_engines({"a": gaussian.fit(), "b": gaussian.fit()}).notes == ()


def test_held_parameters_have_no_difference(gaussian: Any, problem: Callable[..., Any]) -> None:
    held = problem("gaussian", "identity", gaussian.problem.response, priors={"sigma": bg.Prior("Fixed", 1.0)})
    comparison = compare_engines({"a": held.fit(), "b": held.fit()})
    row = comparison.table.query("parameter == 'sigma' and engine == 'b'").iloc[0]
    assert row["mean"] == 1.0
    assert np.isnan(row["shift"])
    assert not row["beyond_noise"]
    assert "nan" not in repr(comparison)


def test_different_parameters_are_named(gaussian: Any, two_predictors: Any, wide: Any) -> None:
    with pytest.raises(SettingsError, match="do not have the same parameters") as error:
        compare_engines({"a": gaussian.fit(), "b": two_predictors.fit()})
    assert "only 'a' has sigma" in str(error.value)
    assert "only 'b' has sigma.Intercept" in str(error.value)
    with pytest.raises(SettingsError, match=r"only 'b' has x0, x1, x2, x3, x4, x5 and 24 more\."):
        compare_engines({"a": gaussian.fit(), "b": wide.fit()})


def test_different_data_are_refused(gaussian: Any, problem: Callable[..., Any]) -> None:
    response = Response("y", np.asarray(gaussian.problem.response.y) + 1.0)
    other = problem("gaussian", "identity", response)
    with pytest.raises(SettingsError, match="are not of the same data"):
        compare_engines({"a": gaussian.fit(), "b": other.fit()})


@pytest.mark.parametrize("make", [lambda fit: {"a": fit}, lambda fit: [fit, fit], lambda fit: fit, lambda fit: {}])
def test_what_is_no_comparison(gaussian: Any, make: Callable[[Any], Any]) -> None:
    with pytest.raises(SettingsError, match="needs a mapping of at least two fits"):
        compare_engines(make(gaussian.fit()))


def test_fits_without_posterior_are_refused(gaussian: Any) -> None:
    fit = gaussian.fit()
    del fit.data["posterior"]
    with pytest.raises(SettingsError, match="'b' has estimates and no posterior draws"):
        compare_engines({"a": gaussian.fit(), "b": fit})


def test_is_public_and_frozen(gaussian: Any) -> None:
    comparison = bg.compare_engines({"a": gaussian.fit(), "b": gaussian.fit()})
    assert isinstance(comparison, EngineComparison)
    with pytest.raises(AttributeError):
        comparison.prob = 0.5  # type: ignore[misc]
    assert json.dumps(comparison.engines["verdict"].tolist())
