"""The recipe: sections of a fit, put together to one page that needs no other file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bayesglmm.errors import SettingsError, StorageError
from bayesglmm.reporting.answer import comparison, estimates, groups, smooths, trust, verdict_box
from bayesglmm.reporting.checks import predictive
from bayesglmm.reporting.markup import Html, html, tag
from bayesglmm.reporting.question import asked, data, model, priors
from bayesglmm.reporting.section import Section, Subject
from bayesglmm.reporting.source import cite, reproduce
from bayesglmm.reporting.style import CSS

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

SUFFIXES = (".html", ".htm")
SECTIONS: tuple[Callable[[Subject], Section | None], ...] = (
    asked,
    model,
    priors,
    data,
    trust,
    estimates,
    groups,
    smooths,
    predictive,
    comparison,
    cite,
    reproduce,
)
# Whatever a name in the data says: no program runs in the page, and nothing is loaded from anywhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    fit: Fit,
    path: str | os.PathLike[str],
    *,
    others: Mapping[str, Fit] | None = None,
    title: str | None = None,
    prob: float = 0.95,
) -> Path:
    """Write a report; see `Fit.report`."""
    place = Path(path)
    if place.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"A report is a page: {os.fspath(path)!r} must end in .html.")
    text = report_html(fit, others=others, title=title, prob=prob)
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{os.fspath(path)!r} cannot be written: {error.strerror or error}.") from error
    return place


def report_html(
    fit: Fit, *, others: Mapping[str, Fit] | None = None, title: str | None = None, prob: float = 0.95
) -> str:
    """Return a report as text.

    Parameters
    ----------
    fit : Fit
        With its model.
    others : mapping of str to Fit, optional
        Fits of the same model by other engines.
    title : str, optional
    prob : float
        Probability of the intervals.
    """
    if not (isinstance(prob, float) and 0.0 < prob < 1.0):
        raise SettingsError(f"prob={prob!r}: a probability between 0 and 1.")
    subject = Subject(fit, prob, dict(others or {}))
    found = [section for make in SECTIONS if (section := make(subject)) is not None]
    name = title or f"{fit.problem.response.name}: {fit.problem.family.name} model"
    return "<!DOCTYPE html>\n" + _page(subject, name, found)


def _page(subject: Subject, name: str, sections: list[Section]) -> Html:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content_=_POLICY),
        tag("title", name),
        tag("style", Html(CSS)),
    )
    links = [tag("li", tag("a", one.title, href=f"#{one.key}")) for one in sections]
    body = tag(
        "body",
        tag("a", "Skip to the estimates", class_="skip", href="#estimates"),
        tag("header", tag("h1", name), verdict_box(subject)),
        tag("nav", tag("ul", links), aria_label="Sections"),
        tag("main", [_section(one) for one in sections]),
        tag("footer", tag("p", f"Made by bayesglmm from a fit of {subject.made}. All figures are in this file.")),
    )
    return tag("html", html([head, body]), lang="en")


def _section(one: Section) -> Html:
    return tag("section", tag("h2", one.title, id=f"{one.key}-title"), one.body, id=one.key)
