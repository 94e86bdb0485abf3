"""A model as data: the arguments that make it again, its data frame, and what its terms learned, as plain values."""

from bayesglmm.records.recipe import Arguments, Packed, arguments, packed, restored

__all__ = ["Arguments", "Packed", "arguments", "packed", "restored"]
