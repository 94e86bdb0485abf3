"""Draws that cost nothing until somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any


class OnRequest(Mapping[str, Any]):
    """A mapping that is made when it is first read, and then kept.

    Parameters
    ----------
    make : callable
        Returns the mapping. Must depend on nothing that changes, so that it does not matter when it is called.
    """

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, Any]:
        return self._make()

    def __getitem__(self, name: str) -> Any:
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
