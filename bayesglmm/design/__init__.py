"""Design: formula + data frame -> everything numeric that a model needs, and the same for new data."""

from bayesglmm.design.bind import bind, memory_estimate
from bayesglmm.design.design import Design, FactorCoding, Rows
from bayesglmm.design.rebind import Rebound

__all__ = ["Design", "FactorCoding", "Rebound", "Rows", "bind", "memory_estimate"]
