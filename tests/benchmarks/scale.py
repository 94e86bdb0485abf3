"""How time and memory of Laplace's approximation grow with the rows, in memory and out of it.

    python tests/benchmarks/scale.py                               # 1e5 to 1e6 rows, a minute or two
    python tests/benchmarks/scale.py --rows 1e5 1e6 1e7 --how parts --limit 2

Simulated binary responses, ten rows for each level of a grouping factor, two covariates. Every fit runs in a process
of its own. Prints a Markdown table: seconds by stage, the growth of the whole against that of the rows (1 is linear),
and the largest resident memory. With ``--limit`` the process cannot have more private memory than so many GiB; a fit
that needs more is said to have failed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

FORMULA = "y ~ x + z + (1 | g)"
BATCH = 250_000
HOW = ("memory", "parts")


def simulate(folder: Path, rows: int, seed: int = 1) -> None:
    """Write a data set as parquet files, some rows at a time; rows of a level are scattered over all files."""
    import pandas as pd

    folder.mkdir(parents=True)
    levels = max(2, rows // 10)
    effects = np.random.default_rng([seed, rows]).normal(0.0, 0.8, levels)
    for number, start in enumerate(range(0, rows, BATCH)):
        rng = np.random.default_rng([seed, rows, number])
        n = min(BATCH, rows - start)
        g = rng.integers(0, levels, n)
        x, z = rng.normal(size=n), rng.uniform(-1.0, 1.0, n)
        chance = 1.0 / (1.0 + np.exp(-(-0.3 + 0.5 * x - 0.4 * z + effects[g])))
        frame = pd.DataFrame({"y": (rng.random(n) < chance).astype(np.int8), "x": x, "z": z, "g": g.astype(np.int32)})
        frame.to_parquet(folder / f"part-{number:05d}.parquet", index=False)


def child(folder: str, how: str, settings: dict[str, Any], limit: float | None) -> None:
    """Fit one data set and print what it took as JSON."""
    import bayesglmm as bg

    if limit is not None:
        bytes_ = int(limit * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (bytes_, bytes_))
    start, cpu = time.perf_counter(), time.process_time()
    if how == "memory":
        import pandas as pd

        data: Any = pd.read_parquet(folder)
    else:
        data = folder
    model = bg.Model(FORMULA, data, family="bernoulli")
    read = time.perf_counter()
    fit = model.fit("laplace", seed=1, progressbar=False, **settings)
    fixed = fit.fixed().iloc[:, 0]
    found = {
        "read": read - start,
        "fit": time.perf_counter() - read,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "fixed": fixed.tolist(),
        "sd": float(fit.varcorr().iloc[0, 4]),
    }
    print(json.dumps(found))


def run(folder: Path, how: str, settings: dict[str, Any], limit: float | None, workers: int) -> dict[str, Any]:
    """Return what a fit in a process of its own took; empty where it failed."""
    command = [sys.executable, __file__, "--child", str(folder), how, json.dumps(settings), json.dumps(limit)]
    environment = dict(os.environ, ARROW_DEFAULT_MEMORY_POOL="system", MALLOC_ARENA_MAX="2")
    if workers > 1:
        environment["BAYESGLMM_SCALE_WORKERS"] = str(workers)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["killed"])[-1]
        print(f"{folder.name}, {how}: failed ({reason[:150]})", file=sys.stderr)
        return {}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(results: list[tuple[int, str, dict[str, Any]]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| rows | groups | how | read, s | fit, s | total, s | CPU, s | growth per row | peak, GiB | x | sd |",
        "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    first: dict[str, tuple[int, float]] = {}
    for rows, how, found in results:
        if not found:
            lines.append(f"| {rows:,} | {rows // 10:,} | {how} | failed: too little memory |  |  |  |  |  |  |  |")
            continue
        total = found["read"] + found["fit"]
        base = first.setdefault(how, (rows, total))
        growth = (total / base[1]) / (rows / base[0])
        cells = [f"{found[key]:.1f}" for key in ("read", "fit")] + [f"{total:.1f}", f"{found['cpu']:.1f}"]
        cells += [f"{growth:.2f}", f"{found['peak']:.2f}", f"{found['fixed'][1]:.4f}", f"{found['sd']:.4f}"]
        lines.append(f"| {rows:,} | {rows // 10:,} | {how} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=float, default=[1e5, 3e5, 1e6], help="how many rows")
    parser.add_argument("--how", nargs="+", choices=HOW, default=list(HOW), help="in memory, or in parts on disk")
    parser.add_argument("--limit", type=float, help="private memory of each process, GiB")
    parser.add_argument("--objective", choices=("posterior", "ml"), default="posterior")
    parser.add_argument("--workers", type=int, default=1, help="processes of joblib for the parts")
    parser.add_argument("--folder", type=Path, help="where the data are made, and kept; a temporary folder if absent")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        from joblib import parallel_config

        folder, how, settings, limit = given.child
        with parallel_config(n_jobs=int(os.environ.get("BAYESGLMM_SCALE_WORKERS", "1"))):
            child(folder, how, json.loads(settings), json.loads(limit))
        return
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        below = given.folder or Path(temporary)
        for rows in map(int, given.rows):
            folder = below / f"rows-{rows}"
            if not folder.exists():
                simulate(folder, rows)
            for how in given.how:
                found = run(folder, how, {"objective": given.objective}, given.limit, given.workers)
                results.append((rows, how, found))
                print(f"{rows:,} rows, {how}: {found or 'failed'}", file=sys.stderr)
    print(table(results))


if __name__ == "__main__":
    main()
