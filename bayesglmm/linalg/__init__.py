"""Factorisations of the precision H = A' W A + Q behind one small protocol."""

from bayesglmm.linalg.arrow import ArrowBlocks, ArrowFactor, dense_matrix
from bayesglmm.linalg.base import Factor, NotPositiveDefiniteError, PriorPrecision, SelectedInverse
from bayesglmm.linalg.chain import DenseColumns, GroupColumns
from bayesglmm.linalg.crossed import CrossedFactor, CrossedInverse, conditional_blocks
from bayesglmm.linalg.dense import DenseFactor
from bayesglmm.linalg.pattern import Pattern
from bayesglmm.linalg.precision import precision_draws, symmetric
from bayesglmm.linalg.rows import Leverage, Rows
from bayesglmm.linalg.sparse import Elimination, SparseBlocks, SparseFactor

__all__ = [
    "ArrowBlocks",
    "ArrowFactor",
    "CrossedFactor",
    "CrossedInverse",
    "DenseColumns",
    "DenseFactor",
    "Elimination",
    "Factor",
    "GroupColumns",
    "Leverage",
    "NotPositiveDefiniteError",
    "Pattern",
    "PriorPrecision",
    "Rows",
    "SelectedInverse",
    "SparseBlocks",
    "SparseFactor",
    "conditional_blocks",
    "dense_matrix",
    "precision_draws",
    "symmetric",
]
