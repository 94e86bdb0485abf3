"""Hand-written derivatives of vectors of dispersions and of several predictors against those of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bayesglmm.graph.elementwise import Elementwise

FIELDS = ("value", "d1", "d2", "d3", "dphi", "d1phi", "d2phi")


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


def compare(problem: Any, etas: list[Any], phi: dict[str, Any], rtol: float) -> None:
    ours, graph = Elementwise(problem), Elementwise(problem, handwritten=False)
    with np.errstate(all="ignore"):
        theirs = graph(etas, phi, 2)
    for order in (0, 1, 2):
        found = ours(etas, phi, order)
        for name in FIELDS[: (1, 3, 7)[order]]:
            scale = 1e-9 * (1.0 + np.abs(getattr(theirs, name)).max(initial=0.0))
            np.testing.assert_allclose(
                getattr(found, name), getattr(theirs, name), rtol=rtol, atol=scale, err_msg=name
            )


@pytest.mark.parametrize("link", ["logit", *map(slow, ("probit", "cloglog", "loglog", "cauchit"))])
def test_cumulative(link: str, make: Any) -> None:
    problem = make("x", "cumulative", link=link, likelihood_weights="w").problem
    compare(problem, [np.linspace(-4.0, 4.0, 24)], {"cutpoints": np.array([-1.0, 0.5])}, 1e-8)


def test_a_narrow_category_keeps_its_digits(make: Any) -> None:
    """Over a category of width h, log(F(c + h - eta) - F(c - eta)) is log f(c + h/2 - eta) + log h + O(h^2)."""
    problem, h = make("x", "cumulative").problem, 1e-6
    rows = problem.response.y == 1
    x = 0.7 - np.linspace(-3.0, 3.0, 24)  # middle of the category minus eta
    found = Elementwise(problem)([0.7 - x], {"cutpoints": np.array([0.7 - h / 2, 0.7 + h / 2])}, 2)
    p = 1.0 / (1.0 + np.exp(-x))
    f = p * (1.0 - p)
    expected = (np.log(f * h), 2.0 * p - 1.0, -2.0 * f, 2.0 * f * (1.0 - 2.0 * p))
    for own, value in zip((found.value, found.d1[0], found.d2[0, 0], found.d3[0, 0, 0]), expected, strict=True):
        np.testing.assert_allclose(own[rows], value[rows], rtol=1e-6, atol=1e-8)


def test_categorical(make: Any) -> None:
    problem = make("x", "categorical", likelihood_weights="w").problem
    rng = np.random.default_rng(2)
    compare(problem, list(3.0 * rng.normal(size=(2, 24))), {}, 1e-10)
    far = Elementwise(problem)([np.full(24, 800.0), np.full(24, -800.0)], {}, 2)
    assert all(np.isfinite(getattr(far, name)).all() for name in FIELDS)


@pytest.mark.parametrize("family", ["cumulative", "categorical"])
def test_laplace_compiles_no_likelihood(family: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise AssertionError("the graph's derivatives were asked for")

    monkeypatch.setattr(Elementwise, "_compile", staticmethod(refuse))
    fit = make("x + (1 | g)", family).fit("laplace", draws=20, seed=1)
    assert np.isfinite(fit.log_evidence)
