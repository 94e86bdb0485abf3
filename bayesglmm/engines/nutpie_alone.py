"""nutpie without ArviZ's figures and statistics: a third of the seconds that the imports of a first fit take.

`import nutpie` imports all of ArviZ, of which it uses two functions that convert draws; these are in `arviz_base`,
which loads quickly. So it finds a stand-in that has what `arviz_base` has, and becomes ArviZ when anything else is
asked for. Whoever imports ArviZ afterwards gets ArviZ.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__all__ = ["CompiledModel", "library", "nutpie"]


class _StandIn(ModuleType):
    """Stands for ArviZ until something is asked for that `arviz_base` does not have."""

    def __getattr__(self, name: str) -> Any:
        """Return what ArviZ has under the name."""
        self.withdraw()
        base = importlib.import_module("arviz_base")
        whole = name.startswith("__") or not hasattr(base, name)
        return getattr(importlib.import_module(self.__name__) if whole else base, name)

    def withdraw(self) -> None:
        """Let the next import of the module be one."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


def _imported() -> tuple[Any, Any, Any]:
    """Import nutpie, its library, and what it samples."""
    stand_in = _StandIn("arviz")
    sys.modules.setdefault("arviz", stand_in)
    try:
        module = importlib.import_module("nutpie")
        return module, importlib.import_module("nutpie._lib"), importlib.import_module("nutpie.sample").CompiledModel
    finally:
        stand_in.withdraw()


nutpie, library, CompiledModel = _imported()
