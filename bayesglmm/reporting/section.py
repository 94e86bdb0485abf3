"""A section of a report, and what all of them are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.errors import BayesglmmError
from bayesglmm.reporting.markup import Content, Html, html, tag
from bayesglmm.results.text import decimals, fixed_point

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit


@dataclass(frozen=True, eq=False)
class Subject:
    """What a report is about.

    Attributes
    ----------
    fit : Fit
    prob : float
        Of the intervals.
    others : mapping of str to Fit
        Fits of the same model by other engines.
    """

    fit: Fit
    prob: float
    others: Mapping[str, Fit]

    @property
    def share(self) -> str:
        """The probability of the intervals as text."""
        return f"{100 * self.prob:g}%"

    @property
    def made(self) -> str:
        """When the fit was made."""
        found = datetime.fromisoformat(self.fit.data.attrs["created_at"]).astimezone(UTC)
        return f"{found:%Y-%m-%d %H:%M} UTC"

    @property
    def is_posterior(self) -> bool:
        """Whether there are posterior draws, and not estimates."""
        return "posterior" in self.fit.data.children


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes
    ----------
    key : str
        Its anchor.
    title : str
    body : Html
    """

    key: str
    title: str
    body: Html


def heading(text: str) -> Html:
    """Return the heading of a part of a section."""
    return tag("h3", text)


def attempt(make: Callable[[], Content]) -> Html:
    """Return what a function makes; where this fit has no answer, why: a report is worth more than none."""
    try:
        return html(make())
    except (BayesglmmError, ArithmeticError, LookupError, ValueError) as error:
        kind = "" if isinstance(error, BayesglmmError) else f"{type(error).__name__}: "
        return tag("p", f"Not available for this fit: {kind}{error}", class_="note")


def figures_of(row: Any, names: Sequence[str], like: str) -> list[str]:
    """Return numbers of a row as text, with the decimals that one of them, a spread, asks for."""
    places = decimals(float(row[like]), float(row[names[0]]))
    return [number(row[name], places) for name in names]


def number(value: Any, places: int) -> str:
    """Return a number with so many decimals and a proper minus; nothing where there is none."""
    return fixed_point(float(value), places).replace("-", "−") if np.isfinite(value) else ""


def minus(cells: Iterable[str]) -> list[str]:
    """Return cells of numbers with proper minus signs."""
    return [f"−{cell[1:]}" if cell[:1] == "-" and cell[1:2].isdigit() else cell for cell in cells]
