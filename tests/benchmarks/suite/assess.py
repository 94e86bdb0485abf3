"""Effective sample sizes and R-hat of draws, by the same code for everybody: `python -m suite.assess OUT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ENOUGH_DRAWS, MIXED = 400.0, 1.01
BLOCK = 2000


def assess(draws: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return the smallest bulk ESS, the largest R-hat, whose they are, and whether they suffice.

    Parameters
    ----------
    draws : ndarray of shape (parameters, chains, draws)
        Parameters that never move (diagonals of correlation matrices) are left out.
    names : list of str
    """
    from arviz_stats.base import array_stats

    kept = np.flatnonzero([_moves(one) for one in draws])
    ess, rhat = [], []
    for begin in range(0, len(kept), BLOCK):
        block = np.asarray(draws[kept[begin : begin + BLOCK]])
        ess.append(np.atleast_1d(array_stats.ess(block, chain_axis=-2, draw_axis=-1, method="bulk")))
        rhat.append(np.atleast_1d(array_stats.rhat(block, chain_axis=-2, draw_axis=-1, method="rank")))
    sizes, mixing = np.concatenate(ess), np.concatenate(rhat)
    worst, apart = int(np.argmin(sizes)), int(np.argmax(mixing))
    return {
        "parameters": len(kept),
        "ess": float(sizes[worst]),
        "ess_of": names[kept[worst]],
        "rhat": float(mixing[apart]),
        "rhat_of": names[kept[apart]],
        "converged": bool(sizes[worst] >= ENOUGH_DRAWS and mixing[apart] <= MIXED),
    }


def _moves(draws: np.ndarray) -> bool:
    constant = np.isfinite(draws).all() and np.ptp(draws) <= 1e-12 * max(1.0, abs(float(draws[0, 0])))
    return not constant


def main(out: Path) -> None:
    """Add `quality` to the answer in `out`, and remove the draws."""
    answer = json.loads((out / "answer.json").read_text(encoding="utf-8"))
    draws = np.memmap(out / "draws.f64", dtype=np.float64, mode="r", shape=tuple(answer["shape"]))
    answer["quality"] = assess(draws, answer.pop("names"))
    del draws
    (out / "draws.f64").unlink()
    (out / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
