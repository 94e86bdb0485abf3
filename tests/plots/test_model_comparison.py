"""Figures of model comparison: every model is a row, differences and weights are the table's, bad rows are named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import SettingsError
from bayesglmm.results.evaluation.bridge import Evidence
from bayesglmm.results.evaluation.elpd import Elpd
from bayesglmm.results.evaluation.loo import IMPORTANCE, Loo
from bayesglmm.results.evaluation.rows import Observed

OBSERVED = Observed("y", "gaussian", False, tuple(map(str, range(50))), "a", "b")


def elpd(shift: float) -> Elpd:
    rng = np.random.default_rng(3)
    values = pd.DataFrame({"elpd": -1.0 - shift * rng.random(50), "p": np.full(50, 0.1)})
    return Elpd("PSIS-LOO", values, OBSERVED)


def test_models_are_rows_the_best_first() -> None:
    comparison = bg.compare_models({"worse": elpd(1.0), "best": elpd(0.0), "worst $x$": elpd(3.0)})
    figure = bg.plots.compare_models(comparison)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["best", "worse", "worst $x$"]
    points = np.sort(ax.collections[-1].get_offsets()[:, 0])
    assert np.allclose(points, np.sort(comparison.table["elpd_diff"]))
    shown = [text.get_text() for text in ax.texts]
    assert shown[0] == "elpd"
    assert f"{comparison.table['elpd'].iloc[0]:.1f}" in shown
    assert f"{comparison.table['weight'].iloc[0]:.2f}" in shown


def test_evidence_has_probabilities() -> None:
    fits = {name: Evidence(value, np.nan, "Laplace's approximation") for name, value in (("a", -10.0), ("b", -12.0))}
    fits = {name: Evidence(own.log_evidence, own.se, own.method, observed=OBSERVED) for name, own in fits.items()}
    ax = bg.plots.compare_models(bg.compare_models(fits, method="evidence")).axes[0]
    assert "probability" in [text.get_text() for text in ax.texts]
    assert f"{1.0 / (1.0 + np.exp(-2.0)):.2f}" in [text.get_text() for text in ax.texts]


def test_bad_rows_are_named() -> None:
    k = np.full(50, 0.2)
    k[[7, 30]] = 0.9, 1.2
    table = pd.DataFrame({"elpd": -np.ones(50), "p": 0.1, "pareto_k": k, "how": IMPORTANCE})
    table.index = pd.Index([f"r{j}" for j in range(50)])
    ax = bg.plots.pareto_k(Loo("PSIS-LOO", table, OBSERVED, draws=4000)).axes[0]
    assert [text.get_text() for text in ax.texts] == ["r30", "r7"]


def test_other_things_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"Give what bg\.compare_models returns, not a dict"):
        bg.plots.compare_models({})
    with pytest.raises(SettingsError, match=r"Give what fit\.loo\(\) returns, not a list"):
        bg.plots.pareto_k([])
