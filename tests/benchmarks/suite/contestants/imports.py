"""What importing PyMC and nutpie takes, which nobody who samples with them can avoid."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from suite.contestants import Answer, Contestant


class Imports(Contestant):
    """Nothing is fitted."""

    name: ClassVar[str] = "imports"
    modes: ClassVar[tuple[str, ...]] = ("import",)

    def module(self) -> str:
        """Return the module that shows that it is installed."""
        return "nutpie"

    def fit(self, given: Any, mode: str) -> Answer:
        """Import."""
        start = time.perf_counter()
        import nutpie  # noqa: F401
        import pymc  # noqa: F401

        return Answer({"import": time.perf_counter() - start})
