"""The syntax tree of a formula. Nodes know where they stand, for carets, and render themselves back to text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

# How tightly R's infix operators bind (`?Syntax` in R); the parser and the rendering share this table.
PRECEDENCE = {
    "|": 1,
    "||": 1,
    **dict.fromkeys(COMPARISONS, 2),
    "+": 3,
    "-": 3,
    "*": 4,
    "/": 4,
    "%in%": 5,
    "%%": 5,
    "%/%": 5,
    ":": 6,
    "^": 8,
}
UNARY_PRECEDENCE = 7
_ATOM_PRECEDENCE = 9

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _quoted(text: str, quote: str) -> str:
    escapes = str.maketrans(_ESCAPES | {quote: f"\\{quote}"})
    return f"{quote}{text.translate(escapes)}{quote}"


@dataclass(frozen=True)
class Name:
    """A column name, plain or in backticks (then `text` is without them); ``.`` is the dot term."""

    text: str
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        # R names may hold dots, but ".5" is a number.
        plain = self.text.replace(".", "_").isidentifier()
        like_number = self.text.startswith(".") and self.text[1:2].isdigit()
        return self.text if plain and not like_number else _quoted(self.text, "`")


@dataclass(frozen=True)
class Number:
    """A numeric literal, kept as written (``2L`` is R's spelling of the integer 2)."""

    text: str
    position: int = field(default=0, compare=False)

    @property
    def value(self) -> float:
        """The number that the text denotes."""
        return float(self.text.removesuffix("L"))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class String:
    """A string literal; `text` is without quotes."""

    text: str
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return _quoted(self.text, "'")


@dataclass(frozen=True)
class Unary:
    """``-x`` or ``+x``; `position` is that of the sign."""

    operator: str
    operand: Node
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.operator + _bracketed(self.operand, precedence(self.operand) < UNARY_PRECEDENCE)


@dataclass(frozen=True)
class Binary:
    """An infix operation; `operator` is in R's spelling (``^``, ``%in%``, ``||``), `position` is the operator's.

    Rendering puts parentheses where the tree needs them, so also a tree that was put together by hand, without
    `Group` nodes, gives text with its meaning.
    """

    operator: str
    left: Node
    right: Node
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        # Down the left spine in a loop: a sum of thousands of columns is a tree thousands of levels deep.
        pieces: list[str] = []
        node: Node = self
        while isinstance(node, Binary):
            infix = node.operator if node.operator in (":", "^") else f" {node.operator} "
            pieces.append(infix + _bracketed(node.right, _right_needs_brackets(node)))
            if _left_needs_brackets(node):
                pieces.append(f"({node.left})")
                break
            node = node.left
        else:
            pieces.append(str(node))
        return "".join(reversed(pieces))


@dataclass(frozen=True)
class Group:
    """A parenthesised expression."""

    inner: Node
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"({self.inner})"


@dataclass(frozen=True)
class Call:
    """A function call; which functions exist is decided where the call is used, not here."""

    function: str
    args: tuple[Node, ...] = ()
    kwargs: tuple[tuple[str, Node], ...] = ()
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        parts = [str(a) for a in self.args] + [f"{Name(k)}={v}" for k, v in self.kwargs]
        return f"{self.function}({', '.join(parts)})"


type Node = Name | Number | String | Unary | Binary | Group | Call


def precedence(node: Node) -> int:
    """Return how tightly the outermost operator of a node binds; atoms, calls and parentheses bind most."""
    match node:
        case Binary(operator):
            return PRECEDENCE[operator]
        case Unary():
            return UNARY_PRECEDENCE
        case _:
            return _ATOM_PRECEDENCE


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below `node`, in the order of the text."""
    match node:
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Group(inner):
            return (inner,)
        case Call(_, args, kwargs):
            return (*args, *(value for _, value in kwargs))
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and every node below it, parents first, in the order of the text."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def _bracketed(node: Node, needed: bool) -> str:
    return f"({node})" if needed else str(node)


def _left_needs_brackets(node: Binary) -> bool:
    own, left = PRECEDENCE[node.operator], precedence(node.left)
    chains = node.operator != "^" and node.operator not in COMPARISONS
    return left < own or (left == own and not chains)


def _right_needs_brackets(node: Binary) -> bool:
    if isinstance(node.right, Unary):  # `x^-1` reads as `x^(-1)`
        return False
    own, right = PRECEDENCE[node.operator], precedence(node.right)
    return right < own or (right == own and node.operator != "^")
