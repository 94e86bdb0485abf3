"""From records to ratios and Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from suite.bars import bars_of

Record = Mapping[str, Any]
OURS = {"nuts": "bayesglmm nuts", "ml": "bayesglmm ml", "laplace": "bayesglmm ml"}
IMPORTS = "imports import"
TRUTH = "bayesglmm nuts"


def middle(records: Sequence[Record], what: str, inside: str = "") -> float | None:
    """Return the median over the successful runs after the first; of the first where there is no other."""
    good = [record for record in records if record["status"] == "ok"]
    values = [(record.get(inside) or {}).get(what) if inside else record.get(what) for record in good[1:] or good]
    known = [float(value) for value in values if value is not None]
    return median(known) if known else None


def row_of(name: str, records: Sequence[Record]) -> dict[str, Any]:
    """Return the numbers of an entry: seconds, quality and memory over its runs."""
    good = [record for record in records if record["status"] == "ok"]
    if not good:
        return {
            "entry": name,
            "status": records[-1]["status"],
            "reason": records[-1]["reason"],
            "wall": records[-1]["wall"],
        }
    row: dict[str, Any] = {
        "entry": name,
        "status": "ok",
        "first": good[0]["cold"],
        "again": middle(records, "cold") if len(good) > 1 else None,
        "memory_mib": middle(records, "memory_mib"),
        "loglik": good[-1].get("loglik"),
        "divergences": good[-1].get("divergences"),
        "notes": list(good[-1].get("notes", ())),
        "versions": good[-1].get("versions", {}),
        "estimates": good[-1].get("estimates", {}),
        "imports_pymc": good[-1].get("imports_pymc", False),
    }
    if len(good) < len(records):
        row["notes"].append(f"run {len(records)} {records[-1]['reason']}")
    row |= {phase: middle(records, phase, "seconds") for phase in ("import", "compile", "sample", "fit", "warm")}
    if "quality" in good[-1]:
        row["quality"] = good[-1]["quality"]
        row["converged"] = all(record["quality"]["converged"] for record in good)
        row["ess_per_second"] = middle(records, "ess", "quality") / row["sample"] if row["sample"] else None
    return row


def agreement(
    estimates: Mapping[str, Sequence[float | None]], truth: Mapping[str, Sequence[float | None]]
) -> float | None:
    """Return the largest |difference| / sd over the labels that both have; None if they share none."""
    apart = []
    for label, (mean, _) in truth_pairs(truth).items():
        other = estimates.get(label)
        spread = _number(truth[label][1])
        if other is None or _number(other[0]) is None or not spread:
            continue
        apart.append(abs(float(other[0]) - mean) / spread)
    return max(apart) if apart else None


def truth_pairs(truth: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[float, float]]:
    """Return the labels with a finite estimate and a finite, positive standard deviation."""
    pairs = {label: (_number(pair[0]), _number(pair[1])) for label, pair in truth.items()}
    return {label: (mean, sd) for label, (mean, sd) in pairs.items() if mean is not None and sd}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def ratio(theirs: float | None, ours: float | None) -> float | None:
    """Return theirs / ours, where both are known and ours is positive."""
    return theirs / ours if theirs is not None and ours is not None and ours > 0 else None


def rows_of(records: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Return the rows of a problem with ratios to bayesglmm.

    Of times and memory theirs / ours, of ESS per second ours / theirs: above 1, bayesglmm is ahead.
    """
    rows = {name: row_of(name, runs) for name, runs in records.items() if runs}
    imports = rows.get(IMPORTS, {})
    for name, row in rows.items():
        if row["status"] != "ok" or name == IMPORTS:
            continue
        mode = name.rsplit(" ", 1)[-1] if "nuts" not in name else "nuts"
        ours = rows.get(OURS[mode], {})
        times = {}
        for when in ("first", "again"):
            times[when] = ratio(row[when], ours.get(when))
            base = imports.get(when)
            if row["imports_pymc"] and base is not None and row[when] is not None and ours.get(when) is not None:
                times[f"{when} without imports"] = ratio(row[when] - base, ours[when] - base)
        times["warm"] = ratio(row["warm"], ours.get("warm"))
        times["memory"] = ratio(row["memory_mib"], ours.get("memory_mib"))
        times["ess_per_second"] = ratio(ours.get("ess_per_second"), row.get("ess_per_second"))
        row["ratios"] = times
        truth = rows.get(OURS["ml"] if mode == "ml" else TRUTH, {}).get("estimates")
        row["agreement"] = agreement(row["estimates"], truth) if truth else None
    return list(rows.values())


def _shown(value: float | None, form: str = ".1f", unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def _timed(row: Mapping[str, Any], when: str) -> str:
    seconds, times = row[when], row["ratios"][when]
    text = _shown(seconds, ".1f", " s")
    return text if times is None or not text else f"{text} ({times:.1f}x)"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


SAMPLED = (
    "problem", "contestant", "empty caches", "second run", "less imports", "compile", "sample", "min ESS",
    "max R-hat", "ESS/s", "ours/theirs", "divergent", "MiB", "differs",
)  # fmt: skip
HELD = ("problem", "what", "found", "demanded", "verdict")
FITTED = (
    "problem",
    "contestant",
    "fit",
    "theirs/ours",
    "empty caches",
    "second run",
    "MiB",
    "log-likelihood",
    "differs",
)


def sampled_cells(problem: str, row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a sampler's row."""
    quality = row["quality"]
    flag = "" if row["converged"] else " **not converged**"
    ratios = row["ratios"]
    return [
        problem, row["entry"] + flag, _timed(row, "first"), _timed(row, "again"),
        _shown(ratios.get("again without imports") or ratios.get("first without imports"), ".1f", "x"),
        _shown(row["compile"], ".1f", " s"), _shown(row["sample"], ".1f", " s"), f"{quality['ess']:.0f}",
        f"{quality['rhat']:.3f}", _shown(row["ess_per_second"], ".1f"), _shown(ratios["ess_per_second"], ".1f", "x"),
        _shown(row["divergences"], ".0f"), _shown(row["memory_mib"], ".0f"), _shown(row["agreement"], ".2f"),
    ]  # fmt: skip


def fitted_cells(problem: str, row: Mapping[str, Any]) -> list[str]:
    """Return the cells of the row of a maximum likelihood fit or of a Laplace posterior."""
    return [
        problem, row["entry"], _shown(row["warm"], ".3g", " s"), _shown(row["ratios"]["warm"], ".2g", "x"),
        _shown(row["first"], ".1f", " s"), _shown(row["again"], ".1f", " s"), _shown(row["memory_mib"], ".0f"),
        _shown(row["loglik"], ".2f"), _shown(row["agreement"], ".3f"),
    ]  # fmt: skip


def markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tables: samplers, fits by Laplace's approximation, bars, notes, and what did not run."""
    sampled, fitted, held, notes = [], [], [], []
    absent: dict[tuple[str, str], list[str]] = {}
    for problem, found in results.items():
        for row in found["rows"]:
            if row["status"] != "ok":
                absent.setdefault((row["entry"], row["reason"]), []).append(problem)
                continue
            if row["entry"] != IMPORTS:
                lines, cells = (sampled, sampled_cells) if "quality" in row else (fitted, fitted_cells)
                lines.append(cells(problem, row))
            notes += [f"{problem}, {row['entry']}: {note}" for note in _notes(row)]
        held += [bar.cells() for bar in bars_of(problem, found["rows"])]
        for entry, reason in found.get("absent", {}).items():
            absent.setdefault((entry, reason), []).append(problem)
    skipped = [f"{entry}: {reason} ({', '.join(names)})" for (entry, reason), names in absent.items()]
    parts = []
    for title, head, lines in (("Sampled posteriors", SAMPLED, sampled), ("Fits without chains", FITTED, fitted),
                               ("Bars", HELD, held)):  # fmt: skip
        if lines:
            rule = ["---", "---", *["---:"] * (len(head) - 2)]
            parts += [f"## {title}", "", *map(_line, (head, rule, *lines)), ""]
    for title, texts in (("Notes", notes), ("Not run", skipped)):
        if texts:
            parts += [f"## {title}", "", *(f"- {text}" for text in texts), ""]
    return "\n".join(parts)


def _notes(row: Mapping[str, Any]) -> list[str]:
    if row["entry"] == IMPORTS:
        again = f", {row['again']:.1f} s again" if row["again"] is not None else ""
        return [f"`import pymc, nutpie` takes {row['first']:.1f} s with empty caches{again}"]
    notes = [] if row["entry"].startswith("bayesglmm") else list(row["notes"])
    if row.get("converged") is False:
        quality = row["quality"]
        notes.append(
            f"did not converge: bulk ESS {quality['ess']:.0f} ({quality['ess_of']}), "
            f"R-hat {quality['rhat']:.3f} ({quality['rhat_of']})"
        )
    return notes
