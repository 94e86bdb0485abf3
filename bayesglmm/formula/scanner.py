"""Formula text -> tokens with positions. Nothing is skipped but white space and comments."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from bayesglmm.errors import FormulaError

type Kind = Literal["name", "backtick", "number", "string", "operator", "end"]


class Token(NamedTuple):
    """A piece of the formula.

    Attributes
    ----------
    kind : str
        ``name`` (plain), ``backtick`` (quoted name), ``number``, ``string``, ``operator`` or ``end``.
    text : str
        What it denotes: names and strings without quotes, ``**`` as ``^``.
    start, end : int
        Offsets of the piece in the formula.
    """

    kind: Kind
    text: str
    start: int
    end: int


_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?L?")
_OPERATOR = re.compile(r"\*\*|\|\||==|!=|<=|>=|[-+*/:^|<>=~(),]")
_PERCENT = re.compile(r"%[^%\s]*%")
_PERCENT_KNOWN = ("%in%", "%%", "%/%")
_UNESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "`": "`"}

# Pieces of R or Python that have no meaning in a formula, longest first, and what to write.
_REFUSED = {
    ":::": "functions are named without their package: `poly(x, 2)`, not `stats::poly(x, 2)`",
    "::": "functions are named without their package: `poly(x, 2)`, not `stats::poly(x, 2)`",
    ":=": "nothing is assigned in a formula; it is written with `~`",
    "<-": "R reads it as an assignment; to compare with a negative number write `x < -1`, with a space",
    "->": "nothing is assigned in a formula",
    "|>": "there are no pipes in a formula",
    "$": "columns are named directly: `x`, not `data$x`",
    "@": "columns are named directly: `x`, not `data@x`",
    "[": "there is no indexing in a formula; make a column with the values that you need",
    "]": "there is no indexing in a formula; make a column with the values that you need",
    "{": "there are no code blocks in a formula",
    "}": "there are no code blocks in a formula",
    ";": "one text holds one formula; give several as a list",
    "!": "there is no logical `not` in a formula; compare instead: `I(x == 0)`",
    "&": "there is no logical `and` in a formula; multiply instead: `I((x > 1) * (z > 1))`",
    "?": "it has no meaning in a formula",
    "\\": "functions cannot be defined in a formula",
}
# What word processors and web pages make of plain characters.
_TYPOGRAPHIC = {"−": "-", "–": "-", "—": "-", "∼": "~", "～": "~", "˜": "~", "×": "*", "·": "*"} | dict.fromkeys(
    "“”„«»‘’‚", "a straight quote"
)


def scan(formula: str) -> list[Token]:
    """Split a formula into tokens; the last one has the kind ``end``.

    Parameters
    ----------
    formula : str
        The text; it may span lines and hold ``# comments``.

    Returns
    -------
    list of Token

    Raises
    ------
    FormulaError
        At a character, an operator or a quote that no formula can hold.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(formula):
        if formula[at].isspace():
            at += 1
        elif formula[at] == "#":
            newline = formula.find("\n", at)
            at = len(formula) if newline < 0 else newline
        else:
            tokens.append(_token(formula, at))
            at = tokens[-1].end
    return [*tokens, Token("end", "", len(formula.rstrip()), len(formula))]


def _token(formula: str, at: int) -> Token:
    char = formula[at]
    if char in "'\"`":
        return _quoted(formula, at)
    if number := _NUMBER.match(formula, at):
        return Token("number", number[0], at, number.end())
    if char == "." or char.isidentifier():
        end = _name_end(formula, at)
        return Token("name", formula[at:end], at, end)
    if char == "%":
        return _percent(formula, at)
    multiple = [piece for piece in _REFUSED if len(piece) > 1 and formula.startswith(piece, at)]
    if not multiple and (operator := _OPERATOR.match(formula, at)):
        text = "^" if operator[0] == "**" else operator[0]
        return Token("operator", text, at, operator.end())
    raise _refusal(formula, at, multiple[0] if multiple else char)


def _refusal(formula: str, at: int, piece: str) -> FormulaError:
    if plain := _TYPOGRAPHIC.get(piece):
        meant = plain if len(plain) > 1 else f"`{plain}`"
        return FormulaError(f"`{piece}` is a typographic character; type {meant}.", formula, at)
    shown = f"`{piece}`" if piece.isprintable() else f"The character {piece!r}"
    why = _REFUSED.get(piece, "put a column name that holds it into backticks")
    return FormulaError(f"{shown} cannot be used in a formula: {why}.", formula, at)


def _name_end(formula: str, at: int) -> int:
    end = at + 1
    while end < len(formula) and (formula[end] == "." or ("a" + formula[end]).isidentifier()):
        end += 1
    return end


def _percent(formula: str, at: int) -> Token:
    found = _PERCENT.match(formula, at)
    if found and found[0] in _PERCENT_KNOWN:
        return Token("operator", found[0], at, found.end())
    piece = found[0] if found else "%"
    known = ", ".join(f"`{operator}`" for operator in _PERCENT_KNOWN)
    raise FormulaError(f"Unknown operator `{piece}`. Known between percent signs: {known}.", formula, at)


def _quoted(formula: str, start: int) -> Token:
    """Read a string or a backticked name, with R's backslash escapes."""
    quote = formula[start]
    what = "backtick" if quote == "`" else "quote"
    text: list[str] = []
    at = start + 1
    while at < len(formula) and formula[at] != quote:
        if formula[at] == "\\":
            at += 1
            if formula[at : at + 1] not in _UNESCAPED:
                raise FormulaError("Unknown escape after the backslash; a backslash is `\\\\`.", formula, at - 1)
            text.append(_UNESCAPED[formula[at]])
        else:
            text.append(formula[at])
        at += 1
    if at >= len(formula):
        raise FormulaError(f"This {what} is never closed.", formula, start)
    content = "".join(text)
    if quote != "`":
        return Token("string", content, start, at + 1)
    if content in ("", "."):
        raise FormulaError(f"A column cannot be called {content!r} in a formula; rename it.", formula, start)
    return Token("backtick", content, start, at + 1)
