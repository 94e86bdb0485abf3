"""Syntax tree -> terms: R's formula algebra, the constant, the dot and the group terms.

The rules are those of R's `terms.formula`: a term is a set of factors, ``+`` is union, ``:`` joins, ``*``, ``/``,
``%in%`` and ``^`` are made of both, ``-`` takes out of what stands before it, and ``0``, ``1`` switch the constant
where they are met, so that the last one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Literal, NoReturn

from bayesglmm.errors import FormulaError
from bayesglmm.formula.spec import KNOWN, FixedSpec, GroupSpec, Interaction
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Node, Number, Unary, walk

type Terms = dict[frozenset[Node], Interaction]
"""Terms in the order in which they arose; the key makes ``a:b`` and ``b:a`` one term."""

type Place = Literal["formula", "columns", "factor"]
"""What is being expanded: a whole right side, or the left or right of a group term's bar."""

MAX_TERMS = 100_000
"""Most combinations that one operator may form."""


def expand(tree: Node, formula: str) -> tuple[FixedSpec, tuple[GroupSpec, ...]]:
    """Expand the right side of a formula.

    Parameters
    ----------
    tree : Node
        The right side.
    formula : str
        The whole formula, shown in errors.

    Returns
    -------
    fixed : FixedSpec
        What stands outside of group terms.
    groups : tuple of GroupSpec
        Group terms in the order of the text, each once; ``(1 | a/b)`` gives two.

    Raises
    ------
    FormulaError
        Where an operator, number or bar stands in a place in which it means nothing.
    """
    expansion = _Expansion(formula)
    fixed = expansion.fixed(tree)
    # As a + a is a: (1 | a/b) + (1 | a/c) holds (1 | a) once.
    distinct: dict[Hashable, GroupSpec] = {}
    for group in expansion.groups:
        key = (group.columns, frozenset(group.factor), group.word, group.options, group.by)
        distinct.setdefault(key, group)
    return fixed, tuple(distinct.values())


def summands(tree: Node) -> list[tuple[bool, Node]]:
    """Split a sum into its parts, each with whether it is taken away. ``a - b`` gives ``+a`` and ``-b``."""
    parts: list[tuple[bool, Node]] = []
    node = tree
    while isinstance(node, Binary) and node.operator in ("+", "-"):
        parts.append((node.operator == "-", node.right))
        node = node.left
    if isinstance(node, Unary):
        parts.append((node.operator == "-", node.operand))
    else:
        parts.append((False, node))
    return parts[::-1]


def refuse_bars_and_dots(tree: Node, formula: str) -> None:
    """Refuse what has no meaning in arithmetic: a bar, and the dot that stands for all columns."""
    for node in walk(tree):
        match node:
            case Binary("|" | "||" as bar):
                message = (
                    f"`{bar}` cannot stand here: it belongs into a group term of its own, `(terms | factor)` or "
                    "`word(terms | factor)`."
                )
                raise FormulaError(message, formula, node.position)
            case Name("."):
                raise FormulaError(
                    "`.` stands for all other columns, as a term of its own; here name the columns.",
                    formula,
                    node.position,
                )


class _Expansion:
    """One walk over one expression; gathers what stands beside its terms.

    Attributes
    ----------
    intercept : bool
        The constant, as switched by the numbers met so far.
    dots : int
        How many ``.`` were met.
    groups : list of GroupSpec
        Group terms met so far.
    """

    def __init__(self, formula: str, place: Place = "formula") -> None:
        self.formula = formula
        self.place = place
        self.intercept = True
        self.dots = 0
        self.groups: list[GroupSpec] = []
        self._removed: Terms = {}
        self._rank: dict[Node, int] = {}  # factors in the order of the text

    def fail(self, message: str, node: Node) -> NoReturn:
        raise FormulaError(message, self.formula, node.position)

    def fixed(self, tree: Node) -> FixedSpec:
        terms = self.terms(tree)
        return FixedSpec(self.intercept, self.ordered(terms), self.dots > 0, self.ordered(self._removed))

    def ordered(self, terms: Terms) -> tuple[Interaction, ...]:
        """Sort as R does: terms by degree, then as they arose; the factors of each as the formula names them."""
        sorted_factors = (tuple(sorted(term, key=self._rank.__getitem__)) for term in terms.values())
        return tuple(sorted(sorted_factors, key=len))

    # ------------------------------------------------------------------------------------------- algebra

    def terms(self, node: Node, removing: bool = False, product: Binary | None = None) -> Terms:
        """Return the terms of an expression.

        `removing` says that an odd number of minus signs stands before it, `product` which operation, if any, it
        is an operand of.
        """
        match node:
            case Name("."):
                return self.dot(node, removing, product)
            case Group(Binary("|" | "||") as bar):
                return self.group(node, bar, "us" if bar.operator == "|" else "diag", (), removing, product)
            case Call(word, (Binary("|" | "||") as bar, *spare), options):
                if spare:
                    self.fail(f"Options of `{word}(... | ...)` are given by name: `option=value`.", spare[0])
                if bar.operator == "||":
                    self.fail(f"`||` means `diag(... | ...)`; with the word `{word}` write a single bar.", bar)
                return self.group(node, bar, word, options, removing, product)
            case Name() | Call():
                return self.atom(node)
            case Group(inner):
                return self.terms(inner, removing, product)
            case Unary() | Binary("+" | "-"):
                return self.sum(node, removing, product)
            case Binary("*" | "/" | ":" | "%in%" | "^"):
                return self.product(node)
            case Number():
                return self.constant(node, removing, product)
            case _:
                self.refuse(node)

    def sum(self, node: Node, removing: bool, product: Binary | None) -> Terms:
        total: Terms = {}
        dots_before = self.dots
        for minus, part in summands(node):
            if minus and self.place == "factor":
                self.fail("Nothing can be taken out of a grouping factor: name the factors that are meant.", part)
            found = self.terms(part, removing != minus, product)
            # What a dot brings is known at bind time, so removals from it are passed on.
            after_dot = self.dots > dots_before and not removing
            for key, term in found.items():
                if minus:
                    total.pop(key, None)
                    if after_dot:
                        self._removed[key] = term
                else:
                    total.setdefault(key, term)
                    if after_dot:
                        self._removed.pop(key, None)
        return total

    def product(self, node: Binary) -> Terms:
        for operand in (node.left, node.right):
            if isinstance(operand, Unary) and node.operator != "^":
                what = f"The sign binds more tightly than `{node.operator}`: to take terms away write `x - a:b`, or "
                self.fail(f"{what}`-(a:b)` at the start; for arithmetic use `I(...)`.", operand)
        left = self.terms(node.left, product=node)
        if node.operator == "^":
            return self.power(left, node)
        right = self.terms(node.right, product=node)
        self.check_size(len(left) * len(right), node)
        return _PRODUCTS[node.operator](left, right)

    def power(self, base: Terms, node: Binary) -> Terms:
        exponent = node.right
        while isinstance(exponent, Group):
            exponent = exponent.inner
        if len(base) == 1:
            # In R `x^2` silently is `x`; whoever writes it means the square.
            message = f"`{node}` would be no more than `{node.left}`: `^` makes interactions, as in `(a + b)^2`. "
            self.fail(message + f"For arithmetic write `I({node})`.", node)
        if not isinstance(exponent, Number) or exponent.value < 1 or exponent.value % 1:
            self.fail(
                "The power of terms is a whole number, as in `(a + b)^2`; arithmetic goes inside `I(...)`.", node
            )
        result = dict(base)
        degree = 1
        while degree < exponent.value:
            self.check_size(len(result) * len(base), node)
            raised = _interact(base, result)  # R's order of the two loops
            if len(raised) == len(result):
                break
            result = raised
            degree += 1
        return result

    def check_size(self, combinations: int, node: Binary) -> None:
        if combinations > MAX_TERMS:
            message = f"`{node.operator}` would form {combinations:,} interactions; {MAX_TERMS:,} are allowed."
            self.fail(message, node)

    # --------------------------------------------------------------------------------------------- atoms

    def atom(self, node: Name | Call) -> Terms:
        if isinstance(node, Call):
            for child in (*node.args, *(value for _, value in node.kwargs)):
                refuse_bars_and_dots(child, self.formula)
            if node.function == "gr" and self.place == "factor":
                self.fail(
                    "`gr(...)` stands alone behind the bar of a plain parenthesis, `(1 | gr(g, cov=K))`; other "
                    "structures have a word in front, `word(1 | g, option=...)`.",
                    node,
                )
        self._rank.setdefault(node, len(self._rank))
        return {frozenset((node,)): (node,)}

    def constant(self, node: Number, removing: bool, product: Binary | None) -> Terms:
        if self.place == "factor":
            self.fail(f"A grouping factor is a column, not the number {node}.", node)
        if product is not None:
            arithmetic = product.operator in ("*", "/") and node in (product.left, product.right)
            hint = f"; for arithmetic write `I({product})`" if arithmetic else ""
            self.fail(
                f"The number {node} cannot stand inside of `{product.operator}`, which combines terms{hint}.", node
            )
        if node.value not in (0, 1):
            self.fail(f"Of numbers only 0 and 1 can be terms (no constant, constant), not {node}.", node)
        self.intercept = (node.value == 1) != removing
        return {}

    def dot(self, node: Name, removing: bool, product: Binary | None) -> Terms:
        if self.place != "formula":
            self.fail("`.` stands for all other columns; in a group term name the columns.", node)
        if product is not None:
            message = f"`.` cannot be an operand of `{product.operator}`: name the columns that are to interact."
            self.fail(message, node)
        if removing:
            self.fail("`.` stands for all other columns and cannot be taken away.", node)
        self.dots += 1
        return {}

    def refuse(self, node: Node) -> NoReturn:
        match node:
            case Binary("|" | "||" as bar, left, right):
                last = summands(left)[-1][1]
                self.fail(f"A group term needs parentheses: `({last} {bar} {right})`.", node)
            case Binary(operator):
                self.fail(f"`{operator}` is arithmetic, not a combination of terms: write `I({node})`.", node)
            case _:
                self.fail(
                    f"The text {node} cannot be a term; a column is named without quotes (or in backticks).", node
                )

    # --------------------------------------------------------------------------------------- group terms

    def group(
        self,
        node: Group | Call,
        bar: Binary,
        word: str,
        options: tuple[tuple[str, Node], ...],
        removing: bool,
        product: Binary | None,
    ) -> Terms:
        self.check_place_of_group(node, removing, product)
        if isinstance(bar.left, Binary) and bar.left.operator in ("|", "||"):
            self.fail(
                f"A second bar: correlations cannot be shared between group terms by an ID as in `{node}`; "
                f"write `({bar.left.left} | {bar.right})`.",
                bar,
            )
        for _, value in options:
            refuse_bars_and_dots(value, self.formula)
        columns = _Expansion(self.formula, "columns").fixed(bar.left)
        if not columns.intercept and not columns.terms:
            self.fail(f"Nothing varies by group in `{node}`: write `(1 | {bar.right})` for the constant.", node)
        right, by = bar.right, None
        if isinstance(right, Call) and right.function == "gr" and word in ("us", "diag"):
            right, word, options, by = self.described(right, word)
        factors = _Expansion(self.formula, "factor")
        for factor in factors.ordered(factors.terms(right)):
            self.groups.append(GroupSpec(str(node), columns, factor, word, options, node.position, by))
        return {}

    def described(self, call: Call, word: str) -> tuple[Node, str, tuple[tuple[str, Node], ...], Node | None]:
        """Return factor, covariance word, options and `by` of ``gr(g, cov=K)``; ``gr(g)`` is ``g``, as in brms."""
        if len(call.args) != 1:
            self.fail("`gr(...)` takes one grouping factor, and the name of its covariance: `gr(g, cov=K)`.", call)
        given = dict(call.kwargs)
        for name, value in call.kwargs:
            if name not in ("cov", "by"):
                self.fail(
                    f"`gr(...)` has no option `{name}` here, only `cov=` and `by=`; other structures have a word in "
                    "front of the term, `word(1 | g, option=...)`.",
                    call,
                )
            refuse_bars_and_dots(value, self.formula)
        if len(given) == 2:
            self.fail(
                "`gr(...)` takes `cov=` or `by=`: the levels that a matrix relates have one standard deviation.", call
            )
        if "cov" not in given:
            return call.args[0], word, (), given.get("by")
        known = next(known for known, bar in KNOWN.items() if (bar == "||") == (word == "diag"))
        return call.args[0], known, call.kwargs, None

    def check_place_of_group(self, node: Group | Call, removing: bool, product: Binary | None) -> None:
        if self.place != "formula":
            self.fail(f"The group term `{node}` cannot stand inside another one; join them by `+`.", node)
        if product is not None:
            message = f"The group term `{node}` cannot be an operand of `{product.operator}`; join it by `+`."
            self.fail(message, node)
        if removing:
            self.fail(f"The group term `{node}` cannot be taken away; leave it out.", node)


def _join(*terms: Interaction) -> Interaction:
    return tuple(dict.fromkeys(factor for term in terms for factor in term))


def _keyed(terms: Iterable[Interaction]) -> Terms:
    found: Terms = {}
    for term in terms:
        found.setdefault(frozenset(term), term)
    return found


def _interact(left: Terms, right: Terms) -> Terms:
    return _keyed(_join(a, b) for a in left.values() for b in right.values())


def _cross(left: Terms, right: Terms) -> Terms:
    return left | right | _interact(left, right)


def _nest(left: Terms, right: Terms) -> Terms:
    # R: each term on the right is inside of all the factors on the left, so (a + b)/c = a + b + a:b:c.
    every = _join(*left.values())
    return left | _keyed(_join(every, term) for term in right.values())


def _within(left: Terms, right: Terms) -> Terms:
    every = _join(*right.values())
    return _keyed(_join(term, every) for term in left.values())


_PRODUCTS: dict[str, Callable[[Terms, Terms], Terms]] = {
    ":": _interact,
    "*": _cross,
    "/": _nest,
    "%in%": _within,
}
