"""HTML that is escaped by construction: text is text, and only what `tag` returns is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_LONG = 40  # characters of a cell that is a sentence
_VOID = frozenset({"br", "img", "meta"})


class Html(str):
    """Text that is markup already; everything else is escaped where it becomes part of a page."""

    __slots__ = ()


type Content = str | Iterable["Content"] | None


def html(content: Content) -> Html:
    """Return content as markup: plain text escaped, pieces in their order, None as nothing."""
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(escape(content))
    return Html("".join(html(piece) for piece in content))


def tag(name: str, *content: Content, **attributes: str | int | bool | None) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
    *content : str, Html, or iterables of them
    **attributes : str, int, bool or None
        ``class_`` is class, ``aria_label`` is aria-label; None and False leave one out.
    """
    given = ""
    for key, value in attributes.items():
        if value is not None and value is not False:
            key = key.rstrip("_").replace("_", "-")
            given += f" {key}" if value is True else f' {key}="{escape(str(value))}"'
    return Html(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{html(content)}</{name}>")


def region(label: str, *content: Content) -> Html:
    """Return content that may be wider than the screen: it scrolls alone, by keyboard too."""
    return tag("div", *content, class_="wide", role="region", aria_label=label, tabindex=0)


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[Content]], text_columns: int = 1, note: str = ""
) -> Html:
    """Return a table whose first column names the rows.

    Parameters
    ----------
    caption : str
    header : sequence of str
        An empty heading is said to screen readers as what the column is: a name.
    rows : iterable of sequence
    text_columns : int
        How many columns from the left are text; the others are numbers.
    note : str
        A line below.
    """

    def align(place: int, cell: Content = "") -> str | None:
        if place >= text_columns:
            return "number"
        return "long" if isinstance(cell, str) and len(cell) > _LONG else None

    # An empty heading would leave screen readers with nothing to say.
    titles = [
        tag("th", title or tag("span", "name" if j == 0 else "kind", class_="unseen"), scope="col", class_=align(j))
        for j, title in enumerate(header)
    ]
    body = []
    for row in rows:
        cells = [tag("td", cell, class_=align(j + 1, cell)) for j, cell in enumerate(row[1:])]
        body.append(tag("tr", tag("th", row[0], scope="row"), cells))
    made = tag("table", tag("caption", caption), tag("thead", tag("tr", titles)), tag("tbody", body))
    return html([region(caption, made), tag("p", note, class_="note") if note else None])


def listed(items: Iterable[Content]) -> Html:
    """Return a bulleted list."""
    return tag("ul", [tag("li", item) for item in items])


def paragraphs(texts: Iterable[str]) -> Html:
    """Return a paragraph per text."""
    return html([tag("p", text) for text in texts])


def code(text: str, label: str) -> Html:
    """Return a block of code, which scrolls where it is wide."""
    return tag("pre", tag("code", text), tabindex=0, role="region", aria_label=label)
