"""Separation by linear programming: every kind of response, and none where responses overlap."""

import numpy as np
import pytest

from bayesglmm.blocks import Response
from bayesglmm.design.separation import separation
from bayesglmm.errors import ModelWarning

N = 120
RNG = np.random.default_rng(8)
X = np.column_stack([np.ones(N), RNG.normal(size=(N, 2)), RNG.integers(0, 2, N)])
NAMES = ("Intercept", "x", "z", "d")
LINE = X[:, 1] - 0.5 * X[:, 2]
CATEGORIES = ("a", "b", "c")


def response(y, **more):
    return Response("y", np.asarray(y, dtype=float), **more)


def test_a_combination_that_separates_completely():
    found = separation("binary", response(LINE > 0.2), X, NAMES)
    assert found.complete
    assert found.rows == found.total == N
    weights = dict(zip(found.columns, found.weights, strict=True))
    scores = X[:, 1:] @ [weights.get(name, 0.0) for name in NAMES[1:]]
    assert scores[LINE > 0.2].min() > scores[LINE <= 0.2].max()
    assert "x" in found.combination


def test_a_level_separates_quasi_completely_whatever_the_units():
    noise = RNG.integers(0, 2, N)
    y = np.where(X[:, 3] == 1, 1, noise)
    for scale in (1.0, 1e6):
        found = separation("binary", response(y), X * [1.0, scale, 1.0, 1.0], NAMES)
        assert found.columns == ("d",)
        assert found.weights == (1.0,)
        assert found.rows == int(X[:, 3].sum())
        assert not found.complete


@pytest.mark.parametrize(
    ("kind", "y", "zeros"),
    [
        ("binary", RNG.integers(0, 2, N), False),
        ("numeric", RNG.poisson(2.0, N), True),
        ("ordinal", RNG.integers(0, 3, N), False),
        ("nominal", RNG.integers(0, 3, N), False),
        ("numeric", RNG.normal(size=N), False),
    ],
)
def test_overlapping_responses_are_not_separated(kind, y, zeros):
    columns = X[:, 1:] if kind == "ordinal" else X
    names = NAMES[1:] if kind == "ordinal" else NAMES
    assert separation(kind, response(y, categories=CATEGORIES), columns, names, zeros) is None


def test_steep_is_not_separated():
    """One row on the wrong side is enough for a maximum, however many are as good as certain."""
    y = LINE > 0
    y[np.argmax(LINE)] = False
    assert separation("binary", response(y), X, NAMES) is None


def test_rows_with_both_outcomes_overlap():
    trials = np.full(N, 4.0)
    y = np.where(X[:, 3] == 1, 4.0, RNG.binomial(3, 0.5, N) + 0.5 // 1)
    found = separation("binomial", response(y, trials=trials), X, NAMES)
    assert found.columns == ("d",)
    y[np.flatnonzero(X[:, 3])[0]] = 3.0
    assert separation("binomial", response(y, trials=trials), X, NAMES) is None


def test_counts_that_are_zero_wherever_a_level_is():
    counts = np.where(X[:, 3] == 1, 0, RNG.poisson(3.0, N))
    found = separation("numeric", response(counts), X, NAMES, zeros=True)
    assert found.columns == ("d",)
    assert found.weights == (-1.0,)
    assert found.rows == int(X[:, 3].sum())
    assert separation("numeric", response(counts), X, NAMES, zeros=False) is None


@pytest.mark.parametrize(("kind", "columns"), [("ordinal", {"x", "z"}), ("nominal", {"c: x", "c: z"})])
def test_categories_along_a_line(kind, columns):
    y = np.digitize(LINE, [-0.5, 0.5])
    if kind == "ordinal":
        found = separation(kind, response(y, categories=CATEGORIES), X[:, 1:], NAMES[1:])
    else:
        found = separation(kind, response(y, categories=CATEGORIES), X, NAMES)
    assert found.complete
    assert columns <= set(found.columns)


def test_a_model_says_so_before_it_is_fitted(design):
    data = {"y": (LINE > 0.2).astype(int), "x": X[:, 1], "z": X[:, 2]}
    words = (
        r"Complete separation: the combination .*x.* separates successes from failures \(it decides 120 of 120 rows"
    )
    with pytest.warns(ModelWarning, match=words):
        design("y ~ x + z", data, "bernoulli")
