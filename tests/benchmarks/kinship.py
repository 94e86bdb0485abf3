"""Known covariances at 300 and 2,000 individuals: seconds per fit and per scanned candidate, beside glimix-core.

And K = G G' with 50 columns in G at 5,000 individuals, whose cost is that of the columns.

    python tests/benchmarks/kinship.py                                       # bayesglmm; --quick leaves 2,000 out
    python tests/benchmarks/kinship.py --glimix OTHER_ENVIRONMENT/bin/python   # and glimix-core, where that has it

Times are CPU seconds of one thread (OMP_NUM_THREADS=1). Both programs get the same files; estimates are printed so
that one sees whether they did the same.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

CANDIDATES = 10_000
GLIMIX = """
import sys, time
import numpy as np
from glimix_core.lmm import LMM
from numpy_sugar.linalg import economic_qs
found = np.load(sys.argv[1])
start = time.process_time()
lmm = LMM(found["y"], found["X"], economic_qs(found["K"]), restricted=False)
lmm.fit(verbose=False)
fitted = time.process_time()
scanner = lmm.get_fast_scanner()
out = scanner.fast_scan(found["M"], verbose=False)
done = time.process_time()
effects = np.asarray(out["effsizes1"]).ravel()
print(f"glimix-core  fit {fitted - start:7.2f} s  scan {done - fitted:7.2f} s", end="  ")
print(f"loglik {lmm.lml():.4f}  v0 {lmm.v0:.4f}  v1 {lmm.v1:.4f}  first effects {effects[:3].round(5)}")
"""


def simulate(n: int, markers: int, seed: int) -> dict[str, Any]:
    """Return response, columns, kinship and candidates; the first candidate has an effect."""
    rng = np.random.default_rng(seed)
    G = rng.binomial(2, 0.3, (n, markers)).astype(float)
    G = (G - G.mean(axis=0)) / G.std(axis=0) / np.sqrt(markers)
    M = rng.binomial(2, 0.3, (n, CANDIDATES)).astype(float)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = X @ [1.0, 0.5] + 0.3 * M[:, 0] + G @ rng.normal(size=markers) + rng.normal(size=n)
    return {"y": y, "X": X, "K": G @ G.T, "M": M}


def seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def ours(given: dict[str, Any], posterior: bool) -> None:
    import pandas as pd

    import bayesglmm as bg

    names = [f"i{j}" for j in range(len(given["y"]))]
    data = pd.DataFrame({"y": given["y"], "x": given["X"][:, 1], "id": names})
    K = pd.DataFrame(given["K"], index=names, columns=names)
    model, bound = seconds(lambda: bg.Model("y ~ x + (1 | gr(id, cov=K))", data, cov={"K": K}))
    fit, fitted = seconds(lambda: model.fit("laplace", objective="ml"))
    scanned, scan = seconds(lambda: bg.scan(model, given["M"]))
    _, fit_in_scan = seconds(lambda: bg.scan(model, given["M"][:, :1]))
    v0, v1 = fit.varcorr()["estimate"] ** 2
    per = (scan - fit_in_scan) / CANDIDATES * 1e6
    print(f"bayesglmm    fit {bound + fitted:7.2f} s  scan {scan - fit_in_scan:7.2f} s", end="  ")
    print(f"loglik {fit.loglik:.4f}  v0 {v0:.4f}  v1 {v1:.4f}", end="  ")
    print(f"first effects {scanned['effect'][:3].to_numpy().round(5)}  ({per:.0f} microseconds per candidate)")
    if posterior:
        _, again = seconds(lambda: bg.scan(model, given["M"], refit=True))
        _, nested = seconds(lambda: model.fit("laplace", seed=1))
        print(f"             scan with refit=True {again:.2f} s; posterior by laplace {nested:.2f} s")


def low_rank(n: int = 5000, columns: int = 50) -> None:
    """Fit a normal and a binary response of individuals with a factor of few columns."""
    import pandas as pd

    import bayesglmm as bg

    rng = np.random.default_rng(1)
    G = rng.binomial(2, 0.3, (n, columns)).astype(float)
    G = (G - G.mean(axis=0)) / G.std(axis=0) / np.sqrt(columns)
    x = rng.normal(size=n)
    eta = 0.5 + 0.5 * x + G @ rng.normal(size=columns)
    names = [f"i{j}" for j in range(n)]
    sick = (eta + rng.logistic(size=n) > 0).astype(int)
    data = pd.DataFrame({"y": eta + rng.normal(size=n), "sick": sick, "x": x, "id": names})
    print(f"n = {n}, K = G G' with {columns} columns")
    for response, family in (("y", "gaussian"), ("sick", "bernoulli")):
        formula, cov = f"{response} ~ x + (1 | gr(id, cov=K))", {"K": bg.known_factor(G, names)}
        model, bound = seconds(partial(bg.Model, formula, data, family, cov=cov))
        fit, fitted = seconds(partial(model.fit, "laplace", objective="ml"))
        _, nested = seconds(partial(model.fit, "laplace", seed=1))
        sds = fit.varcorr()["estimate"].to_numpy().round(3)
        print(f"{family:12} fit {bound + fitted:7.2f} s  posterior by laplace {nested:.2f} s  sds {sds}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--glimix", help="a Python that has glimix-core")
    arguments = parser.parse_args()
    for n in (300,) if arguments.quick else (300, 2000):
        given = simulate(n, 2 * n, seed=1)
        print(f"n = {n}, {CANDIDATES:,} candidates")
        ours(given, posterior=n == 300)
        if arguments.glimix:
            with tempfile.TemporaryDirectory() as folder:
                np.savez(Path(folder) / "data.npz", **given)
                subprocess.run([arguments.glimix, "-c", GLIMIX, str(Path(folder) / "data.npz")], check=False)
    if not arguments.quick:
        low_rank()


if __name__ == "__main__":
    main()
