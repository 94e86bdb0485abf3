"""Frames that print whole and rounded, whatever the width that pandas assumes."""

from __future__ import annotations

import textwrap
from functools import partial
from html import escape
from typing import Any

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


class AnswerTable(pd.DataFrame):
    """A table of answers that prints rounded, and below the numbers what was asked (``attrs["note"]``).

    The first and last rows of it, and rounded, it stays one; all else that is computed from it is an ordinary frame.
    """

    _VALUES = ("mean", "estimate", "sd", "se", "lower", "upper")

    def head(self, n: int = 5) -> AnswerTable:  # type: ignore[misc]
        """Return the first rows."""
        return self._kept(super().head(n))

    def tail(self, n: int = 5) -> AnswerTable:  # type: ignore[misc]
        """Return the last rows."""
        return self._kept(super().tail(n))

    def round(self, decimals: Any = 0, *args: Any, **kwargs: Any) -> AnswerTable:
        """Return the table with rounded numbers; see `pandas.DataFrame.round`. It prints no more decimals."""
        found = self._kept(super().round(decimals, *args, **kwargs))
        if isinstance(decimals, int):
            found.attrs["decimals"] = decimals
        return found

    def _kept(self, frame: pd.DataFrame) -> AnswerTable:
        found = AnswerTable(frame)
        found.attrs = dict(self.attrs)
        return found

    def __repr__(self) -> str:
        rows, fewest = pd.get_option("display.max_rows"), pd.get_option("display.min_rows")
        many = bool(rows) and len(self) > rows
        text = self._shown().to_string(
            max_rows=fewest if many else None, line_width=1000, show_dimensions=many, index=not self._counted()
        )
        return "\n".join([text, *self._said(110)])

    def _repr_html_(self) -> str:
        rows = pd.get_option("display.max_rows")
        body = self._shown().to_html(
            max_rows=rows, index=not self._counted(), border=0, classes="dataframe", notebook=True
        )
        said = "".join(f"<p>{escape(line)}</p>" for line in self._said(10_000))
        return f"<div>{body}{said}</div>"

    def _counted(self) -> bool:
        """Return whether the index only counts rows that text columns tell apart already."""
        words = [name for name in self.columns if name not in self._VALUES]
        return bool(words) and isinstance(self.index, pd.RangeIndex) and not self.empty

    def _said(self, width: int) -> list[str]:
        note = self.attrs.get("note", "")
        return textwrap.wrap(note, width, break_on_hyphens=False) if note else []

    def _shown(self) -> pd.DataFrame:
        plain = pd.DataFrame(self)
        if plain.empty or not plain.columns.is_unique:
            return plain
        numbers = [str(name) for name in plain if pd.api.types.is_float_dtype(plain[name])]
        values = [name for name in numbers if name in self.attrs.get("values", self._VALUES)]
        labels = self.attrs.get("columns", ())
        places = _places(plain, values) if values else 0
        places = max(0, min(places, self.attrs.get("decimals", places)))
        shown = {}
        for name in numbers:
            form = "{:.4g}" if name in labels else "{:#.3g}"
            shown[str(name)] = plain[name].map(partial(_fixed, places=places) if name in values else form.format)
        return plain.assign(**shown)


def _places(plain: pd.DataFrame, columns: list[str]) -> int:
    """Return how many decimals show two digits of all but the smallest spreads; three of values without spread."""
    spread = next((name for name in ("sd", "se") if name in columns), columns[0])
    sizes = np.abs(plain[spread].to_numpy(dtype=float))
    sizes, digits = sizes[np.isfinite(sizes) & (sizes > 0.0)], 2
    if spread not in ("sd", "se") or not sizes.size:
        values = np.abs(plain[columns].to_numpy(dtype=float))
        sizes, digits = values[np.isfinite(values) & (values > 0.0)], 3
    if not sizes.size:
        return 2
    return int(np.clip(digits - 1 - np.floor(np.log10(np.quantile(sizes, 0.1))), 0, 9))


def _fixed(value: float, places: int) -> str:
    if np.isnan(value):
        return ""
    text = f"{value:.{places}f}" if abs(value) < 1e9 else f"{value:.3g}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
