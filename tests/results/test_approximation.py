"""What users read of an approximated posterior: that the words agree with the numbers beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.results.approximation import approximation_checks, good_words
from bayesglmm.results.checks import verdict_of


def quality(**changes: Any) -> dict[str, Any]:
    """Return what an engine leaves of a fit that is off by 0.65 in one standard deviation."""
    details = {"shared_khat": 0.4, "by_shift": "bad", "others": [], "nodes": 1, "factorises": True, "asked": "auto"}
    found = {
        "verdict": "bad",
        "khat": 0.6,
        "shifts": {"x": 0.1, "sd[g, Intercept]": -0.65},
        "errors": {"x": 0.02, "sd[g, Intercept]": 0.05},
        "method": "quadrature",
        "details": details | changes.pop("details", {}),
    }
    return found | changes


def rows(found: dict[str, Any], worth: pd.Series | None = None) -> dict[str, Any]:
    return {check.name: check for check in approximation_checks(found, worth)}


def test_the_finding_comes_before_what_it_means() -> None:
    text = str(verdict_of(approximation_checks(quality())))
    assert text.index("would move sd[g, Intercept] by 0.65") < text.index("is poor here")
    assert 'Use model.fit("laplace", quadrature=15), or model.fit("laplace", resample=True), or' in text


def test_crossed_factors_can_be_resampled() -> None:
    found = rows(quality(details={"factorises": False}))["shift under correction"]
    assert found.advice == 'Use model.fit("laplace", resample=True), or model.fit("nuts").'
    uneven = rows(quality(details={"factorises": False, "shared_khat": 0.9}))["shift under correction"]
    assert uneven.advice == 'Use model.fit("nuts").'


def test_resampling_that_was_refused_is_not_advised() -> None:
    found = rows(quality(details={"refused": True}))
    assert "resample" not in found["shift under correction"].advice
    assert "too uneven to mend it" in found["shift under correction"].meaning
    assert "can be trusted" not in found["Pareto k"].meaning


def test_quadrature_is_called_by_its_name() -> None:
    off = rows(quality(details={"nodes": 15}))["shift under correction"]
    assert "quadrature with 15 nodes" in off.finding
    assert "Laplace" not in off.finding + off.meaning
    assert "quadrature=" not in off.advice
    good = quality(verdict="good", details={"nodes": 15, "by_shift": "good"})
    assert good_words(good) == "Quadrature with 15 nodes per group effect is good here."


@pytest.mark.parametrize(("worth", "word"), [(900.0, "good"), (150.0, "check")])
def test_resampled_draws_are_judged_by_what_they_are_worth(worth: float, word: str) -> None:
    """Not by the shift, which is corrected, and no word that contradicts its own threshold."""
    found = rows(quality(), pd.Series({"x": 2000.0, "sd[g, Intercept]": worth}))
    assert "shift under correction" not in found
    assert found["shift corrected"].threshold == "reported only"
    own = found["resampled draws"]
    assert (own.value, own.verdict) == (worth, word)
    text = str(verdict_of(list(found.values()), good_words(quality(), pd.Series({"x": worth}))))
    assert text.startswith(word)
    assert f"{worth:.0f} independent ones" in text
    if word == "check":
        assert text.index("independent ones") < text.index("That is fewer than 400")


def test_other_doubts_stay_after_resampling() -> None:
    found = rows(quality(details={"others": ["There is a second mode."]}), pd.Series({"x": 900.0}))
    assert found["exploration"].verdict == "check"


@pytest.fixture(scope="module")
def binary() -> bg.Model:
    """Sixty groups of three binary rows that differ much: Laplace is known to be poor."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(60), 3), rng.normal(size=180)
    chance = 1 / (1 + np.exp(-(x + rng.normal(0, 2.5, 60)[g])))
    frame = pd.DataFrame({"y": (rng.random(180) < chance).astype(int), "x": x, "g": g.astype(str)})
    return bg.Model("y ~ x + (1 | g)", frame, family="bernoulli")


def test_printed_sizes_agree_with_the_table(binary: bg.Model) -> None:
    fit = binary.fit("laplace", resample=True, draws=250, seed=1)
    least = fit.summary()[["ess_bulk", "ess_tail"]].min(axis=None)
    assert fit.diagnose().set_index("check").loc["resampled draws", "value"] == least
    assert f"{least:.0f} independent ones" in str(fit.verdict)


def test_resampling_that_was_asked_for_in_vain_is_noted(monkeypatch: pytest.MonkeyPatch, binary: bg.Model) -> None:
    from bayesglmm.engines import nested

    monkeypatch.setattr(nested, "resample", lambda *_: None)
    fit = binary.fit("laplace", resample=True, draws=50, seed=1)
    assert any("not resampled, though resample=True asked for it" in note for note in fit.notes)
    assert "200 independent draws" in repr(fit)
    assert not any("resampled" in note for note in binary.fit("laplace", draws=50, seed=1).notes)


def test_quadrature_says_so_in_a_fit(binary: bg.Model) -> None:
    assert str(binary.fit("laplace", quadrature=9, draws=50, seed=1).verdict).find("Laplace") == -1


def test_what_could_not_be_measured_is_not_called_rough() -> None:
    unknown = quality(
        method="cumulants", verdict="check", shifts={"x": 2.0}, errors={"x": 0.5}, details={"by_shift": "check"}
    )
    found = rows(unknown)["shift under correction"]
    assert "could not be measured" in found.finding
    assert found.meaning == "How good Laplace's approximation is here is not known."
