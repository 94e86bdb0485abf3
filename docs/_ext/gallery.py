"""The directive ``gallery``: a card for every named page, with its first figure, title and first sentence.

    ```{gallery}
    examples/01_first_model
    ```

Cards are filled in when all pages have been read: figures of notebooks exist only then.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Cards(nodes.General, nodes.Element):
    """Stands for the cards until all pages are read."""


class Gallery(SphinxDirective):
    """Names of pages, one per line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Leave a placeholder."""
        return [Cards(pages=[line.strip() for line in self.content if line.strip()])]


def first_sentence(page: nodes.document) -> str:
    """Return the first sentence of the first paragraph that is text."""
    for paragraph in page.findall(nodes.paragraph):
        text = paragraph.astext().replace("\n", " ")
        return re.split(r"(?<=[.:?])\s", text, maxsplit=1)[0].rstrip(":") + ("." if text.endswith(":") else "")
    return ""


def card(app: Any, docname: str, name: str) -> nodes.container:
    """Return one card; a page without figures has a title and a sentence."""
    page = app.env.get_doctree(name)
    title = app.env.titles[name].astext()
    box = nodes.container(classes=["gallery-card"])
    target = app.builder.get_relative_uri(docname, name)
    drawn = next((image for image in page.findall(nodes.image)), None)
    if drawn is not None:
        link = nodes.reference("", "", internal=True, refuri=target)
        link += nodes.image(uri=drawn["uri"], candidates=drawn.get("candidates", {}), alt=title)
        box += link
    heading = nodes.paragraph(classes=["gallery-title"])
    heading += nodes.reference(title, title, internal=True, refuri=target)
    box += heading
    box += nodes.paragraph(text=first_sentence(page))
    return box


def fill(app: Any, doctree: nodes.document, docname: str) -> None:
    """Put cards in the place of their placeholder."""
    for placeholder in list(doctree.findall(Cards)):
        grid = nodes.container(classes=["gallery"])
        grid.extend(card(app, docname, name) for name in placeholder["pages"])
        placeholder.replace_self(grid)
        app.builder.post_process_images(doctree)


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_node(Cards)
    app.add_directive("gallery", Gallery)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
