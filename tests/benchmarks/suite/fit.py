"""One fit by a Python contestant: `python -m suite.fit CONTESTANT MODE FOLDER OUT`.

OUT gets answer.json and, from samplers, draws.f64: (parameter, chain, draw). The clock of a cold fit stops before
these are written.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

PATIENCE = 100.0
"""A fit of more seconds is not repeated; others are repeated for a tenth of them."""


@dataclass(frozen=True)
class Given:
    """What a contestant is given: the folder of a problem."""

    folder: Path

    @cached_property
    def problem(self) -> dict[str, Any]:
        """The problem, see `prepare`."""
        found: dict[str, Any] = json.loads((self.folder / "problem.json").read_text(encoding="utf-8"))
        return found

    def data(self) -> Any:
        """Read the data: a pandas frame, factors with the order of levels that the problem has."""
        import pandas as pd

        levels = self.problem["factors"]
        data = pd.read_csv(self.folder / "data.csv", dtype=dict.fromkeys(levels, str), keep_default_na=False)
        for name, order in levels.items():
            data[name] = pd.Categorical(data[name], order)
        return data

    def kinship(self) -> Any:
        """Read the covariance matrix of the levels, in their order."""
        import numpy as np

        flat = np.fromfile(self.folder / "kinship.f64")
        return flat.reshape(int(len(flat) ** 0.5), -1)

    @staticmethod
    def warm(work: Callable[[], Any], first: float) -> float:
        """Return the seconds of the quickest of some further fits; of the first one where that took very long."""
        seconds: list[float] = []
        while first < PATIENCE and sum(seconds) < PATIENCE / 10 and len(seconds) < 5:
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return min(seconds, default=first)

    def label(self, name: str) -> str:
        """Return a column's label as bayesglmm writes it: ``chY`` and ``ch[T.Y]`` are ``ch[Y]``."""
        if name in ("(Intercept)", "Intercept", "1"):
            return "Intercept"
        return ":".join(self._part(part) for part in name.replace(" ** ", "^").replace(" ", "").split(":"))

    def _part(self, part: str) -> str:
        for factor, levels in self.problem["factors"].items():
            for level in levels:
                if part in (f"{factor}{level}", f"{factor}[T.{level}]", f"{factor}[{level}]"):
                    return f"{factor}[{level}]"
        return part


def main(name: str, mode: str, folder: str, out: str) -> None:
    """Fit and write."""
    from suite.contestants import CONTESTANTS

    importlib.import_module(f"suite.contestants.{name.replace('-', '_').replace(' ', '_')}")
    given = Given(Path(folder))
    answer = CONTESTANTS[name].fit(given, mode)
    written = {key: value for key, value in vars(answer).items() if key != "draws"}
    if answer.draws:
        import numpy as np

        first = np.asarray(answer.draws[0][1])
        written |= {"names": [pair[0] for pair in answer.draws], "shape": [len(answer.draws), *first.shape]}
        with open(Path(out) / "draws.f64", "wb") as file:
            for _, values in answer.draws:
                file.write(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    (Path(out) / "answer.json").write_text(json.dumps(written), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
