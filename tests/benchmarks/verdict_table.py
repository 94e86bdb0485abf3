"""The verdict of the Laplace engine against the true distance to NUTS, over the models of `verdict_cases`.

Run:
    python tests/benchmarks/verdict_table.py truth [name ...]   # NUTS, minutes per model; resumes where it stopped
    python tests/benchmarks/verdict_table.py table              # Laplace, seconds per model; writes the table

`truth` writes tests/reference/verdict/truth.csv: posterior mean, standard deviation and Monte Carlo error of every
fixed effect, standard deviation and dispersion. `table` writes tests/reference/verdict/table.csv and prints how often
the verdict and the truth agree. Distances are in posterior standard deviations of NUTS.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
from verdict_cases import CASES, Case

ROOT = Path(__file__).resolve().parents[1] / "reference" / "verdict"
TRUTH, TABLE = ROOT / "truth.csv", ROOT / "table.csv"
WORDS = ("good", "check", "bad")
LIMITS = 0.1, 0.3  # what the words promise, in posterior standard deviations


def truth_of(case: Case) -> pd.DataFrame:
    """Sample a case with NUTS; return a row per parameter."""
    start = time.perf_counter()
    fit = case.model().fit("nuts", seed=1, draws=2000, tune=800, chains=4, progressbar=False)
    rows = []
    for parameter in fit.parameters:
        if parameter.kind == "cor":
            continue
        draws = np.asarray(parameter.values)
        rows.append(
            {
                "case": case.name,
                "parameter": parameter.label,
                "mean": draws.mean(),
                "sd": draws.std(),
                "mcse": float(az.mcse(draws)),
                "r_hat": float(az.rhat(draws)),
                "verdict": fit.verdict.word,
                "seconds": time.perf_counter() - start,
            }
        )
    return pd.DataFrame(rows)


def truth(names: list[str]) -> None:
    """Sample the cases that have no truth yet, or those named."""
    ROOT.mkdir(exist_ok=True)
    for case in CASES:
        have = pd.read_csv(TRUTH) if TRUTH.exists() else pd.DataFrame({"case": []})
        if (names and case.name not in names) or (not names and case.name in set(have["case"])):
            continue
        try:
            found = truth_of(case)
        except Exception as error:  # one model that fails must not stop the others
            print(f"{case.name}: {type(error).__name__}: {error}", flush=True)
            continue
        kept = have[have["case"] != case.name]
        pd.concat([kept, found], ignore_index=True).to_csv(TRUTH, index=False, float_format="%.6g")
        worst = found.loc[found["r_hat"].idxmax()]
        print(f"{case.name}: {worst['seconds']:.0f} s, R-hat {worst['r_hat']:.3f}, {worst['verdict']}", flush=True)


if __name__ == "__main__":
    {"truth": truth}[sys.argv[1]](sys.argv[2:])
