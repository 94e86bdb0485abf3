"""A known covariance of coefficients up to scale: the density of a dense normal, and the model of `gr(id, cov=K)`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, DataError, FormulaError

J = 12


@pytest.fixture(scope="module")
def K() -> pd.DataFrame:
    B = np.random.default_rng(0).normal(size=(J, J))
    names = [f"s{j}" for j in range(J)]
    return pd.DataFrame(B @ B.T / J + 0.2 * np.eye(J), index=names, columns=names)


@pytest.fixture(scope="module")
def data(K: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    own = np.repeat(np.arange(J), 6)
    effects = np.linalg.cholesky(K.to_numpy()) @ rng.normal(size=J)
    x = rng.normal(size=len(own))
    return pd.DataFrame(
        {
            "id": np.array(K.index)[own],
            "x": x,
            "one": "a",
            "site": np.tile(list("abc"), 2 * J),
            "y": 0.5 * x + effects[own] + rng.normal(0, 0.5, len(own)),
        }
    )


def likelihood(term: str, data: pd.DataFrame, K: Any) -> Any:
    return bg.Model(f"y ~ x + {term}", data, cov={"K": K}).fit("laplace", objective="ml")


def test_one_group_is_the_model_of_related_levels(data: pd.DataFrame, K: pd.DataFrame) -> None:
    one, other = (likelihood(term, data, K) for term in ("propto(0 + id | one, cov=K)", "(1 | gr(id, cov=K))"))
    assert one.loglik == pytest.approx(other.loglik, abs=1e-7)
    ours = one.ranef().set_index("term")["estimate"].rename(lambda term: term[3:-1])
    np.testing.assert_allclose(ours[K.index], other.ranef().set_index("level")["estimate"][K.index], atol=1e-5)


def test_likelihood_is_a_dense_normal(data: pd.DataFrame, K: pd.DataFrame) -> None:
    # In another order, with a level more than there is data for: names count.
    more = K.reindex(index=[*K.index[::-1], "none"], columns=[*K.index[::-1], "none"], fill_value=0.0)
    more.loc["none", "none"] = 1.0
    fit = likelihood("propto(0 + id | site, cov=K)", data, more)
    sd, sigma = fit.varcorr()["estimate"].to_numpy()
    own, site = K.index.get_indexer(data["id"]), pd.factorize(data["site"])[0]
    V = sd**2 * K.to_numpy()[np.ix_(own, own)] * np.equal.outer(site, site) + sigma**2 * np.eye(len(data))
    mean = np.column_stack([np.ones(len(data)), data["x"]]) @ fit.fixed()["estimate"].to_numpy()
    assert fit.loglik == pytest.approx(stats.multivariate_normal(mean, V).logpdf(data["y"]), abs=1e-8)


@pytest.mark.parametrize(
    ("term", "change", "kind", "words"),
    [
        ("propto(1 | id, cov=K)", None, FormulaError, "is a process over the levels of one factor"),
        (
            "propto(0 + id | one, cov=K)",
            lambda K: K.drop(index="s3", columns="s3"),
            DataError,
            "no row for the level 's3'",
        ),
        ("propto(0 + id | one, cov=K)", lambda K: K - 3 * np.eye(J), DataError, "not positive definite"),
        ("propto(0 + id | one, cov=K)", lambda K: K + np.triu(np.ones((J, J)), 1), DataError, "not symmetric"),
        ("propto(0 + id | one, cov=K)", lambda K: K.to_numpy()[:5, :5], DataError, "5 rows, but there are 12 levels"),
    ],
)
def test_matrices_that_do_not_fit_are_named(
    term: str, change: Any, kind: type[BayesglmmError], words: str, data: pd.DataFrame, K: pd.DataFrame
) -> None:
    with pytest.raises(kind, match=words):
        bg.Model(f"y ~ x + {term}", data, cov={"K": K if change is None else change(K)})


def test_without_a_matrix(data: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match=r"`propto` needs a matrix: write propto\(0 \+ id \| g, cov=K\)"):
        bg.Model("y ~ x + propto(0 + id | one)", data)
