"""The judge before the judged: bands have the coverage they claim, and wrong posteriors are found out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sbc_ranks import band, coverage, rank, thinned
from sbc_studies import STUDIES, Study, run
from scipy import stats

import bayesglmm as bg


@pytest.mark.parametrize(("replicates", "draws", "prob"), [(40, 99, 0.95), (150, 99, 0.9), (100, 19, 0.99)])
def test_uniform_ranks_stay_inside_as_often_as_claimed(replicates: int, draws: int, prob: float) -> None:
    own = band(replicates, draws, prob)
    assert prob <= own.coverage < prob + 0.02  # counts are whole numbers: not every probability can be reached
    ranks = np.random.default_rng(1).integers(0, draws + 1, (8000, replicates))
    error = np.sqrt(own.coverage * (1 - own.coverage) / 8000)
    assert np.mean(own.contains(ranks)) == pytest.approx(own.coverage, abs=3.5 * error)


def test_coverage_of_one_cut_is_binomial() -> None:
    lower, upper, p = np.array([3]), np.array([9]), np.array([0.3])
    assert coverage(lower, upper, p, 20) == pytest.approx(stats.binom.cdf(9, 20, 0.3) - stats.binom.cdf(2, 20, 0.3))


def test_a_band_is_wider_than_pointwise_and_narrower_than_bonferroni() -> None:
    own = band(100, 99, 0.95)
    for level, wider in ((0.05, True), (0.05 / len(own.cuts), False)):
        ends = [stats.binom.ppf(q, 100, own.expected) for q in (level / 2, 1 - level / 2)]
        difference = np.sum(own.upper - own.lower) - np.sum(ends[1] - ends[0])
        assert difference > 0 if wider else difference < 0


def test_thinning_keeps_evenly_spaced_draws_of_all_chains() -> None:
    draws = np.arange(2000.0).reshape(2, 1000)
    assert thinned(draws, 99).tolist() == list(np.arange(99) * 20 + 19.0)
    with pytest.raises(ValueError, match="cannot be thinned"):
        thinned(draws[:, :10], 99)


# Each wrong posterior stands for a mistake that an engine could make: factor of the sd, shift in sds.
POSTERIORS = {"right": (1.0, 0.0), "too narrow": (0.7, 0.0), "too wide": (1.5, 0.0), "shifted": (1.0, 0.35)}


@pytest.mark.parametrize("which", POSTERIORS)
def test_wrong_posteriors_of_a_normal_mean_are_caught(which: str) -> None:
    """y_1..y_5 ~ N(mu, 1), mu ~ N(0, 1): the posterior is N(5 / 6 ybar, 1 / 6)."""
    factor, shift = POSTERIORS[which]
    rng = np.random.default_rng(3)
    ranks = []
    for _ in range(300):
        mu = rng.normal()
        mean, sd = 5 / 6 * rng.normal(mu, 1, 5).mean(), np.sqrt(1 / 6)
        ranks.append(rank(mu, rng.normal(mean + shift * sd, factor * sd, 99)))
    assert bool(band(300, 99, 0.95).contains(np.array(ranks))) == (which == "right")


@pytest.mark.parametrize("name", STUDIES)
def test_studies_simulate_what_their_priors_say(name: str) -> None:
    """Means and standard deviations of the parameters are those of the model's own priors, drawn by the package."""
    study: Any = STUDIES[name]
    rng = np.random.default_rng(5)
    truths = [study.truth(rng) for _ in range(1500)]
    for label in truths[0]:
        key = label if label in study.priors else label.split("[")[0]
        prior = study.priors[key]
        own = np.array([truth[label] for truth in truths])
        # LKJ(2) of two dimensions: r = 2 Beta(2, 2) - 1, of mean 0 and variance 1 / 5.
        other = rng.beta(2, 2, 4000) * 2 - 1 if key == "cor" else prior.draw(rng, 4000)
        assert stats.ks_2samp(own, other).pvalue > 1e-3, label


def test_replicates_are_reproducible_and_differ() -> None:
    study = STUDIES["poisson"]
    (truth, data), (again, same), (other, _) = (study.replicate(number) for number in (4, 4, 5))
    assert truth == again
    assert truth != other
    assert data.equals(same)


class Slope(Study):
    """One slope, known sigma: the posterior is normal, and Laplace is exact."""

    name, family, formula = "slope", "gaussian", "y ~ 0 + x"

    def __init__(self, prior_sd: float) -> None:
        self.priors = {"x": bg.Prior("Normal", 0, prior_sd), "sigma": bg.Prior("Fixed", 1)}

    def design(self) -> pd.DataFrame:
        return pd.DataFrame({"x": [-1.0, 0.0, 0.5, 1.0]})

    def truth(self, rng: np.random.Generator) -> dict[str, float]:
        return {"x": rng.normal(0, 1)}

    def response(self, truth: dict[str, float], rows: pd.DataFrame, rng: np.random.Generator) -> Any:
        return rng.normal(truth["x"] * rows["x"], 1)


@pytest.mark.parametrize(("prior_sd", "outside"), [(1.0, []), (0.15, ["x"])])
def test_a_model_with_another_prior_than_its_parameters_is_caught(prior_sd: float, outside: list[str]) -> None:
    ranks = run(Slope(prior_sd), "laplace", 25)
    assert ranks.outside() == outside
    assert sum(ranks.shares.values()) == pytest.approx(1)


@pytest.mark.slow
def test_workers_change_no_rank() -> None:
    alone, together = (run(STUDIES["bernoulli"], "laplace", 4, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert alone.table.equals(together.table)
    assert alone.verdicts == together.verdicts
