"""The shrinkage plot: the no-pooling estimates are what each group says alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import optimize, special

import bayesglmm as bg
from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import shrinkage
from bayesglmm.plots.effects import facets
from bayesglmm.plots.pooling import pooling


def estimates(fit: Any, group: str = "g", term: str = "Intercept") -> Any:
    return pooling(fit, facets(fit.problem, group, term)[0])


def by_group(fit: Any, group: str = "g") -> Any:
    return next(part.block.index for part in fit.problem.blocks if part.block.group == group)


def test_with_an_intercept_alone_it_is_the_link_of_the_mean(fitted: Any) -> None:
    fit = fitted("s | trials(n) ~ 1 + (1 | g)", "binomial")
    found, index, response = estimates(fit), by_group(fit), fit.problem.response
    y, n = np.bincount(index, response.y), np.bincount(index, response.trials)
    plain = (y > 0) & (y < n)
    assert found.alone[plain] == pytest.approx(special.logit(y / n)[plain])
    assert np.array_equal(found.corrected, ~plain)
    assert np.array_equal(found.size, n)


def test_maximum_likelihood_shows_estimates_and_conditional_modes() -> None:
    dyestuff = bg.load_dataset("Dyestuff")
    fit = bg.Model("Yield ~ 1 + (1 | Batch)", dyestuff).fit("laplace", objective="ml")
    found = estimates(fit, "Batch")
    assert found.overall == pytest.approx(fit.fixed().loc["Intercept", "estimate"])
    assert found.alone == pytest.approx(dyestuff.groupby("Batch", observed=True)["Yield"].mean().to_numpy())
    assert found.together == pytest.approx(fit.coef()["estimate"].to_numpy())
    assert isinstance(shrinkage(fit), Figure)


def test_gaussian_groups_are_means_of_residuals(slopes: Any) -> None:
    found, index = estimates(slopes), by_group(slopes)
    mean = {name: v.mean(("chain", "draw")).values for name, v in slopes.data["posterior"].data_vars.items()}
    x = slopes.problem.predictors[0].predictor.X[:, 1]
    h = by_group(slopes, "h")
    rest = slopes.problem.response.y - x * (mean["beta"][1] + mean["b_g"][index, 1]) - mean["b_h"][h, 0]
    expected = np.bincount(index, rest) / np.bincount(index)
    assert found.alone == pytest.approx(expected)
    assert found.together == pytest.approx(mean["beta"][0] + mean["b_g"][:, 0])
    assert found.overall == pytest.approx(mean["beta"][0])


def test_slopes_are_regressions_through_the_rest(slopes: Any) -> None:
    found, index = estimates(slopes, term="x"), by_group(slopes)
    mean = {name: v.mean(("chain", "draw")).values for name, v in slopes.data["posterior"].data_vars.items()}
    x, h = slopes.problem.predictors[0].predictor.X[:, 1], by_group(slopes, "h")
    rest = slopes.problem.response.y - mean["beta"][0] - mean["b_g"][index, 0] - mean["b_h"][h, 0]
    assert found.alone == pytest.approx(np.bincount(index, x * rest) / np.bincount(index, x**2))


@pytest.mark.parametrize(
    ("formula", "family", "infinite"),
    [("count ~ x + (1 | g)", "poisson", "g0"), ("yes ~ x + (1 | g)", "bernoulli", "g1"),
     ("count ~ x + (1 | g)", "negative_binomial", "g0")],
)  # fmt: skip
def test_infinite_estimates_are_corrected_and_on_the_right_side(
    fitted: Any, formula: str, family: str, infinite: str
) -> None:
    fit = fitted(formula, family)
    found = estimates(fit)
    assert np.isfinite(found.alone).all()
    here = found.levels.tolist().index(infinite)
    assert found.corrected[here]
    assert (found.alone[here] > found.overall) == (family == "bernoulli")


def test_the_correction_solves_its_equation(fitted: Any) -> None:
    fit = fitted("count ~ x + (1 | g)", "poisson")
    found, index = estimates(fit), by_group(fit)
    beta = fit.data["posterior"]["beta"].mean(("chain", "draw")).values
    expected = np.exp(fit.problem.predictors[0].predictor.X @ beta)[index == 0].sum()
    root = optimize.brentq(lambda a: -expected * np.exp(a) + 0.5 - special.expit(a), -20, 5)
    assert found.alone[0] - found.overall == pytest.approx(root, abs=1e-5)


def test_maximum_likelihood_by_a_general_optimiser(fitted: Any) -> None:
    fit = fitted("count ~ x + (1 | g)", "negative_binomial")
    found, index = estimates(fit), by_group(fit)
    mean = {name: v.mean(("chain", "draw")).values for name, v in fit.data["posterior"].data_vars.items()}
    base = fit.problem.predictors[0].predictor.X @ mean["beta"]
    from bayesglmm.graph.elementwise import Elementwise

    rows = Elementwise(fit.problem, handwritten=False)
    phi = {name: mean[name] for name in fit.problem.dispersions}
    for j in np.flatnonzero(~found.corrected)[:2]:
        best = optimize.minimize_scalar(
            lambda a, j=j: -rows([base + a], phi).value[index == j].sum(), bounds=(-8, 8), method="bounded"
        )
        assert found.alone[j] - found.overall == pytest.approx(best.x, abs=1e-3)


def test_groups_without_information_have_no_point(fitted: Any, drawn: Any) -> None:
    fit = fitted("y ~ h + (1 + h | g)", rows=30, levels=8)
    found = estimates(fit, term="h[w]")
    index, w = by_group(fit), fit.problem.predictors[0].predictor.X[:, 2]
    silent = np.bincount(index, w) == 0
    assert silent.any()
    assert np.array_equal(np.isnan(found.alone), silent)
    assert found.size[silent].tolist() == [0.0] * silent.sum()
    drawn(shrinkage(fit, "g", "h[w]"))


def test_the_largest_group_is_on_top_or_the_largest_estimate(logistic: Any, drawn: Any) -> None:
    found = estimates(logistic)
    ax = drawn(shrinkage(logistic)).axes[0]
    shown = [tick.get_text() for tick in ax.get_yticklabels()]
    sizes = [int(label.split("n=")[1].rstrip(")")) for label in shown]
    assert sizes == sorted(found.size.astype(int).tolist())
    ax = drawn(shrinkage(logistic, order="estimate")).axes[0]
    shown = [tick.get_text().split()[0] for tick in ax.get_yticklabels()]
    assert shown == found.levels[np.argsort(found.alone)].tolist()


def test_both_estimates_and_the_overall_mean_are_drawn(logistic: Any, drawn: Any) -> None:
    found = estimates(logistic).ordered("size")
    figure = drawn(shrinkage(logistic))
    ax = figure.axes[0]
    lines, plain, corrected, together = ax.collections
    assert np.sort(np.array([s[:, 0] for s in lines.get_segments()])) == pytest.approx(
        np.sort(np.column_stack([found.alone, found.together]))
    )
    alone = np.concatenate([np.asarray(each.get_offsets())[:, 0] for each in (plain, corrected)])
    assert np.sort(alone) == pytest.approx(np.sort(found.alone))
    assert np.asarray(together.get_offsets())[:, 0] == pytest.approx(found.together)
    assert together.get_sizes().tolist() == sorted(together.get_sizes())
    assert ax.lines[0].get_xdata()[0] == pytest.approx(found.overall)
    assert ax.get_xlabel() == "log odds"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "infinite alone: corrected" in names


def test_many_groups_become_a_scatter_plot(fitted: Any, drawn: Any) -> None:
    fit = fitted("count ~ 1 + (1 | g)", "poisson", rows=400, levels=150, draws=20)
    figure = Figure()
    ax = figure.subplots()
    assert drawn(shrinkage(fit, ax=ax)) is figure
    found = estimates(fit)
    plain, corrected = ax.collections
    assert sum(len(np.asarray(each.get_offsets())) for each in (plain, corrected)) == 150
    assert np.asarray(plain.get_offsets())[:, 1] == pytest.approx(found.together[~found.corrected])
    assert ax.get_xlabel() == "no pooling (log rate)"


def test_refusals(slopes: Any) -> None:
    with pytest.raises(SettingsError, match=r"Several grouping factors have the term 'Intercept'.*'g', 'h'"):
        shrinkage(slopes)
    with pytest.raises(UnknownNameError, match=r"No term 'z' varies by g"):
        shrinkage(slopes, "g", "z")
    unknown: Any = "n"
    with pytest.raises(SettingsError, match="order='n'"):
        shrinkage(slopes, "g", order=unknown)
