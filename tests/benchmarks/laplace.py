"""How long Laplace fits take: real data, InstEval, and a simulated model of 1e6 rows and 1e5 groups.

Run: python tests/benchmarks/laplace.py [small] [InstEval] [large]
The time of a second fit is printed, too: the first of a process imports and compiles. R is not called here; the times
of glmmTMB and glmer on this project's machine stand beside ours, from tests/reference/expected.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesglmm as bg
from bayesglmm.engines import ENGINES

EXPECTED = Path(__file__).resolve().parents[1] / "reference" / "expected"

SMALL = (
    ("Contraception", "use ~ age + I(age^2) + urban + livch + (1 | district)", "bernoulli", "contraception_cm1"),
    ("VerbAgg", "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "bernoulli", "VerbAgg"),
    ("grouseticks", "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "poisson", "grouseticks"),
    ("epilepsy", "count ~ zAge + zBase * Trt + (1 | patient)", "poisson", "epilepsy"),
)


def fit(problem: Any, **settings: Any) -> tuple[Any, float]:
    """Return a run and its wall-clock time."""
    engine: Any = ENGINES.get("laplace")
    configured = engine.configure(**settings)
    start = time.perf_counter()
    run = engine.run(problem, configured, 1)
    return run, time.perf_counter() - start


def theirs(name: str) -> str:
    """Return the times of the reference fits of a data set."""
    blocks = json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))
    times = {key: block.get("elapsed_s") for key, block in blocks.items() if isinstance(block, dict)}
    return ", ".join(f"{key} {value:.2f}" for key, value in times.items() if value is not None)


def small() -> None:
    """Fit the real data sets twice by maximum likelihood and twice for the posterior."""
    for name, formula, family, reference in SMALL:
        problem = bg.Model(formula, bg.load_dataset(name), family=family).problem
        for objective in ("ml", "posterior"):
            times = [fit(problem, objective=objective)[1] for _ in range(3)]
            print(f"{name} {objective}: first {times[0]:.2f} s, again {min(times[1:]):.2f} s")
        print(f"    reference, seconds: {theirs(reference)}")


def insteval() -> None:
    """Fit the crossed model of InstEval, gaussian: 73,421 rows, 2,972 + 1,128 levels."""
    data = bg.load_dataset("InstEval")
    for column in ("s", "d"):
        data[column] = data[column].astype(str)
    problem = bg.Model("y ~ service + (1 | s) + (1 | d)", data).problem
    run, seconds = fit(problem, objective="ml", draws=1, chains=1)
    print(f"InstEval ml: {seconds:.1f} s, log-likelihood {run.likelihood.loglik:.4f}, {memory()}")


def large(rows: int = 1_000_000, groups: int = 100_000) -> None:
    """Fit a simulated random-intercept model of binary responses."""
    rng = np.random.default_rng(1)
    g, x = rng.integers(0, groups, rows), rng.normal(size=rows)
    eta = -0.5 + 0.7 * x + rng.normal(0, 0.8, groups)[g]
    data = pd.DataFrame({"x": x, "g": g, "y": (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int)})
    data["g"] = data["g"].astype("category")
    start = time.perf_counter()
    problem = bg.Model("y ~ x + (1 | g)", data, family="bernoulli").problem
    print(f"{rows:,} rows, {groups:,} groups: model {time.perf_counter() - start:.1f} s")
    run, seconds = fit(problem, objective="ml", draws=1, chains=1)
    found = run.likelihood
    print(f"    ml {seconds:.1f} s, beta {found.beta}, sd {found.natural['sd_g']}, {memory()}")


def memory() -> str:
    """Return the peak of resident memory."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def main() -> None:
    """Run what is named on the command line; everything if nothing is."""
    parts = {"small": small, "InstEval": insteval, "large": large}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
