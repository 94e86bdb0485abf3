"""Every family and every `groups=` against a computation by hand from the draws; offsets; draws of new levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.blocks import FixedBlock, OffsetBlock, Predictor, RandomBlock, Response
from bayesglmm.errors import DataError, SettingsError, UnknownNameError
from bayesglmm.families import FAMILIES
from bayesglmm.results.levels import CHOICES
from bayesglmm.results.prediction_rows import with_offset

N, LEVELS = 14, 4
S = (2, 20)
SIZE = S[0] * S[1]

# The expected response from the main parameter on its natural scale and the dispersions: scipy, sums and textbooks,
# nothing of the package.
type Mean = Callable[[Any, Mapping[str, Any]], Any]


def plain(mu: Any, phi: Mapping[str, Any]) -> Any:
    return mu


def zero_truncated(base: Callable[[Any, Mapping[str, Any]], Any]) -> Mean:
    """Return the mean of a count above zero, by the definition: mean over the chance not to be zero."""
    return lambda mu, phi: (1 - phi["hu"]) * mu / (1 - base(mu, phi))


def negative_binomial_zero(mu: Any, phi: Mapping[str, Any]) -> Any:
    return stats.nbinom.pmf(0, phi["shape"], phi["shape"] / (phi["shape"] + mu))


def ordinal(mu: Any, phi: Mapping[str, Any]) -> Any:
    below = special.expit(phi["cutpoints"] - special.logit(mu)[..., None])
    edge = np.zeros_like(below[..., :1])
    return np.diff(np.concatenate([edge, below, edge + 1.0], axis=-1), axis=-1)


MEANS: dict[str, Mean] = {
    "gaussian": plain,
    "student_t": plain,
    "lognormal": lambda mu, phi: np.exp(mu + phi["sigma"] ** 2 / 2),
    "bernoulli": plain,
    "binomial": plain,
    "beta_binomial": plain,
    "zero_inflated_binomial": lambda mu, phi: (1 - phi["zi"]) * mu,
    "poisson": plain,
    "negative_binomial": plain,
    "negative_binomial1": plain,
    "zero_inflated_poisson": lambda mu, phi: (1 - phi["zi"]) * mu,
    "zero_inflated_negative_binomial": lambda mu, phi: (1 - phi["zi"]) * mu,
    "hurdle_poisson": zero_truncated(lambda mu, phi: stats.poisson.pmf(0, mu)),
    "hurdle_negative_binomial": zero_truncated(negative_binomial_zero),
    "hurdle_gamma": lambda mu, phi: (1 - phi["hu"]) * mu,
    "gamma": plain,
    "exponential": plain,
    "weibull": plain,
    "inverse_gaussian": plain,
    "beta": plain,
    "cumulative": ordinal,
    "categorical": lambda eta, phi: special.softmax(np.stack([0 * eta[0], *eta], axis=-1), axis=-1),
}
INVERSE: dict[str, Callable[[Any], Any]] = {"identity": lambda eta: eta, "log": np.exp, "logit": special.expit}


def response_of(name: str, rng: np.random.Generator) -> Response:
    """Return a response that the family takes; predictions do not depend on it."""
    family, trials = FAMILIES.get(name), None
    if family.response == "binomial":
        trials = rng.integers(3, 9, N).astype(float)
        return Response("y", rng.binomial(trials.astype(int), 0.4).astype(float), trials=trials)
    if family.response == "binary":
        return Response("y", (np.arange(N) % 2).astype(float), categories=("no", "yes"))
    if family.response in ("ordinal", "nominal"):
        return Response("y", np.arange(N) % 3, categories=("low", "mid", "high"))
    if family.discrete:
        return Response("y", rng.poisson(3.0, N).astype(float))
    return Response("y", rng.uniform(0.1, 0.9, N))


def rows_of(parameter: str, rng: np.random.Generator, intercept: bool) -> Predictor:
    """Return ``x + offset + (1 + x | g) + (1 | h)``."""
    x = 0.5 * rng.normal(size=N)
    X, names = (np.column_stack([np.ones(N), x]), ("Intercept", "x")) if intercept else (x[:, None], ("x",))
    g, h = rng.integers(0, LEVELS, N).astype(np.intp), rng.integers(0, 3, N).astype(np.intp)
    slopes = np.column_stack([np.ones(N), x])
    blocks = (
        RandomBlock("(1 + x | g)", "g", ("Intercept", "x"), tuple("abcd"), g, slopes, "us"),
        RandomBlock("(1 | h)", "h", ("Intercept",), tuple("uvw"), h, slopes[:, :1], "diag"),
    )
    fixed = (FixedBlock("fixed", names, names, X, 0 if intercept else None),)
    return Predictor(parameter, N, fixed, blocks, (OffsetBlock("offset(o)", 0.3 * rng.normal(size=N)),))


@pytest.fixture(scope="module")
def cases(problem: Any) -> Callable[[str], Any]:
    """Return `make`: name of a family -> (case, fit), each made once."""
    made: dict[str, Any] = {}

    def make(name: str) -> Any:
        if name not in made:
            rng = np.random.default_rng(11)
            family = FAMILIES.get(name)
            response = response_of(name, rng)
            main = family.main_predictors(response)
            first = rows_of(main[0], rng, family.intercept)
            predictors = {own: Predictor(own, N, first.fixed, first.random, first.offsets) for own in main}
            case = problem(name, family.main.link, response, predictors)
            run = case.run(draws=shrunk(case.draws(*S)))
            made[name] = case, case.fit(run)
        return made[name]

    return make


def shrunk(draws: dict[str, Any]) -> dict[str, Any]:
    """Return draws near zero: no mean leaves the range of its link, and quadrature has nothing hard to do."""
    found = {name: 0.4 * values if "beta" in name or "u_" in name else values for name, values in draws.items()}
    return found | {name: values / (1 + values) for name, values in found.items() if name in ("zi", "hu")}


def flat(fit: Any) -> dict[str, Any]:
    return {name: v.values.reshape(-1, *v.shape[2:]) for name, v in fit.data["posterior"].data_vars.items()}


def etas_by_hand(case: Any, fit: Any, words: Mapping[str, str]) -> tuple[list[Any], list[Any]]:
    """Return, for each main predictor, eta (S, n) with effects of zero or of the own level, and what averages add."""
    draws, etas, variances = flat(fit), [], []
    for part in case.problem.predictors:
        own = part.predictor
        eta = draws[part.names.beta] @ own.X.T + own.offsets[0].values
        added = np.zeros_like(eta)
        for block in part.blocks:
            b, Z, index = draws[block.names.b], block.block.X, block.block.index
            for s, i in np.ndindex(eta.shape):
                if words[block.block.group] in ("these", "these or new"):
                    eta[s, i] += Z[i] @ b[s, index[i]]
                elif words[block.block.group] == "average":
                    added[s, i] += Z[i] @ covariance(block, draws, s) @ Z[i]
        etas.append(eta)
        variances.append(added)
    return etas, variances


def covariance(block: Any, draws: Mapping[str, Any], s: int) -> Any:
    """Return Sigma of one new level at one draw."""
    sd = draws[block.names.variable("sd")][s]
    cor = draws[block.names.variable("cor")][s] if block.names.variable("cor") in draws else np.eye(len(sd))
    return np.diag(sd) @ cor @ np.diag(sd)


def mean_by_hand(name: str, case: Any, fit: Any, etas: list[Any]) -> Any:
    phi = {own: np.asarray(flat(fit)[own])[:, None] for own in case.problem.dispersions}
    if name == "categorical":
        return MEANS[name](etas, phi)
    return MEANS[name](INVERSE[FAMILIES.get(name).main.link](etas[0]), phi)


def integrated(name: str, case: Any, fit: Any, etas: list[Any], variances: list[Any]) -> Any:
    """Return the mean over normal effects: by the trapezoidal rule; of two predictors by simulation."""
    if len(etas) == 1:
        z = np.linspace(-8.0, 8.0, 161)
        weights = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
        spread = np.sqrt(variances[0])
        return sum(w * mean_by_hand(name, case, fit, [etas[0] + spread * x]) for x, w in zip(z, weights, strict=True))
    rng, size = np.random.default_rng(3), 4000
    z = rng.normal(size=(size, len(etas)))
    z = np.concatenate([z, -z])
    shifted = ([eta + np.sqrt(v) * x for eta, v, x in zip(etas, variances, row, strict=True)] for row in z)
    return sum(mean_by_hand(name, case, fit, own) for own in shifted) / len(z)


def test_every_family_is_here() -> None:
    assert set(MEANS) == set(FAMILIES.names())


@pytest.mark.parametrize("groups", CHOICES)
@pytest.mark.parametrize("name", sorted(MEANS))
def test_predictions_equal_a_computation_by_hand(name: str, groups: str, cases: Any) -> None:
    """Draw by draw: link and response. Of new groups the effects are read off the link scale; their law is below."""
    case, fit = cases(name)
    words = dict.fromkeys(("g", "h"), groups)
    etas, variances = etas_by_hand(case, fit, words)
    link = fit.predicted_draws(groups=groups, scale="link", seed=5).values.reshape(SIZE, N, -1)
    if groups == "new":
        etas = [link[..., j] for j in range(len(etas))]
    assert np.allclose(link, np.stack(etas, axis=-1), rtol=1e-10, atol=1e-12)
    found = fit.predicted_draws(groups=groups, seed=5).values
    found = found.reshape(SIZE, *found.shape[2:])
    if groups == "average":
        expected = integrated(name, case, fit, etas, variances)
        tolerance = 2e-3 if len(etas) > 1 else 1e-4  # of the simulation by hand; of Gauss-Hermite with 31 nodes
    else:
        expected, tolerance = mean_by_hand(name, case, fit, etas), 1e-10
    assert np.allclose(found, expected, rtol=tolerance, atol=tolerance * 0.1)
    table = fit.predict(groups=groups, seed=5, prob=0.8)
    shown = np.column_stack([found.mean(axis=0).ravel(), *np.quantile(found, [0.1, 0.9], axis=0).reshape(2, -1)])
    assert np.allclose(table[["mean", "lower", "upper"]].to_numpy(), shown)


@pytest.mark.parametrize("groups", CHOICES)
@pytest.mark.parametrize("name", ["gaussian", "poisson", "binomial", "cumulative", "categorical"])
def test_shifting_an_offset_shifts_the_link(name: str, groups: str, cases: Any) -> None:
    case, fit = cases(name)
    own = case.problem.predictors[0].predictor.offsets[0].values
    asked = {"groups": groups, "scale": "link", "seed": 2}
    plain = fit.predicted_draws(**asked).values
    assert np.allclose(fit.predicted_draws(offset=own, **asked).values, plain)
    assert np.allclose(fit.predicted_draws(offset=own + 1.7, **asked).values - plain, 1.7)
    level = fit.predicted_draws(offset=0, **asked).values
    extra = own[:, None] if level.ndim == 4 else own
    assert np.allclose(level + extra, plain)


# ------------------------------------------------------------------------------------------------- new levels


@pytest.fixture(scope="module")
def sloped(from_formula: Any) -> Any:
    """A fit with correlated slopes whose 20,000 draws are all the same: what varies is what prediction draws."""
    rng = np.random.default_rng(5)
    n = 40
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "t": rng.uniform(1, 3, n)})
    data["g"], data["s"] = rng.choice(list("abcd"), n), rng.choice(list("uvw"), n)
    case, design = from_formula("y ~ x + offset(log(t)) + (1 + x | g) + (1 | s)", data, "gaussian")
    draws = {name: np.repeat(values, 20_000, axis=1) for name, values in case.draws(1, 1).items()}
    return case.fit(case.run(draws=draws), design=design), data


def test_new_levels_have_the_right_variance_and_covariance(sloped: Any) -> None:
    """Rows of one new level share its effects, rows of two are independent; 20,000 draws bound the error."""
    fit, _ = sloped
    rows = pd.DataFrame(
        {"x": [0.0, 1.0, 2.0, 0.0], "t": 1.0, "g": ["n1", "n1", "n1", "n2"], "s": ["m", "m", "k", "m"]}
    )
    found = fit.predicted_draws(rows, groups="new", scale="link", seed=1).values[0]
    draws = flat(fit)
    blocks = {part.block.group: part for part in fit.problem.blocks}
    Sigma, variance = covariance(blocks["g"], draws, 0), covariance(blocks["s"], draws, 0)[0, 0]
    Z = np.column_stack([np.ones(4), rows["x"]])
    same_g = np.equal.outer(rows["g"].to_numpy(), rows["g"].to_numpy())
    same_s = np.equal.outer(rows["s"].to_numpy(), rows["s"].to_numpy())
    expected = (Z @ Sigma @ Z.T) * same_g + variance * same_s
    # Standard error of a covariance of normals: sqrt((v_i v_j + c_ij^2) / S); five of them.
    v = np.diag(expected)
    bound = 5.0 * np.sqrt((np.outer(v, v) + expected**2) / len(found))
    assert np.all(np.abs(np.cov(found.T) - expected) < bound)
    centre = fit.predict(rows, groups="typical", scale="link")["mean"].to_numpy()
    assert np.all(np.abs(found.mean(axis=0) - centre) < 5.0 * np.sqrt(v / len(found)))
    assert np.allclose(stats.kurtosis(found, axis=0), 0.0, atol=5.0 * np.sqrt(24 / len(found)))


def test_known_levels_are_told_apart_as_new_ones_too(sloped: Any) -> None:
    """`groups="new"` keeps who belongs together; unknown levels beside known ones are drawn one by one."""
    fit, _ = sloped
    rows = pd.DataFrame({"x": 0.0, "t": 1.0, "g": ["a", "a", "b", "zz", "yy"], "s": "u"})
    new = np.corrcoef(fit.predicted_draws(rows, groups={"g": "new"}, scale="link", seed=1).values[0].T)
    assert new[0, 1] == pytest.approx(1.0)
    assert np.all(np.abs(new[0, 2:]) < 0.05)
    mixed = fit.predicted_draws(rows, groups="these or new", scale="link", seed=1).values[0]
    assert np.all(mixed[:, :3].std(axis=0) < 1e-12)
    assert abs(np.corrcoef(mixed[:, 3:].T)[0, 1]) < 0.05
    without = fit.predicted_draws(rows[["x", "t"]], groups="new", scale="link", seed=1).values[0]
    assert np.allclose(without, without[:, :1])  # nothing tells the rows apart: one new group


def test_grouping_factors_that_no_question_is_about_need_no_column(sloped: Any) -> None:
    fit, data = sloped
    rows = data.head(3)
    for word in ("typical", "average", "new"):
        asked = {"groups": {"s": word}, "seed": 1}
        whole = fit.predict(rows.assign(s="u"), **asked)
        pd.testing.assert_frame_equal(fit.predict(rows.drop(columns="s"), **asked), whole)
    with pytest.raises(DataError, match="lack the column 'g'"):
        fit.predict(rows.drop(columns=["s", "g"]), groups={"s": "typical"})


# ------------------------------------------------------------------------------------------------- what is said


def test_offset_columns_are_needed_unless_the_offset_is_given(sloped: Any) -> None:
    fit, data = sloped
    rows = data.head(3).drop(columns="t")
    with pytest.raises(DataError, match=r"lack the column 't'.*offset=0 predicts per unit of exposure"):
        fit.predict(rows)
    unit = fit.predict(rows, offset=0, scale="link")
    assert np.allclose(unit["mean"], fit.predict(rows.assign(t=1.0), scale="link")["mean"])
    assert "The offset is 0, not computed from the data." in unit.attrs["note"]
    rounded = fit.predict(rows, offset=np.log(1000.0), scale="link")
    assert "The offset is 6.90776, not computed from the data." in rounded.attrs["note"]
    by_row = fit.predict(rows, offset=[0.0, 1.0, 2.0], scale="link")
    assert np.allclose(by_row["mean"] - unit["mean"], [0.0, 1.0, 2.0])
    assert np.allclose(fit.predict(rows, offset={"mu": 1.0}, scale="link")["mean"] - unit["mean"], 1.0)


def test_a_note_names_the_parameters_whose_offset_is_given(sloped: Any) -> None:
    fit, _ = sloped
    part = fit.problem.predictors[0].predictor
    both = {"mu": part, "sigma": part}
    notes = [
        with_offset(fit.problem, both, given)[1][0] for given in ({"sigma": 0.5}, {"mu": np.ones(part.n), "sigma": 2})
    ]
    assert notes == [
        "The offset of sigma is 0.5, not computed from the data.",
        "The offset of mu is as given, that of sigma is 2, not computed from the data.",
    ]


def test_offsets_that_mean_nothing_are_refused(sloped: Any, binomial: Any) -> None:
    fit, data = sloped
    for wrong in ("t", np.inf, [0.0, 1.0]):
        with pytest.raises(SettingsError, match="offset must be a finite number"):
            fit.predict(data.head(3), offset=wrong)
    with pytest.raises(UnknownNameError, match="'sigma' has no offset"):
        fit.predict(data.head(3), offset={"sigma": 0.0})
    with pytest.raises(SettingsError, match=r"this formula has no offset\(...\) term"):
        binomial.fit().predict(offset=0)


def test_unknown_levels_are_an_error_that_lists_known_ones(sloped: Any) -> None:
    fit, data = sloped
    with pytest.raises(DataError, match=r"a level of 'g' that the model has not seen: 'aa'.*Known: a, b, c, d\."):
        fit.predict(data.head(1).assign(g="aa"))


def test_tables_say_what_was_asked(sloped: Any) -> None:
    fit, data = sloped
    table = fit.predict(data.head(2), groups={"g": "new"}, scale="link", prob=0.9, seed=3, draws=50)
    asked = {key: table.attrs[key] for key in ("groups", "scale", "prob", "seed", "draws")}
    assert asked == {"groups": {"g": "new"}, "scale": "link", "prob": 0.9, "seed": 3, "draws": 50}
    printed = " ".join(repr(table).split())
    assert printed.endswith(table.attrs["note"])
    assert "the effects of a new g, drawn from their distribution" in printed
    assert "the effects of a new g, drawn from their distribution" in table._repr_html_()
    assert table.attrs["note"].split()[0] in repr(table.round(1).head(1))
    drawn = fit.predicted_draws(data.head(2), groups="typical")
    assert drawn.attrs["note"] == "Expected response for a typical group (group effects zero)."
    assert drawn.attrs["groups"] == "typical"


def test_draws_are_what_tables_summarise(cases: Any) -> None:
    _, fit = cases("categorical")
    drawn = fit.predicted_draws(groups="new", seed=4)
    assert drawn.dims == ("chain", "draw", "row", "category")
    table = fit.predict(groups="new", seed=4)
    assert np.allclose(table["mean"], drawn.mean(("chain", "draw")).values.ravel())
    assert list(drawn.sizes.values()) == [*S, N, 3]
    assert fit.predicted_draws(draws=10).sizes["draw"] == 10
    codes = fit.predicted_draws(scale="outcome", seed=4)
    assert codes.dims == ("chain", "draw", "row")
    shares = fit.predict(scale="outcome", seed=4).query("category == 'mid'")["mean"]
    assert np.allclose(shares, (codes == codes.attrs["categories"].index("mid")).mean(("chain", "draw")))


@pytest.mark.parametrize(
    "engine",
    [
        ("ep", {}),
        pytest.param(("metropolis", {"draws": 1500}), marks=pytest.mark.slow),
        pytest.param(("nuts", {"progressbar": False}), marks=pytest.mark.slow),
    ],
    ids=lambda engine: engine[0],
)
def test_every_engine_answers_alike(engine: Any, herds_by_laplace: Any) -> None:
    """The same questions to two engines: equal notes, and numbers within Monte Carlo error."""
    model, laplace = herds_by_laplace
    name, settings = engine
    other = model.fit(name, seed=1, **settings)
    rows = pd.DataFrame({"period": ["1", "4"], "herd": ["7", "11"]})
    for groups in ("these", "typical", "average", "new"):
        one, two = (fit.predict(rows, groups=groups, seed=1) for fit in (laplace, other))
        assert one.attrs["note"] == two.attrs["note"]
        # The engines' own errors are below a tenth of a posterior sd here; Metropolis has some 300 effective draws.
        assert np.all(np.abs(one["mean"] - two["mean"]) < 0.25 * one["sd"])
        assert np.all(np.abs(np.log(one["sd"] / two["sd"])) < 0.25)


def test_equal_draws_give_equal_answers_whatever_the_engine(herds_by_laplace: Any) -> None:
    model, laplace = herds_by_laplace
    renamed = type(laplace)(laplace.data.copy(), model.problem, model.design)
    renamed.data.attrs["engine"] = "nuts"
    rows = pd.DataFrame({"period": ["1", "4"], "herd": ["7", "11"]})
    for groups in ("these", "typical", "average", "new"):
        asked = {"groups": groups, "seed": 1}
        pd.testing.assert_frame_equal(renamed.predict(rows, **asked), laplace.predict(rows, **asked))


@pytest.fixture(scope="module")
def herds_by_laplace() -> Any:
    data = bg.load_dataset("cbpp")
    model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", data, family="binomial")
    return model, model.fit("laplace", seed=1)
