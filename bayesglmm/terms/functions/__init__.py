"""The functions that a formula may call; nothing else is ever called."""

from bayesglmm.terms.functions.base import FUNCTIONS, Function

__all__ = ["FUNCTIONS", "Function"]
