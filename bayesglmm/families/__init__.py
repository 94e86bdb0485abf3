"""Response distributions, one file each; the first look-up in `FAMILIES` imports them all."""

from bayesglmm.families.base import FAMILIES, Family, FamilyParameter

__all__ = ["FAMILIES", "Family", "FamilyParameter"]
