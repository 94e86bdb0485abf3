"""Default priors on unusual scales, names that clash, and models at the edge of what can be sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import DataError, PriorError, SettingsError, UnknownNameError
from bayesglmm.graph.names import block_ids


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 80
    x = 1000.0 + rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": x,
            "y": x + rng.normal(size=n),
            "z": rng.normal(size=n),
            "big": np.exp(7.0 + 0.3 * rng.normal(size=n)),
            "count": rng.poisson(2.0, n) + 1,
            "sigma": rng.normal(size=n),
            "g": rng.integers(0, 6, n),
            "g_2": rng.integers(0, 5, n),
        },
        index=[f"r{i}" for i in range(n)],
    )


def prior_of(model: bg.Model, label: str) -> bg.Prior:
    return next(slot.prior for slot in model.priors if slot.label == label)


def test_centred_intercept_prior_moves_with_a_held_coefficient(data: pd.DataFrame) -> None:
    model = bg.Model("y ~ x", data, priors={"x": bg.Prior("Fixed", 1.0)})
    expected = data["y"].mean() - data["x"].mean()
    assert prior_of(model, "Intercept").parameters["mu"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("link", ["log", "inverse"])
def test_residual_sd_is_on_the_scale_of_the_response(link: str, data: pd.DataFrame) -> None:
    model = bg.Model("big ~ z", data, link=link)
    assert prior_of(model, "sigma").parameters["lam"] == pytest.approx(1.0 / data["big"].std(ddof=1))


def test_lognormal_residual_sd_is_on_the_log_scale(data: pd.DataFrame) -> None:
    model = bg.Model("big ~ z", data, family="lognormal")
    assert prior_of(model, "sigma").parameters["lam"] == pytest.approx(1.0 / np.log(data["big"]).std(ddof=1))


def test_a_formula_for_sigma_is_centred_at_the_link_of_the_residual_sd(data: pd.DataFrame) -> None:
    formulas = ["big ~ z", "sigma ~ z"]
    sd = data["big"].std(ddof=1)
    logged = prior_of(bg.Model(formulas, data), "sigma.Intercept").parameters
    assert logged["mu"] == pytest.approx(np.log(sd))
    assert logged["sigma"] == pytest.approx(2.5)
    plain = prior_of(bg.Model(formulas, data, link={"sigma": "identity"}), "sigma.Intercept").parameters
    assert plain["mu"] == pytest.approx(sd)
    assert plain["sigma"] == pytest.approx(2.5 * sd, rel=1e-6)


def test_a_column_named_as_a_parameter_is_refused(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"'sigma'.*Rename the column"):
        bg.Model("y ~ sigma", data)


def test_a_prior_for_a_parameter_with_a_formula_names_its_parts(data: pd.DataFrame) -> None:
    with pytest.raises(PriorError, match=r"'sigma\.Intercept', 'sigma\.fixed'"):
        bg.Model(["y ~ z", "sigma ~ z"], data, priors={"sigma": bg.Prior("HalfNormal", 1)})


@pytest.mark.parametrize(
    ("priors", "words"), [([1], "a dict of bg.Prior"), ({1: bg.Prior("Flat")}, "names of param")]
)
def test_priors_that_are_no_dict_of_names_are_refused(priors: Any, words: str, data: pd.DataFrame) -> None:
    with pytest.raises(PriorError, match=words):
        bg.Model("y ~ z", data, priors=priors)


def test_a_family_that_is_neither_name_nor_family_is_refused(data: pd.DataFrame) -> None:
    with pytest.raises(UnknownNameError, match="by name or as a Family"):
        bg.Model("y ~ z", data, family=3)  # type: ignore[arg-type]


def test_generated_ids_do_not_clash_with_groups(data: pd.DataFrame) -> None:
    model = bg.Model("y ~ (1 | g) + (0 + z | g) + (1 | g_2)", data)
    ids = block_ids(model.design.predictors["mu"].random)
    assert ids == ("g", "g_3", "g_2")
    assert {"b_g", "b_g_3", "b_g_2"} == {part.names.b for part in model.problem.blocks}


def test_bounded_priors_beside_others_start_inside_their_bounds(data: pd.DataFrame) -> None:
    priors = {"z": bg.Prior("Uniform", 5, 10), "x": bg.Prior("Cauchy", 3, 1), "sd[g, z]": bg.Prior("Uniform", 2, 3)}
    model = bg.Model("y ~ x + z + (1 + z | g)", data, priors=priors).graph
    logp = model.compile_logp(mode="FAST_COMPILE")
    assert np.isfinite(logp(model.initial_point()))


def test_discrete_truncation_takes_the_next_count_above_the_bound(data: pd.DataFrame) -> None:
    from bayesglmm.graph.elementwise import Elementwise

    values = []
    for bound in ("0.5", "1"):
        problem = bg.Model(f"count | trunc(lb={bound}) ~ z", data, family="poisson").problem
        values.append(Elementwise(problem)([np.full(len(data), 0.3)], {}, 0).value)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


def test_rows_keep_the_labels_of_the_data(data: pd.DataFrame) -> None:
    holed = data.assign(z=data["z"].where(data.index != "r3"))
    coords = bg.Model("y ~ z", holed).graph.coords["obs"]
    assert list(coords[:4]) == ["r0", "r1", "r2", "r4"]


def test_a_model_without_free_parameters_is_refused_by_the_sampler(data: pd.DataFrame) -> None:
    model = bg.Model("y ~ 0 + offset(x)", data, priors={"sigma": bg.Prior("Fixed", 1)})
    with pytest.raises(SettingsError, match="every parameter of the model is held"):
        model.fit("nuts")
