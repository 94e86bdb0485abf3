"""Frames that print whole and rounded, whatever the width that pandas assumes."""

from __future__ import annotations

import numpy as np
import pandas as pd

_WORDS = ("smooth", "part", "reading")


class SmoothTable(pd.DataFrame):
    """The table of `Fit.smooths`: it prints rounded and whole, the readings in words below the numbers.

    Parts of it, and what is computed from it, are ordinary frames.
    """

    def __repr__(self) -> str:
        plain = pd.DataFrame(self)
        if plain.empty or not {"smooth", "part", "reading"} <= set(plain.columns):
            return repr(plain)
        shown = {}
        for name in plain.columns.drop("reading"):
            column = plain[name]
            shown[str(name)] = column.astype(str) if name in _WORDS else _rounded(column)
        if not any(shown["part"]):
            del shown["part"]
        table = pd.DataFrame(shown).set_index("smooth").rename_axis(None).to_string(line_width=1000)
        readings = dict(zip(plain["smooth"], plain["reading"], strict=True))
        return "\n".join([table, *(f"{label}: {reading}" for label, reading in readings.items())])


def _rounded(column: pd.Series[float]) -> pd.Series[str]:
    """Return numbers as text, all with the same decimals: three digits of the largest, two decimals at least."""
    if pd.api.types.is_integer_dtype(column):
        return column.astype(str)
    values = column.to_numpy(dtype=float)
    largest = float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))
    places = 2 if largest == 0.0 else int(np.clip(2 - np.floor(np.log10(largest)), 2, 9))
    return column.map(lambda value: "" if np.isnan(value) else f"{value:.{places}f}")
