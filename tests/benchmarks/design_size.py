"""How long a design of 1e6 rows and 1e5 groups takes, and how much memory above that of the imports and the data.

Run: python tests/benchmarks/design_size.py [rows] [groups]
Fails if it needs more than 1.5 GiB or 20 seconds at the default size.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bayesglmm.design import bind
from bayesglmm.families.base import FAMILIES
from bayesglmm.formula import parse

FORMULAS = (
    "y ~ x + f + (1 + x | g)",
    "y ~ x * f + (1 | g) + (1 | h) + (0 + x | h)",
    "y ~ x + (1 | text)",
    "y ~ x + (1 | h/g)",
)
GIB = 2**30


def resident() -> float:
    """Resident memory of this process in GiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / GIB


class Peak:
    """The highest resident memory while the block runs, sampled every 2 ms."""

    def __enter__(self) -> Peak:
        self.base = self.top = resident()
        self.running = True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        while self.running:
            self.top = max(self.top, resident())
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()


def example(rows: int, groups: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = rng.integers(0, groups, rows)
    return pd.DataFrame(
        {
            "y": rng.normal(size=rows),
            "x": rng.normal(size=rows),
            "f": pd.Categorical(rng.choice(["a", "b", "c", "d"], rows)),
            "g": g,
            "h": rng.integers(0, 50, rows),
            "text": np.char.add("group ", g.astype(str)),
        }
    )


def main(rows: int = 1_000_000, groups: int = 100_000) -> int:
    family = FAMILIES.get("gaussian")
    bind(parse(FORMULAS[0]), example(1000, 20), family)  # imports
    data = example(rows, groups)
    worst_seconds = worst_memory = 0.0
    print(f"{rows:,} rows, {groups:,} groups")
    for formula in FORMULAS:
        with Peak() as peak:
            start = time.perf_counter()
            design = bind(parse(formula), data, family)
            seconds = time.perf_counter() - start
        memory = peak.top - peak.base
        sizes = ", ".join(f"{group}: {count:,}" for group, count in design.groups.items())
        print(f"{seconds:6.2f} s  {memory:5.2f} GiB  {formula}   ({sizes})")
        worst_seconds, worst_memory = max(worst_seconds, seconds), max(worst_memory, memory)
        del design
    fits = worst_memory < 1.5 and worst_seconds < 20
    print("within 1.5 GiB and 20 s" if fits else "TOO MUCH")
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main(*(int(float(argument)) for argument in sys.argv[1:])))
