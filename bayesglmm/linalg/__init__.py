"""Factorisations of the precision H = A' W A + Q behind one small protocol."""

from bayesglmm.linalg.arrow import ArrowBlocks, ArrowFactor, dense_matrix
from bayesglmm.linalg.base import Factor, NotPositiveDefiniteError
from bayesglmm.linalg.dense import DenseFactor
from bayesglmm.linalg.pattern import DenseColumns, GroupColumns, Pattern
from bayesglmm.linalg.rows import Leverage, Rows

__all__ = [
    "ArrowBlocks",
    "ArrowFactor",
    "DenseColumns",
    "DenseFactor",
    "Factor",
    "GroupColumns",
    "Leverage",
    "NotPositiveDefiniteError",
    "Pattern",
    "Rows",
    "dense_matrix",
]
