"""Terms: one formula term plus data -> blocks. One file per kind; calls register themselves in `TERMS`."""

from bayesglmm.terms.base import TERMS, BoundTerm, Context, Smooth, Term
from bayesglmm.terms.columns import Columns, Factor, Numeric

__all__ = ["TERMS", "BoundTerm", "Columns", "Context", "Factor", "Numeric", "Smooth", "Term"]
