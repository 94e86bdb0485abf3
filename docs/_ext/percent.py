"""Scripts in the percent format as notebooks, for MyST."""

from __future__ import annotations

from typing import Any

import jupytext


def read(text: str) -> Any:
    """Return a notebook; jupytext leaves out which kernel runs it, which MyST wants to know."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return notebook
