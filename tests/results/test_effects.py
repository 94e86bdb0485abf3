"""Effects against closed forms draw by draw, against R's emmeans, and against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, FormulaError, ModelWarning, SettingsError, UnknownNameError
from bayesglmm.results.effects.table import EffectTable
from bayesglmm.results.levels import CHOICES

N = 60


@pytest.fixture(scope="module")
def data() -> Any:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "y": rng.poisson(3, N),
            "x": rng.normal(size=N) + 1.0,
            "z": rng.normal(size=N),
            "kind": rng.choice(["a", "b", "c"], N, p=[0.6, 0.3, 0.1]),
            "sex": rng.choice(["f", "m"], N),
            "on": rng.integers(0, 2, N),
            "t": rng.uniform(1, 3, N),
            "g": rng.choice(["g1", "g2", "g3"], N),
        },
        index=np.arange(100, 100 + N),
    )


def made(from_formula: Any, formula: str, data: Any, family: str) -> Any:
    case, design = from_formula(formula, data, family)
    draws = {k: 0.3 * v if "beta" in k or "u_" in k else v for k, v in case.draws(2, 100).items()}
    return case.fit(case.run(draws=draws), design=design)


@pytest.fixture(scope="module")
def normal(from_formula: Any, data: Any) -> Any:
    return made(from_formula, "y ~ x * kind + sex + (1 + x | g)", data, "gaussian")


@pytest.fixture(scope="module")
def counts(from_formula: Any, data: Any) -> Any:
    return made(from_formula, "y ~ x + kind + on + offset(log(t)) + (1 | g)", data, "poisson")


def flat(fit: Any, name: str) -> Any:
    values = fit.data["posterior"][name].values
    return values.reshape(-1, *values.shape[2:])


def beta(fit: Any, column: str) -> Any:
    return flat(fit, "beta")[:, fit.problem.predictors[0].predictor.columns.index(column)]


def drawn(table: Any) -> Any:
    return table.draws.values.reshape(-1, len(table))


# ------------------------------------------------------------------------------------------------- closed forms


def test_comparisons_and_slopes_of_a_linear_model_are_its_coefficients(normal: Any, data: Any) -> None:
    """With an identity link the average effect of x is its coefficient, the interaction by share, slopes by group."""
    b, c = (float((data["kind"] == level).mean()) for level in "bc")
    slope = beta(normal, "x") + b * beta(normal, "x:kind[b]") + c * beta(normal, "x:kind[c]")
    for groups in ("typical", "average"):
        assert np.allclose(drawn(normal.slopes("x", groups=groups))[:, 0], slope)
        assert np.allclose(drawn(normal.comparisons("x", groups=groups))[:, 0], slope)
        assert np.allclose(drawn(normal.comparisons("x", 2.5, groups=groups))[:, 0], 2.5 * slope)
        assert np.allclose(drawn(normal.comparisons("x", (1, -2), groups=groups))[:, 0], -3.0 * slope)
        spread = data["x"].std()
        assert np.allclose(drawn(normal.comparisons("x", "sd", groups=groups))[:, 0], spread * slope)
    own = flat(normal, "b_g")[:, :, 1]
    index = normal.problem.blocks[0].block.index
    assert np.allclose(drawn(normal.slopes("x"))[:, 0], slope + own[:, index].mean(axis=1))
    by = normal.slopes("x", by="g")
    kinds = data.groupby("g")["kind"]
    for j, group in enumerate(("g1", "g2", "g3")):
        share = kinds.get_group(group).value_counts(normalize=True)
        mine = beta(normal, "x") + own[:, j]
        mine = mine + share.get("b", 0) * beta(normal, "x:kind[b]") + share.get("c", 0) * beta(normal, "x:kind[c]")
        assert np.allclose(drawn(by)[:, j], mine)
    assert by["g"].tolist() == ["g1", "g2", "g3"]


def test_factors_against_reference_in_pairs_and_in_sequence(normal: Any) -> None:
    at = {"x": 0.0}
    b, c = beta(normal, "kind[b]"), beta(normal, "kind[c]")
    expected = {"reference": [b, c], "pairwise": [b, c, c - b], "sequential": [b, c - b]}
    for contrast, values in expected.items():
        table = normal.comparisons("kind", contrast, at=at)
        assert np.allclose(drawn(table), np.stack(values, axis=-1))
    assert normal.comparisons("kind", "pairwise", at=at)["contrast"].tolist() == ["b - a", "c - a", "c - b"]
    assert np.allclose(drawn(normal.comparisons("kind", ("c", "b"), at=at))[:, 0], b - c)
    assert "kind = " not in normal.comparisons("kind", at="means").attrs["note"]
    assert "Held: x = " in normal.comparisons("x", at="means").attrs["note"]
    # The variable that is compared does not vary in a grid as well.
    assert len(normal.comparisons("kind", at={"kind": "levels", "sex": "levels"})) == 2 * 2


def test_two_values_are_compared_with_each_other(counts: Any, data: Any) -> None:
    """One more than 1 would be no value of an indicator."""
    table = counts.comparisons("on", kind="ratio", groups="typical")
    assert table["contrast"].tolist() == ["1 / 0"]
    assert np.allclose(drawn(table)[:, 0], np.exp(beta(counts, "on")))


def test_effects_under_a_log_link(counts: Any, data: Any) -> None:
    mean = counts.predicted_draws(groups="these").values.reshape(200, N)
    assert np.allclose(drawn(counts.slopes("x"))[:, 0], beta(counts, "x") * mean.mean(axis=1), rtol=1e-6)
    assert np.allclose(drawn(counts.slopes("x", scale="link"))[:, 0], beta(counts, "x"))
    ratio = counts.comparisons("x", kind="ratio", scale="link", groups="typical")
    assert np.allclose(drawn(ratio)[:, 0], np.exp(beta(counts, "x")))
    assert "rate ratio" in ratio.attrs["note"]
    # A ratio of averages, not an average of ratios.
    kinds = counts.comparisons({"kind": ("a", "c")}, kind="ratio")
    low, high = (counts.predictions(data.assign(kind=level), average=True) for level in "ac")
    assert np.allclose(drawn(kinds), drawn(high) / drawn(low))
    # Offsets: in the rows they multiply, without they are per unit.
    unit = counts.predictions(average=True, offset=0)
    assert np.allclose(drawn(unit)[:, 0], (mean / data["t"].to_numpy()).mean(axis=1))
    rows = bg.grid(counts, x=[0.0, 1.0])
    by_row = counts.comparisons("kind", ("a", "b"), new=rows, offset=[0.0, np.log(2.0)])
    assert np.allclose(drawn(by_row)[:, 1], 2.0 * np.exp(beta(counts, "x")) * drawn(by_row)[:, 0])


@pytest.mark.parametrize("groups", CHOICES)
def test_every_word_of_groups(groups: str, counts: Any) -> None:
    """Intercepts that vary cancel in ratios, whoever the group is: both versions of a row have the same one."""
    table = counts.comparisons("x", kind="ratio", average=False, groups=groups, seed=1)
    assert np.allclose(drawn(table), np.exp(beta(counts, "x"))[:, None])
    assert np.allclose(drawn(counts.slopes("x", scale="link", groups=groups, seed=1))[:, 0], beta(counts, "x"))
    average = counts.predictions(groups=groups, seed=1)
    each = counts.predicted_draws(groups=groups, seed=1).values.reshape(200, N)
    assert np.allclose(drawn(average)[:, 0], each.mean(axis=1))
    assert average.attrs["groups"] == groups


def test_predictions_by_and_on_grids(normal: Any, data: Any) -> None:
    each = normal.predicted_draws().values.reshape(200, N)
    by = normal.predictions(by=["kind", "sex"])
    for j, (kind, sex) in enumerate(by[["kind", "sex"]].itertuples(index=False)):
        chosen = ((data["kind"] == kind) & (data["sex"] == sex)).to_numpy()
        assert np.allclose(drawn(by)[:, j], each[:, chosen].mean(axis=1))
    counterfactual = normal.predictions(bg.grid(normal, kind="levels", at="data"))
    other = normal.predict(data.assign(kind="b"), groups="these")["mean"].mean()
    assert counterfactual["mean"][1] == pytest.approx(other)
    plain = normal.predictions(at={"x": [0.0, 1.0]})
    expected = normal.predict(bg.grid(normal, x=[0.0, 1.0]), groups="typical")
    assert np.allclose(plain[["mean", "sd", "lower", "upper"]], expected[["mean", "sd", "lower", "upper"]])
    assert "Held: kind = a, sex = " in plain.attrs["note"]
    assert len(normal.predictions(average=False)) == N


def test_slopes_through_smooths_and_polynomials(data: Any) -> None:
    """Against differences of predictions over a wide step, of fourth order, and a parabola's own derivative."""
    rng = np.random.default_rng(1)
    own = data.assign(y=np.sin(2 * data["x"]) + data["z"] ** 2 + 0.2 * rng.normal(size=N))
    fit = bg.Model("y ~ s(x, k=8) + poly(z, 2) + (1 | g)", own).fit("laplace", seed=1, draws=100)
    x = np.array([0.5, 1.0, 1.4])
    table = fit.slopes("x", at={"x": x})
    h = 2e-3
    at = [fit.predicted_draws(bg.grid(fit, x=x + k * h), groups="typical").values for k in (-2, -1, 1, 2)]
    wide = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    assert np.allclose(drawn(table), wide.reshape(-1, 3), atol=1e-4 * np.abs(wide).max())
    parabola = fit.slopes("z", at={"z": [-1.0, 0.0, 2.0]})
    ends = fit.predicted_draws(bg.grid(fit, z=[-1.0, 0.0, 1.0, 2.0, 3.0]), groups="typical").values.reshape(-1, 5)
    assert np.allclose(drawn(parabola)[:, 2], (ends[:, 4] - ends[:, 2]) / 2, atol=1e-6)
    assert parabola["mean"][0] == pytest.approx(-2.0, abs=0.4)


def test_a_jump_has_no_slope(from_formula: Any, data: Any) -> None:
    fit = made(from_formula, "y ~ x + I(x > 1) + (1 | g)", data, "gaussian")
    with pytest.warns(ModelWarning, match=r"kink or jump along x in 1 of 2 rows"):
        table = fit.slopes("x", at={"x": [0.0, 1.0]})
    assert np.allclose(drawn(table)[:, 0], beta(fit, "x"))
    assert "kink or jump" in table.attrs["note"]
    assert "kink" not in fit.slopes("x", at={"x": [0.0, 2.0]}).attrs["note"]


def test_categories_have_rows_of_their_own(from_formula: Any, data: Any) -> None:
    own = data.assign(
        y=pd.Categorical(np.array(["low", "mid", "high"])[np.arange(N) % 3], ["low", "mid", "high"], True)
    )
    fit = made(from_formula, "y ~ x + kind + (1 | g)", own, "cumulative")
    table = fit.comparisons("kind", groups="average")
    assert table["category"].tolist() == ["low", "mid", "high"] * 2
    assert np.allclose(drawn(table).reshape(200, 2, 3).sum(axis=2), 0.0)
    mean = fit.predictions(at={"kind": "levels"})
    assert np.allclose(drawn(mean).reshape(200, 3, 3).sum(axis=2), 1.0)
    odds = fit.comparisons("x", kind="odds ratio", at="means", groups="typical")
    # P(low) has the odds exp(c - eta): one more x divides them by exp(beta), and multiplies those of "high".
    assert np.allclose(drawn(odds)[:, 0], np.exp(-beta(fit, "x")))
    assert np.allclose(drawn(odds)[:, 2], np.exp(beta(fit, "x")))
    assert fit.slopes("x").shape[0] == 3


# ------------------------------------------------------------------------------------------------- marginal means


@pytest.fixture(scope="module")
def herds() -> Any:
    data = bg.load_dataset("cbpp")
    model = bg.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")
    return model.fit("laplace", seed=1, objective="ml")


def test_marginal_means_weigh_levels_equally(normal: Any, data: Any) -> None:
    table = normal.emmeans("sex")
    x = data["x"].mean()
    own = (beta(normal, "kind[b]") + beta(normal, "kind[c]")) / 3 + x * beta(normal, "x")
    own = own + x * (beta(normal, "x:kind[b]") + beta(normal, "x:kind[c]")) / 3 + beta(normal, "Intercept")
    assert np.allclose(drawn(table), np.stack([own, own + beta(normal, "sex[m]")], axis=-1))
    assert "Equal weights for the levels of kind." in table.attrs["note"]
    pairs = normal.emmeans("kind", by="sex", pairwise=True, at={"x": 0.0})
    assert pairs["contrast"].tolist() == ["a - b", "a - c", "b - c"] * 2
    assert pairs["sex"].tolist() == ["f"] * 3 + ["m"] * 3
    assert np.allclose(drawn(pairs)[:, 0], -beta(normal, "kind[b]"))
    at = normal.emmeans("x", at={"x": [0.0, 3.0]})
    assert np.allclose(drawn(at)[:, 1] - drawn(at)[:, 0], 3 * drawn(normal.slopes("x", at="balanced")).mean(axis=1))


def test_marginal_means_of_emmeans_on_glmer(herds: Any) -> None:
    """R: emmeans 1.8.4 on glmer(cbind(incidence, size - incidence) ~ period + (1 | herd)), lme4 1.1.

    Estimates agree as far as the two optima do; our standard errors are those of 2,000 or more draws (2 %), glmer's
    from the curvature at the optimum.
    """
    table = herds.emmeans("period")
    assert np.allclose(table["estimate"], [-1.3983429, -2.3902678, -2.5265591, -2.9780883], atol=2e-3)
    assert np.allclose(table["se"], [0.2312140, 0.3073939, 0.3270801, 0.4251647], rtol=0.07)
    pairs = herds.emmeans("period", pairwise=True)
    expected = [0.9919250, 1.1282162, 1.5797454, 0.1362912, 0.5878204, 0.4515292]
    assert np.allclose(pairs["estimate"], expected, atol=1e-3)
    ratios = herds.emmeans("period", pairwise=True, kind="ratio")
    assert np.allclose(ratios["estimate"], np.exp(expected), rtol=1e-3)
    assert pairs["contrast"].tolist() == ["1 - 2", "1 - 3", "1 - 4", "2 - 3", "2 - 4", "3 - 4"]


def test_marginal_means_of_emmeans_on_lmer() -> None:
    """R: emmeans(lmer(Reaction ~ Days + (Days | Subject), REML = FALSE), "Days", at = list(Days = c(0, 5)))."""
    data = bg.load_dataset("sleepstudy")
    fit = bg.Model("Reaction ~ Days + (Days | Subject)", data).fit("laplace", seed=1, objective="ml")
    table = fit.emmeans("Days", at={"Days": [0, 5]})
    assert np.allclose(table["estimate"], [251.40510, 303.74153], atol=1e-3)
    assert np.allclose(table["se"], [6.632123, 9.311141], rtol=0.07)


def test_marginal_means_of_emmeans_with_an_interaction_and_an_offset(dataset: Any) -> None:
    """R: emmeans on glmer with the formula below, family poisson.

    emmeans takes the mean of the offset, so it is given here; a grid of ours has the offset at the mean brood size.
    """
    owls = dataset("Owls")
    formula = "SiblingNegotiation ~ FoodTreatment * SexParent + ArrivalTime + offset(log(BroodSize)) + (1 | Nest)"
    fit = bg.Model(formula, owls, family="poisson").fit("laplace", seed=1, objective="ml")
    offset = float(np.log(owls["BroodSize"]).mean())
    assert np.allclose(fit.emmeans("FoodTreatment", offset=offset)["estimate"], [2.0514107, 1.4505931], atol=2e-4)
    by = fit.emmeans("FoodTreatment", by="SexParent", offset=offset)
    assert np.allclose(by["estimate"], [2.0575861, 1.3901741, 2.0452353, 1.5110121], atol=2e-4)
    assert np.allclose(by["se"], [0.09628881, 0.09993276, 0.09364680, 0.09653994], rtol=0.07)
    pairs = fit.emmeans("FoodTreatment", by="SexParent", pairwise=True)
    assert np.allclose(pairs["estimate"], [0.6674121, 0.5342232], atol=1e-4)
    means = fit.emmeans(["SexParent", "FoodTreatment"], scale="response", offset=offset)
    assert np.allclose(means["estimate"], [7.827054, 4.015549, 7.730978, 4.531315], rtol=2e-4)


def test_estimates_are_at_the_estimates_and_drawn_groups_are_averages(herds: Any) -> None:
    table = herds.predictions(at={"period": "levels"})
    at = herds.fixed()["estimate"].to_numpy()
    assert np.allclose(table["estimate"], special.expit(at[0] + np.array([0.0, *at[1:]])))
    assert "asymptotic" in table.attrs["note"]
    new = herds.predictions(at={"period": "levels"}, groups="new", seed=1)
    assert np.allclose(new["estimate"], drawn(new).mean(axis=0))


# ------------------------------------------------------------------------------------------------- odds ratios


def test_marginal_coefficients_of_a_probit_model_in_closed_form(data: Any) -> None:
    """With a probit link and random intercepts they are beta / sqrt(1 + sd^2), exactly."""
    own = data.assign(y=(data["x"] + np.random.default_rng(2).normal(size=N) > 1).astype(int))
    fit = bg.Model("y ~ x + kind + (1 | g)", own, family="bernoulli", link="probit").fit("laplace", seed=1, draws=200)
    table = fit.odds_ratios(exponentiate=False)
    shrunk = flat(fit, "beta") / np.sqrt(1.0 + flat(fit, "sd_g") ** 2)
    assert np.allclose(table["marginal"], np.median(shrunk, axis=0), atol=1e-5)
    # Three groups leave room for standard deviations of 5 and more, where 31 nodes are right to three digits.
    assert np.allclose(table["marginal_upper"], np.quantile(shrunk, 0.975, axis=0), atol=1e-3)
    assert np.allclose(table["conditional"], np.median(flat(fit, "beta"), axis=0))
    with pytest.raises(SettingsError, match=r"no ratio of anything.*exponentiate=False"):
        fit.odds_ratios()


def test_odds_ratios_beside_each_other(herds: Any) -> None:
    """One factor: the marginal odds ratio is that of the averages over herds, by brute force."""
    table = herds.odds_ratios()
    at = herds.fixed()["estimate"].to_numpy()
    assert np.allclose(table["conditional"], np.exp(at))
    sd = float(herds.varcorr()["estimate"].iloc[0])
    z = np.linspace(-8, 8, 2001)
    weights = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    p = special.expit((at[0] + np.array([0.0, *at[1:]]))[:, None] + sd * z) @ weights
    odds = p / (1 - p)
    assert np.allclose(table["marginal"], [odds[0], *(odds[1:] / odds[0])], rtol=1e-5)
    compared = herds.comparisons("period", kind="odds ratio", groups="average", at="means")
    assert np.allclose(compared["estimate"], table["marginal"].iloc[1:], rtol=1e-6)
    assert "Conditional: within one group" in repr(table)


def test_odds_ratios_with_a_smooth(data: Any) -> None:
    """With a log link random intercepts move the intercept alone: ratios are the same, beside a smooth too."""
    model = bg.Model("y ~ kind + s(x, k=6) + offset(log(t)) + (1 | g)", data, family="poisson")
    fit = model.fit("laplace", seed=1, draws=50)
    table = fit.odds_ratios()
    rest = table.drop(index="Intercept")
    assert np.allclose(rest["conditional"], rest["marginal"], rtol=1e-5)
    assert table.loc["Intercept", "marginal"] > table.loc["Intercept", "conditional"]
    assert not [name for name in table.index if name.startswith("s(")], "a part of a curve is no ratio"
    assert "Without s(x): a curve" in table.attrs["note"]


def test_ratios_of_counts_with_extra_zeros_say_what_they_leave_out(data: Any) -> None:
    own = data.assign(y=np.where(np.arange(N) % 3 == 0, 0, np.arange(N) % 5))
    fit = bg.Model("y ~ x", own, family="zero_inflated_poisson").fit("laplace", seed=1, draws=50)
    assert "Of mu alone, apart from zi: fit.comparisons() has both." in fit.odds_ratios().attrs["note"]


def test_without_groups_nothing_is_said_about_them(data: Any) -> None:
    own = data.assign(y=(data["x"] > data["x"].median()).astype(int) ^ (np.arange(N) % 3 == 0))
    fit = bg.Model("y ~ x + kind", own, family="bernoulli").fit("laplace", seed=1, draws=50)
    assert fit.predict().attrs["note"] == "Expected response."
    assert fit.predict(groups={}, scale="link").attrs["note"] == "Linear predictor."
    table = fit.odds_ratios()
    assert "The model has no groups" in table.attrs["note"]
    assert np.allclose(table["conditional"], table["marginal"])
    curve = bg.Model("y ~ 0 + s(x, k=4)", own, family="bernoulli").fit("laplace", seed=1, draws=50)
    with pytest.raises(BayesglmmError, match="no odds ratio of their own"):
        curve.odds_ratios()


def test_categories_have_no_odds_ratios_of_coefficients(from_formula: Any, data: Any) -> None:
    own = data.assign(
        y=pd.Categorical(np.array(["low", "mid", "high"])[np.arange(N) % 3], ["low", "mid", "high"], True)
    )
    fit = made(from_formula, "y ~ x + (1 | g)", own, "cumulative")
    with pytest.raises(BayesglmmError, match=r"fit.comparisons\(variable, kind=\"odds ratio\""):
        fit.odds_ratios()


# ------------------------------------------------------------------------------------------------- hypotheses


def test_hypotheses_are_shares_of_draws(normal: Any) -> None:
    x, interaction, sd = beta(normal, "x"), beta(normal, "x:kind[b]"), flat(normal, "sd_g")
    sigma, cor = flat(normal, "sigma"), flat(normal, "cor_g")[:, 1, 0]
    cases = {
        "x > 0": x,
        "x < x:kind[b]": x - interaction,
        "x + x:kind[b] > 0.1": x + interaction - 0.1,
        "`x:kind[b]` > -x / 2": interaction + x / 2,
        "sd[g, Intercept] > sd[g,x]": sd[:, 0] - sd[:, 1],
        "cor[g, Intercept, x] > 0.25": cor - 0.25,
        "abs(x) < 0.3": np.abs(x) - 0.3,
        "sd[g,x]^2 / (sd[g,x]^2 + sigma^2) > 0.5": sd[:, 1] ** 2 / (sd[:, 1] ** 2 + sigma**2) - 0.5,
        "max(x, kind[b]) - kind[c] >= 0": np.maximum(x, beta(normal, "kind[b]")) - beta(normal, "kind[c]"),
    }
    table = normal.hypothesis(list(cases))
    assert table["hypothesis"].tolist() == list(cases)
    for (text, values), (_, row) in zip(cases.items(), table.iterrows(), strict=True):
        share = float(np.mean(values < 0 if "<" in text else values > 0))
        assert row["probability"] == share, text
        assert row["mean"] == pytest.approx(values.mean()), text
        assert row["evidence_ratio"] == pytest.approx(share / (1 - share)), text
    sure = normal.hypothesis("sigma > 0")
    assert sure["probability"].iloc[0] == 1.0
    assert np.isinf(sure["evidence_ratio"].iloc[0])


def test_short_names_of_standard_deviations(counts: Any) -> None:
    table = counts.hypothesis(["sd[g] > 0.5", "sd[g, Intercept] > 0.5"])
    assert table["probability"].nunique() == 1


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("x = 0", SettingsError, "exactly equal has posterior probability 0"),
        ("x == kind[b]", SettingsError, r"abs\(a - b\) < 0.1"),
        ("x + 1", SettingsError, "no hypothesis: write a comparison"),
        ("xx > 0", UnknownNameError, "no parameter is called 'xx'"),
        ("kind[d] > 0", UnknownNameError, r"no parameter is called 'kind\[d\]'. Did you mean 'kind\["),
        ("__import__('os') > 0", BayesglmmError, "no function is called '__import__'"),
        ("x.__class__ > 0", UnknownNameError, "no parameter is called 'x.__class__'"),
        ("exp(x, x) > 0", FormulaError, "`exp` takes 1 argument"),
        ("0 < x < 1", SettingsError, "compares more than once"),
        ("log(x - 100) > 0", SettingsError, "is not a number in 200 of 200 draws"),
        ("x > 'a'", FormulaError, "has no meaning in a hypothesis"),
    ],
)
def test_hypotheses_that_mean_nothing(text: str, error: type, words: str, normal: Any) -> None:
    with pytest.raises(error, match=words):
        normal.hypothesis(text)


# ------------------------------------------------------------------------------------------------- grids


def test_grids(normal: Any, data: Any) -> None:
    grid = bg.grid(normal, x="quantiles", kind="levels")
    assert list(grid.columns) == ["x", "kind", "sex"]
    assert len(grid) == 15
    assert np.allclose(grid["x"].unique(), np.quantile(data["x"], [0.05, 0.25, 0.5, 0.75, 0.95]))
    assert grid.attrs["grid"] == {"base": "means", "varied": ["x", "kind"], "held": {"sex": data["sex"].mode()[0]}}
    assert bg.grid(normal).loc[0, "x"] == pytest.approx(data["x"].mean())
    assert bg.grid(normal, at="medians").loc[0, "x"] == pytest.approx(data["x"].median())
    assert len(bg.grid(normal, at="balanced")) == 6
    assert len(bg.grid(normal, {"x": [0, 1]}, at="data")) == 2 * N
    assert bg.grid(normal, at={"kind": "c"}).loc[0, "kind"] == "c"
    assert bg.grid(normal, x=lambda values: [values.min(), 7.0])["x"].tolist() == [data["x"].min(), 7.0]
    assert len(bg.grid(normal, x="range")) == 50
    assert "g" in bg.grid(normal, g=["g1", "new one"])
    assert normal.predictions(bg.grid(normal, g="levels")).attrs["groups"] == "these"


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"xx": 1}, UnknownNameError, "no column 'xx'. Did you mean 'x'"),
        ({"kind": "d"}, SettingsError, "'kind' has no level 'd'. Known: a, b, c"),
        ({"kind": "range"}, SettingsError, "is of numbers, and 'kind' is a factor"),
        ({"x": "all"}, SettingsError, "x='all' is no number"),
        ({"x": []}, SettingsError, "an empty list"),
        ({"x": 1, "at": {"x": 2}}, SettingsError, "varies already"),
        ({"at": "mean"}, SettingsError, "at='mean' is not known"),
        ({"x": np.zeros(3_000_000)}, SettingsError, "at most 2,000,000"),
    ],
)
def test_grids_that_mean_nothing(asked: dict[str, Any], error: type, words: str, normal: Any) -> None:
    with pytest.raises(error, match=words):
        bg.grid(normal, **asked)


def test_questions_that_mean_nothing(normal: Any, counts: Any) -> None:
    with pytest.raises(SettingsError, match="Odds are of probabilities"):
        counts.comparisons("x", kind="odds ratio")
    with pytest.raises(SettingsError, match="A ratio needs positive predictions"):
        normal.comparisons("x", kind="ratio")
    with pytest.raises(SettingsError, match=r"units of y.* is no ratio"):
        normal.comparisons("x", kind="ratio", scale="link")
    with pytest.raises(SettingsError, match=r"'kind' is a factor and has no slope: fit.comparisons\('kind'\)"):
        normal.slopes("kind")
    with pytest.raises(SettingsError, match="give one of them"):
        normal.predictions(bg.grid(normal), at="means")
    with pytest.raises(SettingsError, match="contrast='huge' of the numbers 'x'"):
        normal.comparisons("x", "huge")
    with pytest.raises(SettingsError, match="'x' holds numbers: say at which values"):
        normal.emmeans("x")
    with pytest.raises(UnknownNameError, match="by: the rows have no column 'age'"):
        normal.predictions(by="age")
    with pytest.raises(BayesglmmError, match="the whole table has the draws"):
        _ = EffectTable({"mean": [1.0]}).draws


def test_arviz_takes_the_draws(normal: Any) -> None:
    import arviz_stats

    table = normal.predictions(at={"kind": "levels"}, prob=0.9)
    hdi = arviz_stats.hdi(table.draws, prob=0.9)
    assert hdi.sizes["row"] == 3
    summary = arviz_stats.summary(table.draws.to_dataset())
    assert np.allclose(summary["mean"].astype(float), table["mean"], atol=0.01 * table["sd"].max() + 0.01)


def test_monotonic_predictors_are_compared_by_category(data: Any) -> None:
    """A step beyond the last category would be none of the model's."""
    rng = np.random.default_rng(4)
    own = data.assign(k=rng.integers(0, 4, N))
    own["y"] = np.array([0.0, 1.0, 1.5, 3.0])[own["k"]] + 0.5 * rng.normal(size=N)
    fit = bg.Model("y ~ mo(k) + (1 | g)", own).fit("laplace", seed=1, draws=200)
    table = fit.comparisons("k", "sequential")
    assert table["contrast"].tolist() == ["1 - 0", "2 - 1", "3 - 2"]
    means = fit.predictions(at={"k": "levels"})
    assert np.allclose(drawn(table), np.diff(drawn(means), axis=1))
    assert np.allclose(table["mean"], [1.0, 0.5, 1.5], atol=0.5)
