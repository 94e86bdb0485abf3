"""An expression as a tree that has nothing of the text that it came from; evaluated by walking, never as code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats
from bayesglmm.expressions.functions import SMOOTH, power_jet
from bayesglmm.expressions.taylor import Taylor, constant, variables


@dataclass(frozen=True)
class Parameter:
    """A nonlinear parameter, by its position."""

    position: int


@dataclass(frozen=True)
class Column:
    """Numbers that data give, one per row, by their position."""

    position: int


@dataclass(frozen=True)
class Constant:
    """A number."""

    value: float


@dataclass(frozen=True)
class Apply:
    """An operator or a function of `SMOOTH` with its operands; ``-`` with one operand changes the sign."""

    operation: str
    operands: tuple[Node, ...]


type Node = Parameter | Column | Constant | Apply


@dataclass(frozen=True)
class Expression:
    """eta_i = f(theta_1i, ..., theta_Pi; columns of row i).

    Attributes
    ----------
    text : str
        As written.
    parameters : tuple of str
        Names of the parameters.
    columns : tuple of str
        Text of what is computed from data alone.
    tree : Node
    """

    text: str
    parameters: tuple[str, ...]
    columns: tuple[str, ...]
    tree: Node

    def __call__(self, parameters: Sequence[Any], columns: Sequence[Any], xp: ArrayMath) -> Any:
        """Return the values.

        Parameters
        ----------
        parameters : sequence of array, each (..., n)
            In the order of `parameters`.
        columns : sequence of array, each (n,)
        xp : ArrayMath
            numpy's or PyTensor's vocabulary.
        """
        return _value(self.tree, parameters, columns, xp)

    def derivatives(self, parameters: Floats, columns: Sequence[Floats], third: bool = True) -> Taylor:
        """Return the values with their derivatives in the parameters.

        Parameters
        ----------
        parameters : ndarray, shape (P, n)
        columns : sequence of ndarray, each (n,)
        third : bool
            Whether third derivatives are wanted.
        """
        parameters = np.asarray(parameters, dtype=float)
        with np.errstate(all="ignore"):  # a point at which it is not finite is refused by whoever asked
            found = _taylor(self.tree, variables(parameters, third), columns)
        return found if isinstance(found, Taylor) else constant(found, parameters, third)


def _value(node: Node, parameters: Sequence[Any], columns: Sequence[Any], xp: ArrayMath) -> Any:
    match node:
        case Parameter(position):
            return parameters[position]
        case Column(position):
            return columns[position]
        case Constant(value):
            return np.float64(value)
        case Apply(operation, operands):
            parts = [_value(operand, parameters, columns, xp) for operand in operands]
            if operation == "^":
                return _power(parts[0], parts[1], operands[1], xp)
            return SMOOTH[operation].value(xp, parts[0]) if operation in SMOOTH else _arithmetic(operation, parts)


def _taylor(node: Node, parameters: Sequence[Taylor], columns: Sequence[Floats]) -> Any:
    match node:
        case Parameter(position):
            return parameters[position]
        case Column(position):
            return columns[position]
        case Constant(value):
            return np.float64(value)
        case Apply(operation, operands):
            parts = [_taylor(operand, parameters, columns) for operand in operands]
            if operation == "^":
                return _taylor_power(parts[0], parts[1])
            if operation in SMOOTH:
                return parts[0].through(SMOOTH[operation].jet(parts[0].value))
            return _arithmetic(operation, parts)


def _arithmetic(operation: str, parts: Sequence[Any]) -> Any:
    match operation, parts:
        case "-", [only]:
            return -only
        case "+", [left, right]:
            return left + right
        case "-", [left, right]:
            return left - right
        case "*", [left, right]:
            return left * right
        case "/", [left, right]:
            return left / right
    raise ValueError(f"{operation!r} is no operation on {len(parts)} operands.")


def _power(base: Any, exponent: Any, written: Node, xp: ArrayMath) -> Any:
    """Return base^exponent; zero to an unknown positive power is zero with derivatives that are zero."""
    if isinstance(written, Constant):
        if written.value == 2.0:
            return base * base
        return base**exponent
    zero = xp.abs(base) <= 0.0
    return xp.where(zero, xp.where(exponent > 0.0, 0.0, np.inf), xp.exp(exponent * xp.log(xp.where(zero, 1.0, base))))


def _taylor_power(base: Any, exponent: Any) -> Any:
    if not isinstance(exponent, Taylor):
        if np.ndim(exponent) == 0:
            return base.through(power_jet(base.value, float(exponent)))
        exponent = constant(exponent, base.d1, base.d3 is not None)
    if not isinstance(base, Taylor):
        base = constant(base, exponent.d1, exponent.d3 is not None)
    zero = base.value == 0.0
    raised = exponent * _safe(base, zero).through(SMOOTH["log"].jet(np.where(zero, 1.0, base.value)))
    found = raised.through(SMOOTH["exp"].jet(raised.value))
    at_zero = np.where(exponent.value > 0.0, 0.0, np.inf)
    d3 = None if found.d3 is None else np.where(zero, 0.0, found.d3)
    return Taylor(
        np.where(zero, at_zero, found.value), np.where(zero, 0.0, found.d1), np.where(zero, 0.0, found.d2), d3
    )


def _safe(base: Taylor, zero: Any) -> Taylor:
    return Taylor(np.where(zero, 1.0, base.value), base.d1, base.d2, base.d3)
