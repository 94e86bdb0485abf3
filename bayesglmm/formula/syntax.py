"""The syntax tree of a formula. Nodes know where they stand, for carets, and render themselves back to text."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Name:
    """A column name, plain or in backticks (then `text` is without them)."""

    text: str
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        plain = self.text.replace(".", "_").isidentifier()
        return self.text if plain else f"`{self.text}`"


@dataclass(frozen=True)
class Number:
    """A numeric literal, kept as written."""

    text: str
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class String:
    """A string literal; `text` is without quotes."""

    text: str
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return repr(self.text)


@dataclass(frozen=True)
class Unary:
    """``-x`` or ``+x``."""

    operator: str
    operand: Node
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.operator}{self.operand}"


@dataclass(frozen=True)
class Binary:
    """An infix operation; `operator` is in R's spelling (``^``, ``%in%``, ``||``)."""

    operator: str
    left: Node
    right: Node
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        tight = self.operator in (":", "^")
        return f"{self.left}{self.operator}{self.right}" if tight else f"{self.left} {self.operator} {self.right}"


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
        parts = [str(a) for a in self.args] + [f"{k}={v}" for k, v in self.kwargs]
        return f"{self.function}({', '.join(parts)})"


type Node = Name | Number | String | Unary | Binary | Group | Call
