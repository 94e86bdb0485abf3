"""Metropolis in whitened coordinates beside NUTS: effective draws, CPU seconds, acceptance, factorisations.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/metropolis.py [name ...]

Wanted on VerbAgg (346 coefficients, two crossed factors): bulk ESS of every standard deviation at least 50 per 1,000
draws, at most two factorisations per draw, smallest ESS per second at least half of that of NUTS. The smallest is
over everything that the posterior holds: fixed and group effects, standard deviations.

Seconds are those of the processor, all chains in one process, tuning included; the samplers alternate, two seeds
each, since a machine that others use is not equally fast all the time.

Measured on VerbAgg on a core that others used, too (nutpie 0.16, two seeds each):

sampler  sds' ESS per 1,000  smallest ESS per 1,000  CPU seconds  smallest ESS per second  factorisations per draw
block    581, 603            429, 471                32, 34       54, 56                   1.25, 1.23
NUTS     506, 423            506, 423                59, 65       34, 26

so block draws 1.8 times as many effective draws per second, and prepares in half a second where NUTS takes 16 to 20.
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

SEEDS = (1, 2)


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


def row(name: str, label: str, seed: int) -> float:
    """Fit, print a line, return the smallest ESS per second of sampling."""
    formula, family = CASES[name]
    engine, settings = ENGINES[label]
    model = bg.Model(formula, bg.load_dataset(name), family=family)
    start = time.process_time()
    fit = model.fit(engine, seed=seed, cores=1, progressbar=False, **settings)
    whole = time.process_time() - start
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
    print(
        f"{name:<15}{label:<8}{smallest(fit, 'sd') / thousands:>12.0f}{least / thousands:>14.0f}"
        f"{whole - sample:>9.1f}{sample:>8.1f}{least / sample:>11.1f}{least / whole:>18.1f}  {', '.join(rates)}",
        flush=True,
    )
    return least / sample


def main() -> None:
    time.perf_counter = time.process_time  # engines take their seconds from here
    print(
        f"{'data':<15}{'sampler':<8}{'sd ESS/1000':>12}{'min ESS/1000':>14}{'prepare':>9}{'sample':>8}"
        f"{'min ESS/s':>11}{'with preparation':>18}  acceptance"
    )
    for name in sys.argv[1:] or CASES:
        found: dict[str, list[float]] = {label: [] for label in ENGINES}
        for seed in SEEDS:
            for label in ENGINES:
                found[label].append(row(name, label, seed))
        means = {label: float(np.mean(values)) for label, values in found.items()}
        for label in ENGINES:
            print(f"{name:<15}{label:<8}min ESS/s over that of NUTS: {means[label] / means['nuts']:.2f}")


if __name__ == "__main__":
    main()
