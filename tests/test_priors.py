"""Priors as users write them, their defaults, and which parameter each key reaches."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.errors import PriorError
from bayesglmm.graph.compiler import INTERPRETED
from bayesglmm.priors import DISTRIBUTIONS

RNG = np.random.default_rng(5)
N = 60
DATA = pd.DataFrame(
    {
        "y": RNG.gamma(3.0, 2.0, N),
        "b": np.tile([0, 1, 1], 20),
        "k": RNG.poisson(3.0, N),
        "c": np.tile(["lo", "mid", "hi"], 20),
        "x": RNG.normal(50.0, 4.0, N),
        "z": RNG.normal(size=N),
        "f": np.tile(list("pqr"), 20),
        "g": np.repeat(list("uvwxy"), 12),
        "h": np.tile(list("stuv"), 15),
    }
)


def table(formula: Any, family: str = "gaussian", priors: Any = None, **arguments: Any) -> dict[str, Any]:
    model = bg.Model(formula, DATA, family, priors=priors, **arguments)
    return {slot.label: slot for slot in model.priors}


# ------------------------------------------------------------------------------------------------- the Prior class


def test_a_prior_takes_names_or_positions() -> None:
    prior = bg.Prior("Normal", 0, sigma=2.5)
    assert prior == bg.Prior("Normal", mu=0.0, sigma=2.5)
    assert len({prior, bg.Prior("Normal", 0, 2.5)}) == 1
    assert prior != bg.Prior("Cauchy", 0, 2.5)
    assert repr(prior) == "Prior('Normal', mu=0, sigma=2.5)"
    assert str(prior) == "Normal(mu=0, sigma=2.5)"
    with pytest.raises(AttributeError, match="cannot be changed"):
        prior.distribution = "Cauchy"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        (("Normul", 0, 1), {}, r"Unknown prior distribution 'Normul'. Did you mean 'Normal'\?"),
        (("Normal", 0, 1, 2), {}, r"Normal takes 2 parameters \(mu, sigma\), not 3"),
        (("Normal", 0), {}, "Normal also needs sigma"),
        (("Normal",), {"mu": 0, "sd": 1}, "Normal has no parameter 'sd'"),
        (("Normal", 0), {"mu": 0, "sigma": 1}, "'mu' was given twice"),
        (("Normal", 0, -1), {}, "sigma must be positive, not -1"),
        (("Normal", "a", 1), {}, "mu must be a number, not 'a'"),
        (("Normal", np.inf, 1), {}, "mu must be finite"),
        (("Gamma", 0, 1), {}, "alpha must be positive"),
        (("Uniform", 2, 2), {}, "lower must be below upper, not 2 and 2"),
        (("Uniform", 3, 2), {}, "lower must be below upper, not 3 and 2"),
        (("LKJ", 0), {}, "eta must be positive"),
    ],
)
def test_priors_that_mean_nothing(arguments: Any, named: Any, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        bg.Prior(*arguments, **named)


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name not in ("Flat", "Fixed", "LKJ")])
def test_draws_are_those_of_pymc(name: str) -> None:
    """The same distribution under the same parameters: quantiles of the draws against PyMC's draws."""
    import pymc as pm

    values = {"nu": 4.0, "mu": 0.5, "sigma": 0.7, "lower": -1.0, "upper": 2.0, "lam": 2.0, "b": 1.5, "s": 1.5}
    values |= {"alpha": 2.5, "beta": 1.5}
    prior = bg.Prior(name, **{key: values[key] for key in DISTRIBUTIONS[name][0]})
    ours = prior.draw(np.random.default_rng(1), 4000)
    theirs = pm.draw(getattr(pm, name).dist(**prior.parameters), draws=4000, random_seed=2, mode=INTERPRETED)
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


@pytest.mark.parametrize("prior", [bg.Prior("Flat"), bg.Prior("LKJ", 2)])
def test_priors_without_draws(prior: bg.Prior) -> None:
    with pytest.raises(PriorError, match="cannot be drawn from"):
        prior.draw(np.random.default_rng(1))


# ------------------------------------------------------------------------------------------------------- defaults


def test_defaults_of_a_gaussian_model_are_scaled_by_the_response_and_the_columns() -> None:
    slots, s = table("y ~ x + f + (1 + x | g)"), float(np.std(DATA["y"], ddof=1))
    assert slots["Intercept"].prior.parameters == pytest.approx({"mu": DATA["y"].mean(), "sigma": 2.5 * s})
    assert slots["Intercept"].centred
    assert slots["x"].prior.parameters == pytest.approx({"mu": 0, "sigma": 2.5 * s / np.std(DATA["x"])})
    q = np.std(DATA["f"] == "q")
    assert slots["f[q]"].prior.parameters == pytest.approx({"mu": 0, "sigma": 2.5 * s / q})
    assert slots["sd[g, Intercept]"].prior.parameters == pytest.approx({"lam": 1 / s})
    assert slots["sd[g, x]"].prior.parameters == pytest.approx({"lam": np.std(DATA["x"]) / s})
    assert slots["cor[g]"].prior == bg.Prior("LKJ", 2)
    assert slots["sigma"].prior.parameters == pytest.approx({"lam": 1 / s}, rel=0.01)


@pytest.mark.parametrize(
    ("response", "family", "link", "centre", "spread"),
    [
        ("y", "gaussian", "identity", lambda m: m, lambda y: np.std(y, ddof=1)),
        ("y", "gamma", "log", np.log, lambda y: 1.0),
        ("y", "gamma", "inverse", lambda m: 1 / m, lambda y: np.std(y, ddof=1) / np.mean(y) ** 2),
        ("y", "gamma", "sqrt", np.sqrt, lambda y: np.std(y, ddof=1) / (2 * np.sqrt(np.mean(y)))),
        ("y", "lognormal", "identity", None, lambda y: np.std(np.log(y), ddof=1)),
        ("k", "poisson", "log", np.log, lambda y: 1.0),
        ("b", "bernoulli", "logit", None, lambda y: 1.0),
        ("b", "bernoulli", "probit", None, lambda y: 1.0),
        ("b", "bernoulli", "cloglog", None, lambda y: 1.0),
    ],
)
def test_the_scale_of_the_defaults_under_each_link(
    response: str, family: str, link: str, centre: Any, spread: Any
) -> None:
    slots, y = table(f"{response} ~ z + (1 | g)", family, link=link), DATA[response].to_numpy()
    s = spread(y)
    assert slots["Intercept"].prior.parameters["sigma"] == pytest.approx(2.5 * s, rel=1e-6)
    assert slots["sd[g, Intercept]"].prior.parameters["lam"] == pytest.approx(1 / s, rel=1e-6)
    assert slots["z"].prior.parameters["sigma"] == pytest.approx(2.5 * s / np.std(DATA["z"]), rel=1e-6)
    if centre is not None:
        assert slots["Intercept"].prior.parameters["mu"] == pytest.approx(centre(np.mean(y)), rel=1e-6)


def test_an_offset_shifts_the_default_intercept() -> None:
    mu = table("k ~ z + offset(log(x))", "poisson")["Intercept"].prior.parameters["mu"]
    assert mu == pytest.approx(np.log(DATA["k"].mean()) - np.log(DATA["x"]).mean())


def test_other_parameters_have_their_own_scale() -> None:
    slots, s = table(["y ~ x", "sigma ~ z + (1 | g)"]), np.std(DATA["y"], ddof=1)
    assert "sigma" not in slots
    assert slots["sigma.Intercept"].prior.parameters == pytest.approx({"mu": np.log(s), "sigma": 2.5}, abs=0.01)
    assert slots["sigma.z"].prior.parameters == pytest.approx({"mu": 0, "sigma": 2.5 / np.std(DATA["z"])})
    assert slots["sigma.sd[g, Intercept]"].prior.parameters == pytest.approx({"lam": 1})


def test_dispersions_have_the_priors_of_brms() -> None:
    assert table("k ~ z", "negative_binomial")["shape"].prior == bg.Prior("InverseGamma", 0.4, 0.3)
    assert table("y ~ z", "student_t")["nu"].prior == bg.Prior("Gamma", 2, 0.1)
    assert table("c ~ z", "cumulative")["cutpoints"].prior == bg.Prior("StudentT", 3, 0, 2.5)


# ----------------------------------------------------------------------------------------------------------- keys

NEW, FORMULA = bg.Prior("Normal", 1, 1), "y ~ x + f + (1 + x | g) + (1 | h)"


@pytest.mark.parametrize(
    ("key", "reached"),
    [
        ("fixed", {"x", "f[q]", "f[r]"}),
        ("Intercept", {"Intercept"}),
        ("x", {"x"}),
        ("f", {"f[q]", "f[r]"}),
        ("f[r]", {"f[r]"}),
        ("sd", {"sd[g, Intercept]", "sd[g, x]", "sd[h, Intercept]"}),
        ("sd[g]", {"sd[g, Intercept]", "sd[g, x]"}),
        ("sd[g, x]", {"sd[g, x]"}),
        ("sd[g,x]", {"sd[g, x]"}),
        ("cor", {"cor[g]"}),
        ("cor[g]", {"cor[g]"}),
        ("sigma", {"sigma"}),
    ],
)
def test_every_key_reaches_what_it_names(key: str, reached: set[str]) -> None:
    prior = bg.Prior("LKJ", 5) if key.startswith("cor") else bg.Prior("Flat")
    slots = table(FORMULA, priors={key: prior})
    assert {label for label, slot in slots.items() if slot.source == key} == reached
    assert {label for label, slot in slots.items() if slot.prior == prior} == reached


def test_the_most_specific_key_wins() -> None:
    given = {"fixed": NEW, "f": bg.Prior("Normal", 2, 1), "f[r]": bg.Prior("Normal", 3, 1)}
    slots = table(FORMULA, priors=given)
    assert [slots[label].prior.parameters["mu"] for label in ("x", "f[q]", "f[r]")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("key", "reached"),
    [
        ("sigma.fixed", {"sigma.z"}),
        ("sigma.Intercept", {"sigma.Intercept"}),
        ("sigma.z", {"sigma.z"}),
        ("fixed", {"x"}),
        ("sigma.sd", {"sigma.sd[g, Intercept]"}),
        ("sigma.sd[g]", {"sigma.sd[g, Intercept]"}),
    ],
)
def test_keys_of_other_parameters_have_a_prefix(key: str, reached: set[str]) -> None:
    slots = table(["y ~ x", "sigma ~ z + (1 | g)"], priors={key: bg.Prior("Flat")})
    assert {label for label, slot in slots.items() if slot.source == key} == reached


def test_keys_of_nominal_models() -> None:
    """A plain key reaches the predictors of every category, a prefixed one its own."""
    slots = bg.Model("c ~ z", DATA, "categorical", priors={"z": NEW, "mu_lo.z": bg.Prior("Normal", 2, 1)}).priors
    means = {name: own[1].prior.parameters["mu"] for name, own in slots.coefficients.items()}
    assert means == {name: 2.0 if name == "mu_lo" else 1.0 for name in means}
    assert len(means) == 2


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("xx", r"The prior for 'xx' matches nothing. Did you mean 'x'\?"),
        ("sd[k]", r"The prior for 'sd\[k\]' matches nothing. Did you mean 'sd\[[gh]\]'"),
        ("sigm", "matches nothing. Did you mean 'sigma'"),
        ("cor[h]", r"matches nothing. Did you mean 'cor\[g\]'"),
        ("mu.x", "matches nothing"),
    ],
)
def test_keys_that_match_nothing(key: str, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        table(FORMULA, priors={key: NEW})


@pytest.mark.parametrize(
    ("formula", "family", "key", "prior", "message"),
    [
        (
            FORMULA,
            "gaussian",
            "x",
            bg.Prior("LKJ", 1),
            r"does not suit x \(a coefficient\): its support",
        ),
        (FORMULA, "gaussian", "sd", NEW, r"does not suit sd\[g, Intercept\] \(a scale\): its support is real"),
        (FORMULA, "gaussian", "cor", NEW, r"does not suit cor\[g\]"),
        (FORMULA, "gaussian", "sigma", bg.Prior("LKJ", 1), r"does not suit sigma"),
        (
            FORMULA,
            "gaussian",
            "sd",
            bg.Prior("Uniform", -1, 1),
            r"sd\[g, Intercept\], which must be 0 or more",
        ),
        (FORMULA, "gaussian", "sd", bg.Prior("Fixed", -1), "which must be 0 or more"),
        (FORMULA, "gaussian", "sigma", bg.Prior("Fixed", 0), "does not suit sigma, which must be positive"),
        ("k ~ x", "zero_inflated_poisson", "zi", bg.Prior("Fixed", 2), "zi, which must be between 0 and 1"),
        ("k ~ x", "zero_inflated_poisson", "zi", bg.Prior("Gamma", 2, 1), "does not suit zi"),
        ("c ~ x", "cumulative", "cutpoints", bg.Prior("Fixed", 2), "cutpoints is a vector"),
    ],
)
def test_priors_that_do_not_suit(formula: str, family: str, key: str, prior: bg.Prior, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        table(formula, family, priors={key: prior})


@pytest.mark.parametrize(
    ("priors", "message"), [("flatt", 'the only word is "flat"'), ({"x": 2.0}, "must be a bg.Prior")]
)
def test_priors_must_be_priors(priors: Any, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        table(FORMULA, priors=priors)


def test_flat_is_the_likelihood_alone() -> None:
    slots = table(FORMULA, priors="flat")
    assert {slot.prior.distribution for label, slot in slots.items() if label != "cor[g]"} == {"Flat"}
    assert slots["cor[g]"].prior == bg.Prior("LKJ", 1)
    assert not any(slot.centred for slot in slots.values())


def test_a_truncated_normal_needs_one_end_and_keeps_within() -> None:
    prior = bg.Prior("TruncatedNormal", mu=0, sigma=10, lower=0)
    assert repr(prior) == "Prior('TruncatedNormal', mu=0, sigma=10, lower=0)"
    assert pickle.loads(pickle.dumps(prior)) == prior
    assert prior.bounds == (0.0, np.inf)
    draws = prior.draw(np.random.default_rng(1), 20_000)
    assert draws.min() > 0.0
    assert draws.mean() == pytest.approx(10.0 * np.sqrt(2.0 / np.pi), rel=0.02)
    far = bg.Prior(
        "TruncatedNormal", mu=0, sigma=1, lower=9, upper=12
    )  # a tail that differences of probabilities lose
    tail = far.draw(np.random.default_rng(1), 20_000)
    assert tail.mean() == pytest.approx(9.108, abs=0.005)  # by the inverse Mills ratio: phi(9) / (1 - Phi(9))
    with pytest.raises(PriorError, match="TruncatedNormal also needs lower, upper"):
        bg.Prior("TruncatedNormal", mu=0, sigma=1)
    with pytest.raises(PriorError, match="lower must be below upper"):
        bg.Prior("TruncatedNormal", mu=0, sigma=1, lower=2, upper=1)
    with pytest.raises(PriorError, match="mu must be finite"):
        bg.Prior("TruncatedNormal", mu=np.inf, sigma=1, lower=2)


@pytest.mark.parametrize(
    "prior",
    [
        bg.Prior("Normal", 3, 2),
        bg.Prior("StudentT", 5, 3, 2),
        bg.Prior("Laplace", 3, 2),
        bg.Prior("Logistic", 3, 2),
        bg.Prior("Uniform", 1, 4),
        bg.Prior("TruncatedNormal", 3, 2, lower=0),
        bg.Prior("Exponential", 0.5),
        bg.Prior("HalfNormal", 2),
        bg.Prior("HalfStudentT", 5, 2),
        bg.Prior("Gamma", 3, 2),
        bg.Prior("InverseGamma", 5, 2),
        bg.Prior("LogNormal", 1, 0.5),
        bg.Prior("Weibull", 2, 2),
        bg.Prior("Beta", 2, 3),
    ],
)
def test_centre_and_spread_are_those_of_the_draws(prior: bg.Prior) -> None:
    """Roughly: a typical value within half a standard deviation of the median, a spread within a factor of two."""
    draws = prior.draw(np.random.default_rng(1), 20_000)
    assert prior.centre is not None
    assert prior.spread is not None
    assert abs(prior.centre - np.median(draws)) < 0.5 * draws.std()
    assert 0.5 < prior.spread / draws.std() < 2.0
    low, high = prior.bounds
    assert low <= draws.min() < prior.centre < draws.max() <= high


@pytest.mark.parametrize(("prior", "centre"), [(bg.Prior("Flat"), None), (bg.Prior("Fixed", 2), 2.0)])
def test_priors_without_a_spread(prior: bg.Prior, centre: float | None) -> None:
    assert prior.centre == centre
    assert prior.spread is None


def test_a_prior_for_matrices_does_not_suit_a_single_correlation() -> None:
    message = r"is LKJ, one of correlation matrices, and cor\[g, ar1\] is a single number"
    with pytest.raises(PriorError, match=message):
        table("y ~ x + ar1(0 + k | g)", priors={"cor[g]": bg.Prior("LKJ", 2)})
