"""Metropolis kernels inside PyMC's own sampling loop."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.engines.steps import Points
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView


def sample(model: bg.Model, step: str, draws: int = 60, tune: int = 40, **settings: Any) -> Any:
    import pymc as pm

    logging.getLogger("pymc").setLevel(logging.ERROR)
    with model.graph:
        return pm.sample(
            draws=draws,
            tune=tune,
            chains=2,
            cores=1,
            step=getattr(bg.steps, step)(model, **settings),
            random_seed=1,
            progressbar=False,
            compute_convergence_checks=False,
            compile_kwargs={"mode": "FAST_COMPILE"},
        )


@pytest.mark.parametrize("step", ["BlockLaplace", "Iwls", "RandomWalk"])
def test_steps_run_in_pymc(cbpp_model: bg.Model, step: str) -> None:
    tree = sample(cbpp_model, step)
    assert tree["posterior"]["beta"].shape == (2, 60, 4)
    assert "acceptance_rate" not in tree["sample_stats"]
    assert any(name.startswith("acceptance_") for name in tree["sample_stats"].data_vars)
    assert not np.array_equal(tree["posterior"]["beta"][0], tree["posterior"]["beta"][1])
    assert np.asarray(tree["posterior"]["sd_herd"]).std() > 0


def test_points_go_there_and_back(cbpp_model: bg.Model) -> None:
    """Through the graph's transforms, the whitening of the coefficients included: its density is that of the view."""
    view = LatentView(cbpp_model.problem)
    points, rng = Points(view), np.random.default_rng(2)
    theta, x = rng.normal(size=view.theta_size), rng.normal(size=view.size)
    point = points.write(theta, x)
    for own, again in zip((theta, x), points.read(point), strict=True):
        np.testing.assert_allclose(own, again, atol=1e-10)
    reference = view.point(x, theta)
    assert point.keys() == reference.keys()
    for name, value in reference.items():
        np.testing.assert_allclose(point[name], value, atol=1e-10)
        assert isinstance(point[name], np.ndarray)


def test_another_model_in_the_context_is_refused(cbpp_model: bg.Model) -> None:
    import pymc as pm

    with pm.Model(), pytest.raises(SettingsError, match=r"with model\.graph"):
        bg.steps.BlockLaplace(cbpp_model)


def test_settings_are_those_of_the_engine(cbpp_model: bg.Model) -> None:
    with cbpp_model.graph, pytest.raises(SettingsError, match="scale is a setting"):
        bg.steps.BlockLaplace(cbpp_model, scale=1.0)


@pytest.mark.slow
def test_pymc_and_the_engine_draw_from_the_same_posterior(cbpp_model: bg.Model) -> None:
    """Means of the sd and of the intercept within 4 joint standard errors, counting a draw in six as independent."""
    tree = sample(cbpp_model, "BlockLaplace", draws=2000, tune=500)
    fit = cbpp_model.fit("metropolis", seed=2, draws=2000, tune=500, chains=2, progressbar=False)
    for name in ("sd_herd", "beta"):
        ours, theirs = (np.asarray(each["posterior"][name])[..., 0] for each in (fit.data, tree))
        error = np.hypot(ours.std(), theirs.std()) / np.sqrt(4000 / 6)
        assert abs(ours.mean() - theirs.mean()) < 4 * error
