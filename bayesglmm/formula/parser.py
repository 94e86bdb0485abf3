"""Tokens -> syntax tree: a precedence parser for the part of R's grammar that formulas use.

The grammar is one of expressions; what an expression *means* as a model (which operators make terms, where a bar
may stand) is decided in `expand` and `reader`. Every token is consumed or named in the error.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from bayesglmm.errors import FormulaError
from bayesglmm.formula.scanner import Token, scan
from bayesglmm.formula.syntax import (
    COMPARISONS,
    PRECEDENCE,
    UNARY_PRECEDENCE,
    Binary,
    Call,
    Group,
    Name,
    Node,
    Number,
    String,
    Unary,
    children,
)

MAX_DEPTH = 120
"""Deepest nesting: far beyond any model, and low enough for recursive code to stay within Python's stack."""

MAX_LENGTH = 1_000_000
"""Longest formula in characters."""


class Sides(NamedTuple):
    """The two sides of a formula and the offset of its ``~``; `left` is None in ``~ x``."""

    left: Node | None
    right: Node
    tilde: int


def parse_sides(formula: str) -> Sides:
    """Read ``left ~ right``.

    Parameters
    ----------
    formula : str
        Text with exactly one ``~``.

    Returns
    -------
    Sides

    Raises
    ------
    FormulaError
        With the position of the culprit.
    """
    return _Parser(formula).sides()


def parse_expression(text: str) -> Node:
    """Read one expression, such as a term on its own: ``s(lon, lat)``.

    ``str`` of the result is the normal form of the text, so it serves to compare a term that a user names with the
    terms of a formula.

    Parameters
    ----------
    text : str
        Text without ``~``.

    Returns
    -------
    Node

    Raises
    ------
    FormulaError
        With the position of the culprit.
    """
    parser = _Parser(text)
    tree = parser.expression()
    if not parser.ends():
        parser.refuse_leftover()
    parser.check_height(tree)
    return tree


class _Parser:
    def __init__(self, formula: str) -> None:
        if len(formula) > MAX_LENGTH:
            raise FormulaError(f"The formula has {len(formula):,} characters; {MAX_LENGTH:,} are allowed.")
        self.formula = formula
        self.tokens = scan(formula)
        self.at = 0
        self.depth = 0
        self.opened: list[Token] = []
        if self.ends():
            raise FormulaError("The formula is empty. Write for example 'y ~ x + (1 | g)'.")

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def ends(self) -> bool:
        return self.next.kind == "end"

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def sees(self, *operators: str) -> bool:
        return self.next.kind == "operator" and self.next.text in operators

    def written(self, token: Token) -> str:
        return self.formula[token.start : token.end]

    def fail(self, message: str, token: Token) -> NoReturn:
        raise FormulaError(message, self.formula, token.start)

    # ------------------------------------------------------------------------------------------- grammar

    def sides(self) -> Sides:
        left = None if self.sees("~") else self.expression()
        if not self.sees("~"):
            self.refuse_leftover()
        tilde = self.take()
        if self.ends():
            self.fail("Nothing stands on the right of `~`. Write `y ~ 1` for a constant alone.", tilde)
        right = self.expression()
        if not self.ends():
            self.refuse_leftover()
        for tree in (left, right):
            if tree is not None:
                self.check_height(tree)
        return Sides(left, right, tilde.start)

    def expression(self, floor: int = 0) -> Node:
        """Read an operand and every operator after it that binds more tightly than `floor`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"The formula is nested more than {MAX_DEPTH} levels deep.", self.next)
        left = self.operand()
        compared = False
        while self.next.kind == "operator" and (level := PRECEDENCE.get(self.next.text, 0)) > floor:
            operator = self.take()
            if operator.text in COMPARISONS:
                if compared:
                    self.fail("Comparisons do not chain: write `(a < b) * (b < c)`.", operator)
                compared = True
            # `^` groups to the right, everything else to the left.
            right = self.expression(level - 1 if operator.text == "^" else level)
            left = Binary(operator.text, left, right, operator.start)
        self.depth -= 1
        return left

    def operand(self) -> Node:
        token = self.next
        match token.kind:
            case "number":
                return Number(self.take().text, token.start)
            case "string":
                return String(self.take().text, token.start)
            case "name" | "backtick":
                self.take()
                return self.call(token) if self.sees("(") else Name(token.text, token.start)
            case "operator" if token.text in ("+", "-"):
                self.take()
                return Unary(token.text, self.expression(UNARY_PRECEDENCE), token.start)
            case "operator" if token.text == "(":
                self.opened.append(self.take())
                if self.sees(")"):
                    self.fail("These parentheses are empty.", token)
                inner = self.expression()
                self.close()
                return Group(inner, token.start)
            case _:
                self.refuse_missing_operand()

    def call(self, function: Token) -> Call:
        if function.kind == "backtick":
            self.fail("A function is named without backticks.", function)
        self.opened.append(self.take())
        args: list[Node] = []
        kwargs: dict[str, Node] = {}
        while not (self.sees(")") and not args and not kwargs):
            keyword = self.keyword()
            if keyword is None:
                args.append(self.expression())
            elif keyword.text in kwargs:
                self.fail(f"The argument `{keyword.text}` is given twice.", keyword)
            else:
                kwargs[keyword.text] = self.expression()
            if not self.sees(","):
                break
            self.take()
        self.refuse_gap_before_bar(function, args)
        self.close()
        return Call(function.text, tuple(args), tuple(kwargs.items()), function.start)

    def keyword(self) -> Token | None:
        """Consume ``name =`` where it stands next; return the name."""
        following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if self.next.kind not in ("name", "backtick") or following.kind != "operator" or following.text != "=":
            return None
        name = self.take()
        self.take()
        return name

    def close(self) -> None:
        if not self.sees(")"):
            self.refuse_leftover()
        self.take()
        self.opened.pop()

    # -------------------------------------------------------------------------------------------- errors

    def check_height(self, tree: Node) -> None:
        """Refuse trees too high for recursive code. Sums of terms, outside of calls, may be of any length."""
        stack = [(tree, 0, True)]
        while stack:
            node, height, outside = stack.pop()
            if height > MAX_DEPTH:
                message = f"More than {MAX_DEPTH} operations are chained or nested in one term: "
                message += "compute it as a column of the data."
                raise FormulaError(message, self.formula, node.position)
            sums = outside and isinstance(node, Binary) and node.operator in ("+", "-")
            below = outside and not isinstance(node, Call)
            for place, child in enumerate(children(node)):
                stack.append((child, height if sums and place == 0 else height + 1, below))

    def refuse_gap_before_bar(self, word: Token, args: list[Node]) -> None:
        """Catch the forgotten ``+`` of ``x (1 | g)``, which would read as a covariance called ``x``."""
        match args:
            case [Binary("|" | "||"), *_] if word.end < self.opened[-1].start:
                self.fail(
                    f"An operator is missing between `{word.text}` and the group term: write "
                    f"`{word.text} + (... | ...)`. (A covariance word stands without a space: "
                    f"`{word.text}(... | ...)`.)",
                    self.opened[-1],
                )

    def refuse_missing_operand(self) -> NoReturn:
        token, shown = self.next, self.written(self.next)
        before = self.tokens[self.at - 1] if self.at else None
        if before is None:
            self.fail(f"Nothing stands on the left of `{shown}`.", token)
        if token.kind == "end" and before.text == "(":
            self.fail("This parenthesis is never closed.", before)
        if token.kind == "end" or shown == ")":
            self.fail(
                f"Nothing follows `{self.written(before)}`: a term is missing or the operator is spare.", before
            )
        if shown == "~":
            self.refuse_leftover()
        self.fail(f"Something is missing between `{self.written(before)}` and `{shown}`.", token)

    def refuse_leftover(self) -> NoReturn:
        """Explain the token at which the grammar could not go on."""
        token, shown = self.next, self.written(self.next)
        tilde_before = any(t.kind == "operator" and t.text == "~" for t in self.tokens[: self.at])
        match token.kind, token.text:
            case "end", _ if self.opened:
                self.fail("This parenthesis is never closed.", self.opened[-1])
            case "end", _:
                self.fail("There is no `~` in the formula. Write `response ~ terms`, as in `y ~ x`.", token)
            case "operator", "~" if tilde_before:
                self.fail("A formula has one `~` only.", token)
            case "operator", "~":
                self.fail("`~` stands between the two sides of a formula, outside of parentheses.", token)
            case "operator", ")":
                self.fail("This parenthesis closes nothing.", token)
            case "operator", "," if self.opened:
                self.fail("`,` separates the arguments of a function; here is none. Terms are joined by `+`.", token)
            case "operator", ",":
                self.fail("`,` separates the arguments of a function. Terms are joined by `+`.", token)
            case "operator", "=" if not tilde_before and not self.opened:
                self.fail("A formula is written with `~`, not with `=`: `y ~ x`.", token)
            case "operator", "=":
                self.fail("`=` names an argument, as in `s(x, k=10)`; to compare, write `I(x == 1)`.", token)
            case _:
                before = self.written(self.tokens[self.at - 1])
                self.fail(
                    f"`{shown}` follows `{before}` without an operator between them: "
                    "write `a + b` for two terms, `a:b` for an interaction.",
                    token,
                )
