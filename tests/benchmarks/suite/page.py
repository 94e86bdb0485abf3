"""docs/benchmarks.md: the latest tables, the command that made them, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite.bars import bars_of
from suite.table import markdown

HEAD = """# Benchmarks

The same model, data and priors in bayesglmm and in its peers, side by side on one machine. This page is written by

```text
make bench-setup     # once: R packages of Debian, and a virtual environment for each Python peer
make bench PAGE=1    # all; or with ONLY=cbpp,sleepstudy WITH=bayesglmm,bambi MODES=nuts ROUNDS=3 LIMIT=600
```

Seconds depend on the machine; **ratios are the result**. Behind a time, `(3.0x)` says that the contestant took three
times as long as bayesglmm with its defaults.
"""

HOW = """## How it was measured

- Contestants run in turn, each in a fresh process, with one thread of linear algebra; chains run in parallel. Their
  defaults are left alone: 4 chains of 1,000 draws after 1,000 of warm-up, in bayesglmm after 300 where its code is
  compiled ahead.
- *empty caches*, *second run*: from the start of the process, data read from a file, to the draws. Empty means that
  everything which Python, numba and PyTensor keep on disk goes to a new folder. brms compiles in every session. *less
  imports*: the second run, after subtracting the time of `import pymc, nutpie` from both sides. bayesglmm spends less
  than that, since it imports nutpie without ArviZ's figures and statistics: it is credited with imports that it does
  not make, so this ratio favours it. *second run* has no such adjustment.
- *min ESS*, *max R-hat*: the smallest bulk effective sample size and the largest rank-normalised split R-hat over
  every parameter, group effects included, by ArviZ for everybody. Converged means ESS of at least 400 and R-hat of at
  most 1.01 in every run; a time without that is the time of a run that did not get there.
- *ESS/s*: min ESS per second of sampling, warm-up included, compiling not (brms: by Stan's own clock).
  *ours/theirs*: how many times as many bayesglmm has.
- *fit*: seconds from data in memory to estimates with errors (or to 4,000 draws, `laplace`), in a process that has
  fitted the same model before; the quickest of up to five. *theirs/ours* compares it with `bayesglmm ml`.
- *MiB*: peak of resident memory of the process; chains that are processes (brms) are counted one at a time.
- *differs*: the largest distance of a mean (or estimate) from that of bayesglmm, in posterior standard deviations (or
  standard errors). Samplers and `laplace` are compared with `bayesglmm nuts`, maximum likelihood with `bayesglmm ml`.
  Two samplers differ by Monte Carlo error, some 0.05 to 0.1.
- `bayesglmm nuts` is the default; `nuts compiled` and `nuts graph` compile the model in every process, in conditioned
  coordinates and in the variables of the graph.
- `ml` is maximum likelihood, for smooths restricted likelihood.
- Priors: normal for coefficients, half-normal for standard deviations, LKJ(2) for correlations. That of the intercept
  is wide, since Bambi and brms put it at the mean of the predictors.
- The simulated problems have ten rows per group: `rows 1e6` has 100,000 groups.
"""


def reading(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how many bars are met, and every one that is missed."""
    bars = [bar for problem, found in results.items() for bar in bars_of(problem, found["rows"])]
    if not bars:
        return "No peer was measured."
    missed = [bar for bar in bars if bar.verdict != "met"]
    lines = [f"{len(bars) - len(missed)} of {len(bars)} bars are met."]
    if missed:
        lines += ["Missed:", ""]
        for bar in missed:
            _, _, found, demanded, _ = bar.cells()
            lines.append(f"- {bar.problem}, {bar.what}: {found}{demanded and f', demanded {demanded}'}")
    unmixed = [
        f"{row['entry']} on {problem}"
        for problem, found in results.items()
        for row in found["rows"]
        if row.get("converged") is False
    ]
    if unmixed:
        lines += ["", f"Did not converge with defaults: {'; '.join(unmixed)}."]
    return "\n".join(lines)


def measured(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each machine and day: which problems, and how busy the machine was before them."""
    places: dict[tuple[str, str], list[str]] = {}
    for problem, found in results.items():
        places.setdefault((found["machine"], found["date"]), []).append(f"{problem} (load {found['load']:.1f})")
    return [f"{date}, {machine}: {', '.join(names)}" for (machine, date), names in places.items()]


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the whole page."""
    versions: dict[str, str] = {}
    for found in results.values():
        for row in found["rows"]:
            versions |= row.get("versions", {})
    made = "\n".join(f"- {line}" for line in measured(results)) + "\n\nVersions: "
    made += ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) + "."
    return "\n".join([HEAD, "Measured:\n", made, "", "## Reading", "", reading(results), "", markdown(results), HOW])
