"""Bases of smooths: covariate values -> columns and penalties, one file each; the first look-up imports them all."""

from bayesglmm.bases.base import BASES, Basis, BasisOptions, FittedBasis
from bayesglmm.bases.mixed_form import MixedForm, mixed_form

__all__ = ["BASES", "Basis", "BasisOptions", "FittedBasis", "MixedForm", "mixed_form"]
