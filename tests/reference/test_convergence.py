"""NUTS converges with its default settings, on three seeds, on models where the usual graph does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pytest

import bayesglmm as bg

CASES = {
    "cbpp": ("cbpp", "incidence | trials(size) ~ period + (1 | herd)", "binomial"),
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)", "gaussian"),
    "epilepsy": ("epilepsy", "count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)", "poisson"),
    "Contraception": ("Contraception", "use ~ age*ch + I(age^2) + urban + (urban | district)", "bernoulli"),
    "grouseticks": (
        "grouseticks",
        "TICKS ~ YEAR + HEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        "poisson",
    ),
}
# The cheap ones and the hardest one every time, the others in turn.
ALWAYS = {"cbpp", "grouseticks"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in CASES]
)
def test_default_settings_converge(name: str, dataset: Callable[[str], Any]) -> None:
    data, formula, family = CASES[name]
    model = bg.Model(formula, dataset(data), family=family)
    for seed in (1, 2, 3):
        fit = model.fit("nuts", seed=seed, progressbar=False)
        assert int(fit.data["sample_stats"]["diverging"].sum()) == 0
        for variable, draws in fit.data["posterior"].data_vars.items():
            limit = 1.02 if variable.startswith("b_") else 1.01
            worst = _worst_rhat(np.asarray(draws))
            assert worst <= limit, f"{name}, seed {seed}: R-hat of {variable} is {worst:.4f}"
        assert fit.verdict in ("good", "check")  # tail ESS of a sd near zero may fall just below 400


def _worst_rhat(draws: Any) -> float:
    columns = draws.reshape(*draws.shape[:2], -1)
    varying = [columns[:, :, j] for j in range(columns.shape[2]) if columns[:, :, j].std() > 1e-12]
    return max(float(az.rhat(column)) for column in varying)
