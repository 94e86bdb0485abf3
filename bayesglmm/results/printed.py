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
        deviation = [name for name in plain.columns if name not in (*_WORDS, "edf", "columns", "unit")]
        shown = {}
        for name in plain.columns.drop("reading"):
            # what describes one standard deviation has the same decimals throughout
            like = plain[deviation] if name in deviation else plain[[name]]
            shown[str(name)] = plain[name].astype(str) if name in _WORDS else _rounded(plain[name], like)
        if not any(shown["part"]):
            del shown["part"]
        table = pd.DataFrame(shown).set_index("smooth").rename_axis(None).to_string(line_width=1000)
        readings = dict(zip(plain["smooth"], plain["reading"], strict=True))
        return "\n".join([table, *(f"{label}: {reading}" for label, reading in readings.items())])


def _rounded(column: pd.Series[float], like: pd.DataFrame) -> pd.Series[str]:
    """Return numbers as text, with as many decimals as give the largest of `like` three digits, two at least."""
    if pd.api.types.is_integer_dtype(column):
        return column.astype(str)
    values = like.to_numpy(dtype=float)
    largest = float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))
    places = 2 if largest == 0.0 else int(np.clip(2 - np.floor(np.log10(largest)), 2, 9))
    return column.map(lambda value: "" if np.isnan(value) else f"{value:.{places}f}")
