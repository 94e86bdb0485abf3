"""Residual structures: one file per way of making the residuals of a group depend on each other."""

from bayesglmm.residuals.base import RESIDUALS, Residual

__all__ = ["RESIDUALS", "Residual"]
