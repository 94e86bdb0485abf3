"""Pedigrees and phylogenies: their sparse inverses against relationship matrices made entry by entry, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import bayesglmm as bg
from bayesglmm.errors import DataError

MRODE = pd.DataFrame({"id": [3, 4, 5, 6], "sire": [1, 1, 4, 5], "dam": [2, None, 3, 2]})


def tabular(pedigree: pd.DataFrame) -> pd.DataFrame:
    """Return A by the tabular method (Emik and Terrill 1949); parents come first, 0 is unknown."""
    names = [str(name) for name in pedigree["id"]]
    place = {name: i for i, name in enumerate(names)}
    A = np.zeros((len(names), len(names)))
    for i, (dam, sire) in enumerate(zip(pedigree["dam"], pedigree["sire"], strict=True)):
        parents = [place[str(p)] for p in (dam, sire) if str(p) in place]
        A[i, :i] = A[:i, i] = 0.5 * sum((A[p, :i] for p in parents), np.zeros(i))
        A[i, i] = 1.0 + (0.5 * A[parents[0], parents[1]] if len(parents) == 2 else 0.0)
    return pd.DataFrame(A, index=names, columns=names)


def inbred(n: int = 150, seed: int = 0) -> pd.DataFrame:
    """Return a small population with unknown parents, selfing and mating of relatives."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(1, n + 1):
        dam, sire = (int(rng.integers(max(1, i - 25), i)) if i > 6 and rng.random() < 0.85 else 0 for _ in range(2))
        rows.append((i, dam, dam if dam and rng.random() < 0.05 else sire))
    return pd.DataFrame(rows, columns=["id", "dam", "sire"])


def dense(matrix: Any) -> pd.DataFrame:
    return pd.DataFrame(np.linalg.inv(matrix.values.toarray()), index=matrix.names, columns=matrix.names)


# pedigrees ----------------------------------------------------------------------------------------------------------


def test_the_textbook_pedigree() -> None:
    """Mrode (2014), example 2.1, with inbreeding; founders have no row, and rows are in any order."""
    expected = [
        [1.0, 0.0, 0.5, 0.5, 0.5, 0.25],
        [0.0, 1.0, 0.5, 0.0, 0.25, 0.625],
        [0.5, 0.5, 1.0, 0.25, 0.625, 0.5625],
        [0.5, 0.0, 0.25, 1.0, 0.625, 0.3125],
        [0.5, 0.25, 0.625, 0.625, 1.125, 0.6875],
        [0.25, 0.625, 0.5625, 0.3125, 0.6875, 1.125],
    ]
    names = [str(j) for j in range(1, 7)]
    for pedigree in (MRODE, MRODE.iloc[::-1], MRODE.fillna({"dam": 0}), MRODE.assign(dam=["2", "NA", "3", "2"])):
        found = dense(bg.pedigree_precision(pedigree))
        np.testing.assert_allclose(found.loc[names, names], expected, atol=1e-12)
        np.testing.assert_allclose(bg.inbreeding(pedigree)[names], [0, 0, 0, 0, 0.125, 0.125], atol=1e-12)


def test_inverse_with_inbreeding_is_that_of_the_tabular_method() -> None:
    pedigree = inbred()
    A = tabular(pedigree)
    found = bg.pedigree_precision(pedigree.sample(frac=1.0, random_state=1))
    order = list(found.names or ())
    np.testing.assert_allclose(found.values.toarray() @ A.loc[order, order].to_numpy(), np.eye(len(A)), atol=1e-9)
    F = bg.inbreeding(pedigree)
    np.testing.assert_allclose(F[list(A.index)], np.diag(A) - 1.0, atol=1e-12)
    assert F.max() > 0.3
    assert found.values.nnz < 9 * len(A)
    for child, dam, sire in pedigree.astype(str).itertuples(index=False):
        assert all(p == "0" or order.index(p) < order.index(child) for p in (dam, sire))


def test_columns_by_other_names_and_animals_without_records() -> None:
    pedigree = inbred(60)
    rng = np.random.default_rng(3)
    A = tabular(pedigree)
    u = np.linalg.cholesky(A.to_numpy()) @ rng.normal(size=60)
    data = pd.DataFrame({"animal": A.index[20:], "y": u[20:] + 0.5 * rng.normal(size=40)})
    renamed = pedigree.rename(columns={"id": "animal", "dam": "mother", "sire": "father"})
    Q = bg.pedigree_precision(renamed, id="animal", dam="mother", sire="father")
    fits = [
        bg.Model("y ~ 1 + (1 | gr(animal, cov=A))", data, cov={"A": given}).fit("laplace", objective="ml")
        for given in (Q, A)
    ]
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=1e-6)
    one, two = (fit.ranef().set_index("level")["estimate"] for fit in fits)
    assert len(one) == 60
    np.testing.assert_allclose(one[A.index], two[A.index], atol=1e-5)


@pytest.mark.parametrize(
    ("pedigree", "words"),
    [
        (MRODE.drop(columns="dam"), "no column 'dam'"),
        (pd.concat([MRODE, MRODE.iloc[:1]]), "'3' has more than one row"),
        (MRODE.assign(id=[3, 4, None, 6]), "Row 2 of the pedigree has no 'id'"),
        (pd.DataFrame({"id": ["a", "b"], "dam": ["b", "a"], "sire": [None, None]}), "among its own ancestors"),
        (pd.DataFrame({"id": ["a"], "dam": ["a"], "sire": [None]}), "among its own ancestors"),
        ([1, 2], "is a DataFrame"),
    ],
)
def test_what_is_no_pedigree_is_refused(pedigree: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        bg.pedigree_precision(pedigree)


# phylogenies --------------------------------------------------------------------------------------------------------

PRIMATES = "((((Homo:0.21,Pongo:0.21):0.28,Macaca:0.49):0.13,Ateles:0.62):0.38,Galago:1.00);"


def test_covariance_of_species_is_the_path_that_they_share() -> None:
    """The five primates of Lynch (1991), whose tree has depth one."""
    species = ["Homo", "Pongo", "Macaca", "Ateles", "Galago"]
    shared = [
        [1.0, 0.79, 0.51, 0.38, 0.0],
        [0.79, 1.0, 0.51, 0.38, 0.0],
        [0.51, 0.51, 1.0, 0.38, 0.0],
        [0.38, 0.38, 0.38, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ]
    found = bg.phylogeny_precision(PRIMATES)
    np.testing.assert_allclose(dense(found).loc[species, species], shared, atol=1e-12)
    assert found.names == ("node2", "node3", "node4", *species)
    longer = PRIMATES.replace("0.21", "2.1").replace("0.28", "2.8").replace("0.49", "4.9").replace("0.13", "1.3")
    longer = longer.replace("0.62", "6.2").replace("0.38", "3.8").replace("1.00", "10")
    np.testing.assert_allclose(dense(bg.phylogeny_precision(longer)).loc[species, species], shared, atol=1e-12)
    raw = dense(bg.phylogeny_precision(longer, scale=False)).loc[species, species]
    np.testing.assert_allclose(raw, 10.0 * np.array(shared), atol=1e-10)


def test_names_comments_quotes_and_files(tmp_path: Path) -> None:
    text = "[&R] (('Homo ''sapiens''':1, Pan_paniscus:1.0e0)apes:2[95],Macaca:3)root:9;\n"
    (tmp_path / "tree.nwk").write_text(text)
    for given in (text, tmp_path / "tree.nwk"):
        found = bg.phylogeny_precision(given)
        assert found.names == ("apes", "Homo 'sapiens'", "Pan_paniscus", "Macaca")
        A = dense(found)
        assert A.loc["Homo 'sapiens'", "Pan_paniscus"] == pytest.approx(2 / 3)
        assert np.diag(A)[1:] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(a:1,b:1", "not closed"),
        ("a:1,b:1);", "outside of its brackets"),
        ("(a:1,b:1)):2;", "was not opened"),
        ("(a:1,b);", "to 'b' has no length"),
        ("((a:1,b:1):0,c:1);", "to an inner node has the length 0"),
        ("(a:1,a:1);", "Two nodes of the tree are called 'a'"),
        ("(a:1,:1);", "a species without a name"),
        ("(a:x,b:1);", "'x' where a branch length should be"),
        ("a;", "at least two species"),
        ("(a:1,b:1'", "cannot be read from"),
    ],
)
def test_what_is_no_tree_is_refused(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        bg.phylogeny_precision(text)


def test_phylogenetic_regression_is_the_closed_form() -> None:
    """Species and inner nodes as levels give the likelihood of the species alone, maximised by scipy."""
    rng = np.random.default_rng(4)
    tree = PRIMATES
    A = dense(bg.phylogeny_precision(tree)).loc[["Homo", "Pongo", "Macaca", "Ateles", "Galago"]]
    species = np.repeat(list(A.index), 6)
    S = A[list(A.index)].to_numpy()
    u = np.linalg.cholesky(S) @ rng.normal(size=5)
    data = pd.DataFrame({"y": 1.0 + 2.0 * np.repeat(u, 6) + rng.normal(size=30), "species": species})
    model = bg.Model("y ~ 1 + (1 | gr(species, cov=A))", data, cov={"A": bg.phylogeny_precision(tree)})
    fit = model.fit("laplace", objective="ml")
    Z = (species[:, None] == np.array(A.index)).astype(float)

    def minus(p: Any) -> float:
        V = np.exp(2 * p[1]) * Z @ S @ Z.T + np.exp(2 * p[2]) * np.eye(30)
        return -float(stats.multivariate_normal(np.full(30, p[0]), V).logpdf(data["y"]))

    best = optimize.minimize(minus, [1.0, 0.5, 0.0], method="BFGS")
    assert fit.loglik == pytest.approx(-best.fun, abs=1e-5)
    np.testing.assert_allclose(fit.varcorr()["estimate"], np.exp(best.x[1:]), rtol=2e-3)
    assert fit.heritability()["group"].tolist() == ["species"]
