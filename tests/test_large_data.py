"""Data larger than the memory that a process may have: the system sets the limit, and the fit in memory breaks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits private memory as Linux does")

CHILD = """
import functools, json, resource, sys
import pandas as pd
import bayesglmm as bg
from bayesglmm.design import anywhere
from bayesglmm.design.stored.bind import Limits, bind_source
from bayesglmm.sources import parquet

how, warm, folder, formula, budget, rows = sys.argv[1:]
if int(rows):  # pieces in proportion to a small table
    parquet.BATCH = parquet.PIECE = int(rows)
    anywhere.bind_source = functools.partial(bind_source, limits=Limits(part=int(rows)))

def fit(path):
    data = path if how == "parts" else pd.read_parquet(path)
    return bg.Model(formula, data, "bernoulli").fit("laplace", objective="ml", progressbar=False)

fit(warm)  # libraries, threads and compiled functions are there before the limit
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
held = int(status["VmData"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + int(float(budget) * 2**20),) * 2)
found = fit(folder)
print(json.dumps({"fixed": found.fixed()["estimate"].tolist(), "loglik": found.loglik}))
"""


def write(folder: Path, rows: int, levels: int, columns: int, batch: int) -> str:
    """Write a table, some rows at a time; return its formula."""
    folder.mkdir()
    effects = np.random.default_rng(0).normal(0.0, 0.7, levels)
    names = [f"x{j}" for j in range(columns)]
    for number, start in enumerate(range(0, rows, batch)):
        rng = np.random.default_rng(number)
        n = min(batch, rows - start)
        frame = pd.DataFrame(rng.normal(size=(n, columns)), columns=names)
        group = rng.integers(0, levels, n)
        chance = 1.0 / (1.0 + np.exp(-(0.3 * frame["x0"] - 0.2 + effects[group])))
        frame.assign(g=group, y=(rng.random(n) < chance).astype(np.int8)).to_parquet(
            folder / f"{number:04d}.parquet", index=False
        )
    return f"y ~ {' + '.join(names)} + (1 | g)"


def child(how: str, warm: Path, folder: Path, formula: str, budget: float, rows: int = 0) -> Any:
    """Return what a fit under a limit of so many MB gave; None where it had too little memory."""
    environment = dict(
        os.environ,
        ARROW_DEFAULT_MEMORY_POOL="system",
        MALLOC_ARENA_MAX="1",
        MALLOC_TRIM_THRESHOLD_="0",
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
    )
    command = [sys.executable, "-c", CHILD, how, str(warm), str(folder), formula, str(budget), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        assert "Memory" in done.stderr or "malloc" in done.stderr or "allocate" in done.stderr, done.stderr[-2000:]
        return None
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_table_larger_than_the_limit_is_fitted_in_parts(tmp_path: Path) -> None:
    formula = write(tmp_path / "warm", 2_000, 100, 12, 2_000)
    write(tmp_path / "table", 200_000, 2_000, 12, 20_000)
    assert child("memory", tmp_path / "warm", tmp_path / "table", formula, BUDGET) is None
    found = child("parts", tmp_path / "warm", tmp_path / "table", formula, BUDGET, 10_000)
    assert found is not None
    assert found["fixed"][1] == pytest.approx(0.3, abs=0.05)


BUDGET = 90.0
"""MB beside what Python and the libraries take. The columns are 21 MB; in memory they are needed several times."""


@pytest.mark.slow
def test_two_million_rows_under_a_limit(tmp_path: Path) -> None:
    formula = write(tmp_path / "warm", 2_000, 100, 4, 2_000)
    write(tmp_path / "table", 2_000_000, 200_000, 4, 200_000)
    assert child("memory", tmp_path / "warm", tmp_path / "table", formula, 300.0) is None
    found = child("parts", tmp_path / "warm", tmp_path / "table", formula, 300.0)
    assert found is not None
    assert found["fixed"][1] == pytest.approx(0.3, abs=0.02)
