"""Design: formula + data frame -> everything numeric that a model needs, and the same for new data."""

from bayesglmm.design.anywhere import bind_anywhere
from bayesglmm.design.bind import bind, memory_estimate
from bayesglmm.design.design import Design, FactorCoding, Rows
from bayesglmm.design.rebind import Rebound
from bayesglmm.design.stored import LearnedRows

__all__ = ["Design", "FactorCoding", "LearnedRows", "Rebound", "Rows", "bind", "bind_anywhere", "memory_estimate"]
