"""Every check of the sampler, made to fail by draws or statistics that deserve it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from bayesglmm.results.checks import Check, Verdict, verdict_of

CLEAN = ["finite draws", "chains", "draws", "R-hat", "bulk ESS", "tail ESS", "R-hat of group effects", "divergences"]


def row(fit: Any, check: str) -> Any:
    return fit.diagnose().set_index("check").loc[check]


def changed(case: Any, name: str, change: Any, **kwargs: Any) -> Any:
    draws = case.draws(**kwargs)
    draws[name] = change(draws[name].copy())
    return case.fit(case.run(draws=draws))


def test_good_draws_are_good(binomial: Any) -> None:
    fit = binomial.fit()
    table = fit.diagnose()
    assert table.columns.tolist() == ["check", "value", "threshold", "verdict", "meaning", "advice", "about"]
    own = table[table["about"] == "computation"]
    assert own["check"].tolist() == [*CLEAN, "longest trees", "E-BFMI"]
    assert set(own["verdict"]) == {"good"}
    assert fit.checks[0].name == "finite draws"
    assert set(own["advice"]) == {""}
    assert fit.verdict == "good"
    assert fit.verdict.reasons == ()
    assert str(fit.verdict).startswith("good: the chains agree")


def shifted(size: float) -> Any:
    def change(values: Any) -> Any:
        values[0] += size
        return values

    return change


@pytest.mark.parametrize(("size", "word"), [(0.06, "check"), (2.0, "bad")])
def test_chains_that_disagree(gaussian: Any, size: float, word: str) -> None:
    fit = changed(gaussian, "sd_g", shifted(size))
    found = row(fit, "R-hat")
    assert found["verdict"] == word
    assert "sd[g, " in found["meaning"]
    assert fit.verdict == word
    assert found["advice"] in fit.verdict.advice


def test_group_effects_that_disagree_are_named(gaussian: Any) -> None:
    def change(values: Any) -> Any:
        values[1, :, 3, 0] += 3.0
        return values

    fit = changed(gaussian, "u_g", change)
    found = row(fit, "R-hat of group effects")
    assert found["verdict"] == "bad"
    assert "Intercept of g d" in found["meaning"]
    assert row(fit, "R-hat")["verdict"] == "good"


def slow(share: float) -> Any:
    def change(values: Any) -> Any:
        for t in range(1, values.shape[1]):
            values[:, t] = share * values[:, t - 1] + np.sqrt(1 - share**2) * values[:, t]
        return values

    return change


def test_few_independent_draws(gaussian: Any) -> None:
    fit = changed(gaussian, "beta", slow(0.8))
    assert row(fit, "bulk ESS")["verdict"] in ("check", "bad")
    assert "draws of" in row(fit, "bulk ESS")["meaning"]
    assert "Run longer" in row(fit, "bulk ESS")["advice"]


def test_a_single_chain_is_at_best_to_be_checked(gaussian: Any) -> None:
    fit = gaussian.fit(gaussian.run(shape={"chains": 1, "draws": 1000}))
    assert row(fit, "chains")["verdict"] == "check"
    assert np.isfinite(row(fit, "R-hat")["value"])
    assert fit.verdict == "check"


def test_a_single_chain_that_drifts_is_caught(gaussian: Any) -> None:
    fit = changed(gaussian, "beta", lambda v: v + np.linspace(0, 5, v.shape[1])[:, None], chains=1, draws=1000)
    assert row(fit, "R-hat")["verdict"] == "bad"


def test_an_interrupted_fit_says_so(gaussian: Any) -> None:
    fit = gaussian.fit(settings={"draws": 1000})
    assert row(fit, "complete")["verdict"] == "check"
    assert "250 of 1000" in row(fit, "complete")["meaning"]


@pytest.mark.parametrize(("count", "word"), [(0, "good"), (3, "check"), (50, "bad")])
def test_divergences(gaussian: Any, count: int, word: str) -> None:
    diverging = np.zeros((4, 250), dtype=bool)
    diverging.ravel()[:count] = True
    fit = gaussian.fit(gaussian.run(stats={"diverging": diverging}))
    assert row(fit, "divergences")["verdict"] == word
    assert fit.verdict == word
    if count:
        assert "target_accept=0.95" in row(fit, "divergences")["advice"]


def test_divergences_are_tied_to_the_standard_deviation_that_is_small_there(gaussian: Any) -> None:
    draws = gaussian.draws()
    small = draws["sd_g"][..., 1] < np.quantile(draws["sd_g"][..., 1], 0.03)
    fit = gaussian.fit(gaussian.run(draws=draws, stats={"diverging": small}))
    found = row(fit, "divergences")
    assert "They lie where sd[g, x] is small: its median is 0.4" in found["meaning"]
    assert "into that corner" in found["meaning"]
    assert 'priors={"sd[g]": ...}' in found["advice"]
    assert next(c for c in fit.checks if c.name == "divergences").parameters == ("sd[g, x]",)
    # Divergent draws that have nothing in common blame nothing.
    random = np.random.default_rng(5).random((4, 250)) < 0.03
    fit = gaussian.fit(gaussian.run(draws=draws, stats={"diverging": random}))
    assert "most often where a group standard deviation is near zero" in row(fit, "divergences")["meaning"]


def test_the_worst_comes_first_and_prints_as_sentences(gaussian: Any) -> None:
    diverging = np.zeros((4, 250), dtype=bool)
    diverging.ravel()[:50] = True
    fit = gaussian.fit(gaussian.run(stats={"diverging": diverging}), settings={"draws": 1000})
    table = fit.diagnose()
    assert table["check"].tolist()[:2] == ["divergences", "complete"]
    assert table["verdict"].tolist()[:2] == ["bad", "check"]
    text = str(table).splitlines()
    assert text[0] == "1. divergences (bad): 50, good is 0"
    assert text[1].startswith("   50 of 1000 draws are divergent.")
    assert any(line.startswith("   > Use model.fit(target_accept=0.95)") for line in text)
    assert text[-1].startswith("All else is good: ") or text[-2].startswith("All else is good: ")
    assert "<table" in table._repr_html_()
    assert type(table[table["verdict"] == "bad"]).__name__ == "DataFrame"


def test_long_trees_and_low_energy(gaussian: Any) -> None:
    deep = np.zeros((4, 250), dtype=bool)
    deep[:, :20] = True
    energy = np.cumsum(np.random.default_rng(0).normal(size=(4, 250)), axis=1)
    fit = gaussian.fit(gaussian.run(stats={"reached_max_treedepth": deep, "energy": energy}))
    assert row(fit, "longest trees")["verdict"] == "check"
    assert row(fit, "E-BFMI")["verdict"] == "check"
    assert fit.verdict == "check"


def test_draws_that_are_not_finite(gaussian: Any) -> None:
    def change(values: Any) -> Any:
        values[0, 0, 1] = np.nan
        return values

    fit = changed(gaussian, "beta", change)
    assert row(fit, "finite draws")["verdict"] == "bad"
    assert "Draws of x are not finite" in row(fit, "finite draws")["meaning"]


def test_two_draws_do_not_break_it(gaussian: Any) -> None:
    fit = gaussian.fit(gaussian.run(shape={"draws": 2}))
    assert "Verdict: bad" in str(fit)


def test_a_fit_with_hardly_any_draws_is_not_good(gaussian: Any) -> None:
    assert gaussian.fit(gaussian.run(shape={"draws": 2})).verdict == "bad"
    assert gaussian.fit(gaussian.run(shape={"draws": 60})).verdict != "good"


def test_engines_without_these_statistics_are_not_asked(gaussian: Any) -> None:
    run = gaussian.run()
    bare = type(run)(run.draws, {}, run.seconds)
    assert "divergences" not in gaussian.fit(bare).diagnose()["check"].tolist()


def test_a_verdict_is_a_word_that_knows_why() -> None:
    worse = Check("a", 1.0, "0", "bad", "A was found.", "It matters.", "Do this.")
    milder = Check("b", 1.0, "0", "check", "B was found.", "It may matter.", "Do that.")
    verdict = verdict_of([milder, worse])
    assert verdict == "bad"
    assert verdict.reasons == ("A was found. It matters.", "B was found. It may matter.")
    assert str(verdict).splitlines() == [
        "bad: do not use these numbers yet.",
        "  - A was found. It matters.",
        "  - B was found. It may matter.",
        "  > Do this.",
        "  > Do that.",
    ]
    assert pickle.loads(pickle.dumps(verdict)) == "bad"
    assert Verdict("good") in {"good": 1}


def test_proposals_of_single_coordinates_are_told_to_move_together(gaussian: Any) -> None:
    """Slow chains of a random walk, or of weighted least squares, are first pointed to moves in blocks."""
    draws = gaussian.draws()
    draws["sd_g"] = slow(0.98)(draws["sd_g"].copy())
    for proposal, words in (
        ("random-walk", "ten to a hundred times as many draws"),
        ("iwls", "all effects that belong"),
    ):
        fit = gaussian.fit(gaussian.run(draws=draws), settings={"proposal": proposal})
        assert fit.verdict != "good"
        assert fit.verdict.advice[0].startswith('Use proposal="block"')
        assert words in row(fit, "bulk ESS")["advice"]
    fit = gaussian.fit(gaussian.run(draws=draws), settings={"proposal": "block"})
    assert "Run longer" in fit.verdict.advice[0]
