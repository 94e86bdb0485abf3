"""Write the data of a problem as files that every contestant reads: `python -m suite.prepare NAME FOLDER`.

FOLDER gets data.csv, problem.json (the problem, which columns are factors, and their levels), and kinship.f64 where
there is a known covariance matrix.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesglmm as bg
from suite.problems import PROBLEMS, Problem

Made = tuple[pd.DataFrame, Any]


def spam() -> Made:
    """Return the e-mails with features as logarithms: frequencies are skewed and mostly zero."""
    mails = bg.load_dataset("spam")
    for name in mails.columns.difference(["type", "spam", "fold"]):
        mails[name] = np.log(mails[name] + (0.0 if name.startswith("capital") else 0.1))
    return mails, None


def kinship(n: int = 1000) -> Made:
    """Simulate individuals whose relatedness is that of genotypes: K = G G' / markers."""
    rng = np.random.default_rng(1)
    G = rng.binomial(2, 0.3, (n, 2 * n)).astype(float)
    G = (G - G.mean(axis=0)) / G.std(axis=0) / np.sqrt(2 * n)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + G @ rng.normal(size=2 * n) + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "id": pd.Categorical([f"i{j}" for j in range(n)])}), G @ G.T


def simulated(rows: int) -> Made:
    """Simulate binary responses with a random intercept for each group of ten rows."""
    rng = np.random.default_rng(1)
    groups = rows // 10
    g, x = rng.integers(0, groups, rows), rng.normal(size=rows)
    eta = -0.5 + 0.7 * x + rng.normal(0, 0.8, groups)[g]
    y = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"x": x, "g": pd.Categorical(g), "y": y}), None


MAKERS: Mapping[str, Callable[[], Made]] = {
    "spam": spam,
    "kinship": kinship,
    "rows_1e5": lambda: simulated(100_000),
    "rows_1e6": lambda: simulated(1_000_000),
}


def used(problem: Problem, data: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that are named in the problem; binary responses as 0 and 1."""
    text = f"{problem.response} {problem.trials} {problem.right_side()}"
    words = "".join(c if c.isalnum() or c in "._" else " " for c in text).split()
    kept = data[[name for name in data.columns if name in words]].copy()
    response = kept[problem.response]
    if problem.family == "bernoulli" and isinstance(response.dtype, pd.CategoricalDtype):
        kept[problem.response] = response.cat.codes.astype(int)
    return kept


def write(problem: Problem, folder: Path) -> None:
    """Write the files of a problem."""
    folder.mkdir(parents=True, exist_ok=True)
    make = MAKERS.get(problem.data)
    data, K = make() if make else (bg.load_dataset(problem.data), None)
    data = used(problem, data)
    for _, factor in problem.terms:
        data[factor] = data[factor].astype(str).astype("category")
    if K is not None:  # in the order of the levels, which are sorted as text
        ((_, factor),) = problem.terms
        order = data[factor].cat.codes.argsort().to_numpy()
        np.ascontiguousarray(K[np.ix_(order, order)]).tofile(folder / "kinship.f64")
    factors = {
        name: [str(level) for level in data[name].cat.categories]
        for name in data.columns
        if isinstance(data[name].dtype, pd.CategoricalDtype)
    }
    data.to_csv(folder / "data.csv", index=False)
    found = problem.plain() | {"factors": factors, "rows": len(data)}
    (folder / "problem.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    write({problem.name: problem for problem in PROBLEMS}[sys.argv[1]], Path(sys.argv[2]))
