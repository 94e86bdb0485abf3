"""Text -> `FormulaSpec`: the scanner, the parser and the expansion of R's formula algebra."""

from bayesglmm.formula.parser import parse
from bayesglmm.formula.spec import FormulaSpec, GroupSpec, PredictorSpec, ResponseSpec

__all__ = ["FormulaSpec", "GroupSpec", "PredictorSpec", "ResponseSpec", "parse"]
