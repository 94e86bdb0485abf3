"""How long Laplace fits take, beside lme4 and glmmTMB in the same run where R has them.

Run: python tests/benchmarks/laplace.py [small] [InstEval] [crossed] [large] [cold]

Times are wall-clock seconds within a process that has fitted the same model before (the quickest of some fits), for
both sides; only "cold" starts a process. Run it with nothing else running, and with one thread on both sides
(OMP_NUM_THREADS=1). Without R the times of the reference machine in tests/reference/expected stand in.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.engines.threads import suitable_threads

HERE = Path(__file__).resolve().parent
EXPECTED = HERE.parent / "reference" / "expected"

SMALL = (
    ("Contraception", "use ~ age + I(age^2) + urban + livch + (1 | district)", "bernoulli", "contraception_cm1"),
    ("VerbAgg", "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "bernoulli", "VerbAgg"),
    ("grouseticks", "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "poisson", "grouseticks"),
    ("epilepsy", "count ~ zAge + zBase * Trt + (1 | patient)", "poisson", "epilepsy"),
)
COLD = """
import bayesglmm as bg
model = bg.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", bg.load_dataset("cbpp"), "binomial")
print(model.fit("laplace", seed=1).summary())
"""


@dataclass
class Row:
    """One line of the table: what was timed, the seconds, and the most that it may take (none if None)."""

    what: str
    seconds: float
    bar: float | None = None
    note: str = ""

    def __str__(self) -> str:
        if self.bar is None:
            return f"{self.what:44s} {self.seconds:8.3f}                      {self.note}"
        met = "met" if self.seconds <= self.bar else "MISSED"
        return f"{self.what:44s} {self.seconds:8.3f}   bar {self.bar:8.3f}  {met:6s} {self.note}"


def show(*rows: Row) -> None:
    """Print rows."""
    for row in rows:
        print(row, flush=True)


def fit(problem: Any, seed: int = 1, **settings: Any) -> tuple[Any, float]:
    """Return a run and its wall-clock time; with as many threads of linear algebra as `Model.fit` allows."""
    engine: Any = ENGINES.get("laplace")
    configured = engine.configure(**settings)
    with suitable_threads(problem):
        start = time.perf_counter()
        run = engine.run(problem, configured, seed)
        return run, time.perf_counter() - start


def drawing(run: Any) -> float:
    """Return the seconds that draws around maximum likelihood estimates take, which are made when they are read."""
    start = time.perf_counter()
    dict(run.draws)
    return time.perf_counter() - start


def reference(data: pd.DataFrame, formula: str, family: str, name: str, repeats: int = 3) -> dict[str, float]:
    """Return seconds by program: of R now, else those kept for data set `name`."""
    if shutil.which("Rscript"):
        with tempfile.TemporaryDirectory() as folder:
            data.to_csv(f"{folder}/data.csv", index=False)
            theirs = {"bernoulli": "binomial"}.get(family, family)
            factors = [name for name in data.columns if not pd.api.types.is_numeric_dtype(data[name])]
            command = ["Rscript", str(HERE / "laplace.R"), f"{folder}/data.csv", formula, theirs, str(repeats)]
            command.append(",".join(factors))
            out = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        found = [line.split() for line in out.splitlines()]
        if found:
            return {words[0]: float(words[1]) for words in found if len(words) == 3}
    blocks = json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))
    times = {key: block.get("elapsed_s") for key, block in blocks.items() if isinstance(block, dict)}
    return {f"{key} (kept)": value for key, value in times.items() if value is not None}


def small() -> None:
    """Fit the real data sets by maximum likelihood and for the posterior."""
    for name, formula, family, kept in SMALL:
        data = bg.load_dataset(name)
        theirs = reference(data, formula, family, kept)
        problem = bg.Model(formula, data, family=family).problem
        runs = [fit(problem, objective="ml") for _ in range(5)]
        # As the others do: estimates, standard errors and modes; draws, which only we make, are told apart.
        ml = min(run.seconds["optimise"] for run, _ in runs)
        draws = min(drawing(run) for run, _ in runs)
        shares = {"glmmTMB": 5.0, "glmer": 10.0}
        bars = {key: value / shares[key] for key, value in theirs.items() if key in shares}
        ratios = ", ".join(f"{key} {value:.2f} s, {value / ml:.0f} times ours" for key, value in theirs.items())
        ratios += f"; 4,000 draws besides {draws:.3f} s"
        show(Row(f"{name}, maximum likelihood", ml, min(bars.values()) if bars else None, ratios))
        # A verdict near a limit looks again with more draws: that depends on the seed, so several are timed.
        fit(problem)
        posterior = [min(fit(problem, seed)[1] for _ in range(2)) for seed in range(1, 6)]
        note = f"median of five seeds, {min(posterior):.2f} to {max(posterior):.2f}"
        show(Row(f"{name}, posterior, 4,000 draws, verdict", float(np.median(posterior)), 3.0 * ml + 1.0, note))


def insteval() -> None:
    """Fit the crossed model of InstEval, gaussian: 73,421 rows, 2,972 + 1,128 levels."""
    data, formula = bg.load_dataset("InstEval"), "y ~ service + (1 | s) + (1 | d)"
    for column in ("s", "d"):
        data[column] = data[column].astype(str)
    theirs = reference(data, formula, "gaussian", "InstEval", 1)
    problem = bg.Model(formula, data).problem
    runs = [fit(problem, objective="ml") for _ in range(3)]
    run, _ = min(runs, key=lambda found: found[0].seconds["optimise"])
    seconds = run.seconds["optimise"]
    loglik = f"log-likelihood {run.likelihood.loglik:.4f}, {memory()}"
    ratios = ", ".join(f"{key} {value:.2f} s" for key, value in theirs.items())
    bar = theirs.get("lmer")
    ratios += f"; 4,000 draws besides {drawing(run):.2f} s"
    show(Row("InstEval, maximum likelihood, first", runs[0][0].seconds["optimise"], bar))
    show(Row("InstEval, again", seconds, bar, ratios))
    print(f"    {loglik}")


def crossed() -> None:
    """Fit two large crossed factors: mostly nested ones, and ones that cross at random."""
    for rows, levels, home in ((200_000, 20_000, 0.97), (200_000, 5_000, 0.0)):
        data = crossed_data(rows, levels, home)
        kind = f"{levels:,} x {levels:,} levels, {'mostly nested' if home else 'at random'}"
        for response, family in (("v", "gaussian"), ("y", "bernoulli")):
            problem = bg.Model(f"{response} ~ x + (1 | a) + (1 | b)", data, family).problem
            run, seconds = fit(problem, objective="ml", draws=1, chains=1)
            sds = [float(run.likelihood.natural[f"sd_{group}"][0]) for group in "ab"]
            pattern = run.likelihood.objective.structure.pattern
            note = f"sds {sds[0]:.3f}, {sds[1]:.3f} (0.8, 0.5), {memory()}"
            show(Row(f"{kind}, {family}", seconds, None, note))
            print(f"    {pattern.reason}")


def crossed_data(rows: int, levels: int, home: float) -> pd.DataFrame:
    """Simulate two crossed factors; a share `home` of the rows of a level of `a` is with one level of `b`."""
    rng = np.random.default_rng(1)
    a, x = rng.integers(0, levels, rows), rng.normal(size=rows)
    b = np.where(rng.random(rows) < home, rng.integers(0, levels, levels)[a], rng.integers(0, levels, rows))
    eta = 0.3 + 0.5 * x + rng.normal(0, 0.8, levels)[a] + rng.normal(0, 0.5, levels)[b]
    data = pd.DataFrame({"x": x, "v": eta + rng.normal(size=rows), "y": rng.random(rows) < 1 / (1 + np.exp(-eta))})
    return data.assign(a=pd.Categorical(a), b=pd.Categorical(b))


def large(rows: int = 1_000_000, groups: int = 100_000) -> None:
    """Fit a simulated random-intercept model of binary responses."""
    rng = np.random.default_rng(1)
    g, x = rng.integers(0, groups, rows), rng.normal(size=rows)
    eta = -0.5 + 0.7 * x + rng.normal(0, 0.8, groups)[g]
    data = pd.DataFrame({"x": x, "g": g, "y": (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int)})
    data["g"] = data["g"].astype("category")
    problem = bg.Model("y ~ x + (1 | g)", data, family="bernoulli").problem
    run, seconds = fit(problem, objective="ml", draws=1, chains=1)
    found = run.likelihood
    note = f"beta {np.round(found.beta, 3)}, sd {found.natural['sd_g'][0]:.3f}, {memory()} (4 GiB)"
    show(Row(f"{rows:,} rows, {groups:,} groups", seconds, 60.0, note))


def cold() -> None:
    """Time a process from its start to the printed table of a fit of cbpp; the second of two, files being cached."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD], check=True, capture_output=True, env=os.environ)
        times.append(time.perf_counter() - start)
    show(Row("cbpp, from process start to printed table", times[1], 6.0, f"(first {times[0]:.1f})"))


def memory() -> str:
    """Return the peak of resident memory."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def main() -> None:
    """Run what is named on the command line; everything if nothing is."""
    parts = {"cold": cold, "small": small, "InstEval": insteval, "crossed": crossed, "large": large}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
