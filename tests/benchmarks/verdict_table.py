"""The verdict of the Laplace engine against the true distance to NUTS, over the models of `verdict_cases`.

Run:
    python tests/benchmarks/verdict_table.py truth [name ...]   # NUTS, minutes per model; resumes where it stopped
    python tests/benchmarks/verdict_table.py table              # Laplace, seconds per model; writes the table
    python tests/benchmarks/verdict_table.py page               # puts the table into docs/how-to/laplace-quality.md

`truth` writes tests/reference/verdict/truth.csv: posterior mean, standard deviation and Monte Carlo error of every
fixed effect, standard deviation and dispersion. `table` writes tests/reference/verdict/table.csv and prints how often
the verdict and the truth agree. Distances are in posterior standard deviations of NUTS.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
from verdict_cases import CASES, Case

import bayesglmm as bg

ROOT = Path(__file__).resolve().parents[1] / "reference" / "verdict"
TRUTH, TABLE = ROOT / "truth.csv", ROOT / "table.csv"
PAGE = ROOT.parents[2] / "docs" / "how-to" / "laplace-quality.md"
START, END = "<!-- table of verdicts -->", "<!-- end -->"
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


def row_of(case: Case, known: pd.DataFrame) -> dict[str, object]:
    """Fit a case by Laplace, without and with resampling; return verdict, prediction and truth."""
    model = case.model()
    start = time.perf_counter()
    fit = model.fit("laplace", seed=1, resample=False)
    seconds = time.perf_counter() - start
    quality = json.loads(fit.data.attrs["quality"])
    name, distance = distance_of(fit, known)
    row: dict[str, object] = {
        "case": case.name,
        "family": case.family,
        "rows": len(fit.data["observed_data"].to_dataset().to_dataframe()),
        "verdict": fit.verdict.word,
        "predicted": max((abs(shift) for shift in quality["shifts"].values()), default=np.nan),
        "error": quality["noise"],
        "truth": distance,
        "parameter": name,
        "khat": quality["khat"],
        "shared_khat": quality["details"]["shared_khat"],
        "skewness": quality["details"]["skewness"][1],
        "seconds": seconds,
    }
    mended = model.fit("laplace", seed=1) if row["verdict"] != "good" else fit
    if json.loads(mended.data.attrs["quality"])["details"]["effective"] is not None:
        row |= {"resampled": mended.verdict.word, "resampled_truth": distance_of(mended, known)[1]}
    return row


def distance_of(fit: bg.results.Fit, known: pd.DataFrame) -> tuple[str, float]:
    """Return the parameter that is farthest from the truth, and how far in posterior standard deviations."""
    found = {
        parameter.label: abs(np.mean(parameter.values) - known.loc[parameter.label, "mean"])
        / known.loc[parameter.label, "sd"]
        for parameter in fit.parameters
        if parameter.kind != "cor"
    }
    worst = max(found, key=lambda label: found[label])
    return worst, float(found[worst])


def word_of(distance: float) -> str:
    """Return the word that a true distance deserves."""
    return WORDS[int(np.searchsorted(LIMITS, distance))]


def table(names: list[str]) -> None:
    """Fit every case that has a truth, write the table, print it and how often verdict and truth agree."""
    known = pd.read_csv(TRUTH)
    rows = []
    for case in CASES:
        own = known[known["case"] == case.name].set_index("parameter")
        if len(own) and (not names or case.name in names):
            rows.append(row_of(case, own))
            print(" ".join(f"{value:.2f}" if isinstance(value, float) else str(value) for value in rows[-1].values()))
    found = pd.DataFrame(rows)
    if not names:
        found.to_csv(TABLE, index=False, float_format="%.3g")
    deserved = found["truth"].map(word_of)
    print(pd.crosstab(deserved.rename("truth"), found["verdict"]).reindex(WORDS, axis=0, fill_value=0))


def page(names: list[str]) -> None:
    """Write the table into the page of the documentation, between its two marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{START}\n{markdown(pd.read_csv(TABLE))}\n{END}{after}", encoding="utf-8")


def markdown(found: pd.DataFrame) -> str:
    """Return the table and the confusion table as the page shows them."""
    lines = [
        "| model | rows | verdict | predicted | true | parameter | after resampling |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found.to_dict("records"):
        after = "" if pd.isna(row["resampled_truth"]) else f"{row['resampled_truth']:.2f}"
        predicted = f"{row['predicted']:.2f} ± {row['error']:.2f}"
        cells = [
            row["case"],
            row["rows"],
            f"`{row['verdict']}`",
            predicted,
            f"{row['truth']:.2f}",
            row["parameter"],
            after,
        ]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    deserved = found["truth"].map(word_of)
    lines += ["", "| true distance | " + " | ".join(f"`{word}`" for word in WORDS) + " |", "|---|---|---|---|"]
    for word, name in zip(WORDS, ("below 0.1", "0.1 to 0.3", "above 0.3"), strict=True):
        counts = [str(int(((deserved == word) & (found["verdict"] == own)).sum())) for own in WORDS]
        lines.append(f"| {name} | {' | '.join(counts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    {"truth": truth, "table": table, "page": page}[sys.argv[1]](sys.argv[2:])
