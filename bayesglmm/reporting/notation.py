"""Mathematical expressions that know two spellings: MathML for browsers, text for everyone else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bayesglmm.reporting.markup import Html, html, tag

GREEK = {
    "alpha": "α",
    "beta": "β",
    "eta": "η",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "phi": "φ",
    "sigma": "σ",
    "tau": "τ",
    "theta": "θ",
}


class Expr(NamedTuple):
    """A piece of an equation.

    Attributes
    ----------
    markup : Html
        MathML.
    text : str
        The same, to be read in a line.
    """

    markup: Html
    text: str


def symbol(name: str) -> Expr:
    """Return a symbol; Greek where its name is a Greek letter."""
    head, _, rest = name.partition("_")
    letter = GREEK.get(head, head)
    plain = tag("mi", letter, mathvariant=None if len(letter) == 1 else "normal")
    return sub(Expr(plain, letter), words(rest)) if rest else Expr(plain, letter)


def words(text: str) -> Expr:
    """Return upright text: the name of a column."""
    return Expr(tag("mtext", text), text)


def sign(text: str) -> Expr:
    """Return an operator."""
    if text in "()":
        return Expr(parenthesis(text), text)
    return Expr(tag("mo", text), f" {text} " if text in "=+∼·" else f"{text} ")


def sub(base: Expr, *below: Expr) -> Expr:
    """Return something with an index, or several with commas between."""
    index = joined(below, sign(","))
    return Expr(tag("msub", base.markup, index.markup), f"{base.text}[{index.text}]")


def parenthesis(text: str) -> Html:
    """Return a parenthesis that keeps its size."""
    return tag("mo", text, stretchy="false")


def row(*parts: Expr) -> Expr:
    """Return pieces side by side."""
    return Expr(tag("mrow", [part.markup for part in parts]), "".join(part.text for part in parts))


def joined(parts: Sequence[Expr], between: Expr) -> Expr:
    """Return pieces with an operator between them."""
    found: list[Expr] = []
    for place, part in enumerate(parts):
        found += [between, part] if place else [part]
    return row(*found)


def call(name: str, *arguments: Expr) -> Expr:
    """Return a function of something."""
    inside = joined(arguments, sign(","))
    head = tag("mi", name, mathvariant="normal")
    markup = tag("mrow", head, parenthesis("("), inside.markup, parenthesis(")"))
    return Expr(markup, f"{name}({inside.text})")


def display(lines: Iterable[tuple[Expr, Expr, Expr]]) -> Html:
    """Return equations below each other, aligned at what stands in their middle: (left, relation, right)."""
    kept = list(lines)
    rows = [tag("mtr", [tag("mtd", cell.markup) for cell in line]) for line in kept]
    alternative = ""
    for line in kept:  # one with nothing on its left goes on with the equation before
        text = "".join(cell.text for cell in line).strip()
        alternative += f"{'; ' if line[0].text else ' '}{text}" if alternative else text
    return tag("math", tag("mtable", html(rows)), display="block", alttext=alternative)
