"""What cross-validation finds: the expected log predictive density, row by row and in sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayesglmm.results.evaluation.rows import Observed

ELPD, P, MCSE, HOW = "elpd", "p", "mcse", "how"
_SHOWN = 10  # rows that are named


@dataclass(frozen=True, eq=False, repr=False)
class Elpd:
    """An estimate of the expected log predictive density (elpd) of new data like those of the fit.

    Attributes
    ----------
    method : str
        How it was estimated, in words.
    pointwise : DataFrame
        One row per row of the data, with its label: the level of each grouping factor, elpd (log predictive density
        of the row given other rows), p (log density of the row given all rows, less elpd) and what the method adds.
        Densities have the unit of the response in them; the logarithm is natural.
    observed : Observed
        What was predicted, to tell which results can be compared.
    notes : tuple of str
        What readers should know.
    """

    method: str
    pointwise: pd.DataFrame
    observed: Observed
    notes: tuple[str, ...] = field(default=())

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.pointwise)

    @property
    def elpd(self) -> float:
        """Sum over the rows."""
        return float(self.pointwise[ELPD].sum())

    @property
    def units(self) -> pd.Series:
        """The elpd of what counts as independent: the rows, or the groups that were held out as a whole."""
        return self.pointwise[ELPD]

    @property
    def se(self) -> float:
        """Standard error of the sum, as of a sample of units (Vehtari, Gelman and Gabry 2017)."""
        return spread_of_sum(self.units.to_numpy())

    @property
    def p(self) -> float:
        """Effective number of parameters."""
        return float(self.pointwise[P].sum())

    @property
    def p_se(self) -> float:
        """Standard error of `p`."""
        return spread_of_sum(self.pointwise[P].to_numpy())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the estimate, in short words; empty where nothing is."""
        return ()

    @property
    def table(self) -> pd.DataFrame:
        """Estimate and standard error of elpd, p and the information criterion (-2 elpd)."""
        rows = {
            "elpd": (self.elpd, self.se),
            "p": (self.p, self.p_se),
            "-2 elpd": (-2.0 * self.elpd, 2.0 * self.se),
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "se"])

    def _head(self) -> str:
        return f"{self.method}, {self.n:,} rows"

    def _body(self) -> Sequence[str]:
        return ()

    def __repr__(self) -> str:
        numbers = self.table.to_string(float_format=lambda value: f"{value:.1f}")
        return "\n".join([self._head(), numbers, *self._body(), *self.notes])


def spread_of_sum(values: np.ndarray) -> float:
    """Return the standard error of a sum of independent terms, from these terms."""
    return float(np.sqrt(len(values)) * values.std(ddof=1)) if len(values) > 1 else float("nan")


def shown(rows: pd.DataFrame, formats: Mapping[str, str]) -> list[str]:
    """Return some rows as lines of text, and how many more there are."""
    text = rows.head(_SHOWN).copy()
    for name, pattern in formats.items():
        text[name] = [pattern.format(value) for value in text[name]]
    lines = ["  " + line for line in text.reset_index().to_string(index=False).splitlines()]
    more = len(rows) - _SHOWN
    return [*lines, f"  ... and {more:,} more"] if more > 0 else lines
