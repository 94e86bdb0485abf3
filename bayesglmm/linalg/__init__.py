"""Factorisations of the precision H = A' W A + Q behind one small protocol."""

from bayesglmm.linalg.base import Factor, NotPositiveDefiniteError
from bayesglmm.linalg.dense import DenseFactor

__all__ = ["DenseFactor", "Factor", "NotPositiveDefiniteError"]
