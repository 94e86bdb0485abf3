"""Effective draws per gradient of NUTS, in conditioned coordinates and in the variables of the graph, side by side.

Run: python tests/benchmarks/nuts_coordinates.py [name ...]
"""

from __future__ import annotations

import sys

import arviz as az
import numpy as np

import bayesglmm as bg

CASES = {
    "cbpp": ("incidence | trials(size) ~ period + (1 | herd)", "binomial"),
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "gaussian"),
    "epilepsy": ("count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)", "poisson"),
    "Contraception": ("use ~ age*ch + I(age^2) + urban + (urban | district)", "bernoulli"),
    "grouseticks": ("TICKS ~ YEAR + HEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "poisson"),
}


def measure(model: bg.Model, path: str) -> tuple[float, float, float, int]:
    """Return the smallest ESS, gradients, seconds of sampling, and divergences."""
    fit = model.fit("nuts", seed=1, path=path, progressbar=False)
    posterior, stats = fit.data["posterior"], fit.data["sample_stats"]
    smallest = np.inf
    for draws in posterior.data_vars.values():
        columns = np.asarray(draws).reshape(*draws.shape[:2], -1)
        varying = [columns[..., j] for j in range(columns.shape[-1]) if columns[..., j].std() > 1e-12]
        smallest = min(smallest, *(float(az.ess(column)) for column in varying))
    return smallest, float(stats["n_steps"].sum()), fit.seconds["sample"], int(stats["diverging"].sum())


def main() -> None:
    print(f"{'data':<15}{'coordinates':<13}{'min ESS':>8}{'ESS/1000 gradients':>20}{'seconds':>9}{'divergences':>13}")
    for name in sys.argv[1:] or CASES:
        formula, family = CASES[name]
        model = bg.Model(formula, bg.load_dataset(name), family=family)
        rates = []
        for path in ("compiled", "graph"):
            ess, gradients, seconds, divergences = measure(model, path)
            rates.append(1000 * ess / gradients)
            label = "conditioned" if path == "compiled" else "graph"
            print(f"{name:<15}{label:<13}{ess:>8.0f}{rates[-1]:>20.2f}{seconds:>9.1f}{divergences:>13}", flush=True)
        print(f"{'':<15}ratio {rates[0] / rates[1]:.1f}", flush=True)


if __name__ == "__main__":
    main()
