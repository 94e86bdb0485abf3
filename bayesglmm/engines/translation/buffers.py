"""What translated functions work on, and what they can say that Python cannot."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Floats", "Ints", "NotTranslatableError", "Primitive", "exchanged", "floats_at", "ints_at"]

# Anything with entries for Python, numpy's arrays above all; an address in machine code.
type Ints = MutableSequence[int]
type Floats = MutableSequence[float]


class NotTranslatableError(TypeError):
    """A function has something that is not translated."""


@dataclass(frozen=True)
class Primitive:
    """What Python has no word for; a function that uses it runs as machine code alone.

    Attributes
    ----------
    name : str
    takes : tuple of str
        Types of the arguments, see `values.TYPES`.
    gives : str
        That of the result.
    lines : tuple of str
        LLVM, with {0}, {1} for the arguments, {at} for a name of its own and {result} for the result.
    """

    name: str
    takes: tuple[str, ...]
    gives: str
    lines: tuple[str, ...]

    def __call__(self, *arguments: Any) -> Any:
        """Refuse: there is no such thing in Python."""
        raise NotTranslatableError(f"{self.name} has a meaning in machine code alone.")


_POINTER = ("{result} = inttoptr i64 {0} to ptr",)
ints_at = Primitive("ints_at", ("i64",), "ints", _POINTER)
"""The integers at an address."""

floats_at = Primitive("floats_at", ("i64",), "floats", _POINTER)
"""The floats at an address."""

exchanged = Primitive(
    "exchanged",
    ("ints", "i64", "i64"),
    "i64",
    ("{at} = getelementptr i64, ptr {0}, i64 {1}", "{result} = atomicrmw xchg ptr {at}, i64 {2} acq_rel"),
)
"""Put a number into a buffer, at a place, and return what was there: nothing comes between."""
