"""Text -> `FormulaSpec`: the scanner, the parser and the expansion of R's formula algebra."""

from bayesglmm.formula.nonlinear import Nonlinear, nonlinear
from bayesglmm.formula.parser import parse_expression
from bayesglmm.formula.reader import MAIN, parse
from bayesglmm.formula.spec import FixedSpec, FormulaSpec, GroupSpec, NonlinearSpec, PredictorSpec, ResponseSpec

__all__ = [
    "MAIN",
    "FixedSpec",
    "FormulaSpec",
    "GroupSpec",
    "Nonlinear",
    "NonlinearSpec",
    "PredictorSpec",
    "ResponseSpec",
    "nonlinear",
    "parse",
    "parse_expression",
]
