"""Smooth expressions of parameters and data columns: values in numpy or PyTensor, derivatives in numpy."""

from bayesglmm.expressions.expression import Apply, Column, Constant, Expression, Node, Parameter
from bayesglmm.expressions.functions import OPERATORS, SMOOTH, SmoothFunction
from bayesglmm.expressions.taylor import Taylor

__all__ = [
    "OPERATORS",
    "SMOOTH",
    "Apply",
    "Column",
    "Constant",
    "Expression",
    "Node",
    "Parameter",
    "SmoothFunction",
    "Taylor",
]
