"""Metropolis in whitened coordinates beside NUTS: effective draws, time, acceptance, factorisations.

Run: python tests/benchmarks/metropolis.py [name ...]

Wanted on VerbAgg (346 coefficients, two crossed factors): bulk ESS of every standard deviation at least 50 per 1,000
draws, at most two factorisations per draw, smallest ESS per second at least half of that of NUTS.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import bayesglmm as bg
from bayesglmm.results.convergence import statistics

CASES = {
    "cbpp": ("incidence | trials(size) ~ period + (1 | herd)", "binomial"),
    "VerbAgg": ("r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "bernoulli"),
    "epilepsy": ("count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)", "poisson"),
    "Contraception": ("use ~ age*ch + I(age^2) + urban + (urban | district)", "bernoulli"),
}
ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "block": ("metropolis", {"proposal": "block"}),
    "iwls": ("metropolis", {"proposal": "iwls"}),
    "nuts": ("nuts", {}),
}


def smallest(fit: bg.results.fit.Fit, kind: str) -> float:  # type: ignore[name-defined]
    """Return the smallest bulk ESS of standard deviations, or of everything that the posterior holds."""
    if kind == "sd":
        values = [p.values for p in fit.parameters if p.kind == "sd"]
    else:
        values = []
        for draws in fit.data["posterior"].data_vars.values():
            columns = np.asarray(draws).reshape(*draws.shape[:2], -1)
            values += [columns[..., j] for j in range(columns.shape[-1]) if columns[..., j].std() > 1e-12]
    return float(statistics(range(len(values)), values)["ess_bulk"].min())  # type: ignore[arg-type]


def main() -> None:
    print(
        f"{'data':<15}{'sampler':<8}{'sd ESS/1000':>12}{'min ESS/1000':>14}{'prepare':>9}{'sample':>8}"
        f"{'min ESS/s':>11}{'with preparation':>18}  acceptance"
    )
    for name in sys.argv[1:] or CASES:
        formula, family = CASES[name]
        for label, (engine, settings) in ENGINES.items():
            model = bg.Model(formula, bg.load_dataset(name), family=family)
            start = time.perf_counter()
            fit = model.fit(engine, seed=1, progressbar=False, **settings)
            whole = time.perf_counter() - start
            draws, sample = fit.data["posterior"].sizes, fit.seconds["sample"]
            thousands = draws["chain"] * draws["draw"] / 1000
            least = smallest(fit, "all")
            stats = fit.data["sample_stats"]
            rates = [
                f"{key.removeprefix('acceptance_')} {float(stats[key].mean()):.2f}"
                for key in map(str, stats.data_vars)
                if key.startswith("acceptance_")
            ]
            if "n_factorisations" in stats:
                rates.append(f"factorisations {float(stats['n_factorisations'].mean()):.2f} per draw")
            slowest = smallest(fit, "sd") / thousands
            before = whole - sample
            print(
                f"{name:<15}{label:<8}{slowest:>12.0f}{least / thousands:>14.0f}"
                f"{before:>9.1f}{sample:>8.1f}{least / sample:>11.1f}{least / whole:>18.1f}  {', '.join(rates)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
