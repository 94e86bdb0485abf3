"""Formulas that say what changes: ``. ~ . + x``, as in R's ``update.formula``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bayesglmm.errors import FormulaError, did_you_mean
from bayesglmm.formula.expand import summands
from bayesglmm.formula.nonlinear import Nonlinear
from bayesglmm.formula.parser import Sides, parse_sides
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Node, Number, Unary, precedence, walk

type Formulas = str | Sequence[str]


def updated(old: Formulas, new: Formulas) -> Formulas:
    """Return the formulas of a model after a change.

    Parameters
    ----------
    old : str or sequence of str
        As the model has them.
    new : str or sequence of str
        Changed formulas. A ``.`` stands for that side of the old one; an absent left side is the old one, too. A
        formula whose left side is a family parameter that has a formula changes that one; further formulas of a list
        may be of new parameters. Formulas that are not mentioned stay.

    Raises
    ------
    FormulaError
        For a dot with nothing to stand for, a group term taken away that is not there, and nonlinear models.

    Examples
    --------
    >>> updated("y ~ x + (1 | g)", ". ~ . + z - (1 | g) + (1 + x | g)")
    'y ~ x + z + (1 + x | g)'
    """
    if isinstance(new, Nonlinear):
        return new
    changes = [new] if isinstance(new, str) else list(new)
    if isinstance(old, Nonlinear):
        if any(_has_dot(parse_sides(text)) for text in changes):
            raise FormulaError("A nonlinear model has no terms to add to: give bg.nonlinear(...) whole.")
        return new
    main, *others = [old] if isinstance(old, str) else list(old)
    held = {str(parse_sides(text).left): text for text in others}
    for position, text in enumerate(changes):
        sides = parse_sides(text)
        name = str(sides.left)
        if name in held:
            held[name] = _updated(held[name], sides, text)
        elif position == 0:
            main = _updated(main, sides, text)
        else:
            if _has_dot(sides):
                raise FormulaError(
                    f"`.` stands for nothing: the model has no formula of `{name}`.", text, sides.tilde
                )
            held[name] = text
    return [main, *held.values()] if held else main


def _has_dot(sides: Sides) -> bool:
    trees = [tree for tree in (sides.left, sides.right) if tree is not None]
    return any(node == Name(".") for tree in trees for node in walk(tree))


def _updated(old: str, change: Sides, text: str) -> str:
    before = parse_sides(old)
    left = before.left if change.left is None else _filled(change.left, before.left)
    terms: list[tuple[bool, Node]] = []
    for minus, part in summands(change.right):
        if part == Name(".") and not minus:
            terms += summands(before.right)
        elif minus and _taken(terms, part):
            continue
        elif minus and _is_group(part):
            known = [str(own) for away, own in terms if _is_group(own) and not away]
            hint = did_you_mean(str(part), known) if known else "There are no group terms."
            raise FormulaError(f"The formula has no group term `{part}` to take away. {hint}", text, part.position)
        else:
            terms.append((minus, _filled(part, before.right)))
    right = "".join(_signed(minus, part, first=j == 0) for j, (minus, part) in enumerate(terms)) or "1"
    return f"{left} ~ {right}" if left is not None else f"~ {right}"


def _signed(minus: bool, part: Node, first: bool) -> str:
    text = f"({part})" if precedence(part) <= precedence(Binary("+", part, part)) else str(part)
    if first:
        return f"-{text}" if minus else text
    return f" - {text}" if minus else f" + {text}"


def _taken(terms: list[tuple[bool, Node]], part: Node) -> bool:
    """Take a term out of those that are there as they are; return whether there was one."""
    if isinstance(part, Number):  # the constant is switched, not a term
        return False
    there = [j for j, (minus, own) in enumerate(terms) if not minus and own == part]
    for j in reversed(there):
        del terms[j]
    return bool(there)


def _is_group(node: Node) -> bool:
    match node:
        case Group(Binary("|" | "||")) | Call(_, (Binary("|" | "||"), *_)):
            return True
        case _:
            return False


def _filled(node: Node, old: Node | None) -> Node:
    """Return a tree with the dots replaced."""
    match node:
        case Name("."):
            return node if old is None else old
        case Unary(_, operand):
            return replace(node, operand=_filled(operand, old))
        case Binary(_, left, right):
            return replace(node, left=_filled(left, old), right=_filled(right, old))
        case Group(inner):
            return replace(node, inner=_filled(inner, old))
        case Call(_, args, kwargs):
            return replace(
                node,
                args=tuple(_filled(arg, old) for arg in args),
                kwargs=tuple((key, _filled(value, old)) for key, value in kwargs),
            )
        case _:
            return node
