"""How much memory a design will take, before any of it is made."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bayesglmm.design.predictors import PredictorPart
from bayesglmm.errors import DataError

GB = 1e9
COPIES = 3
"""Times that the columns are held at once: the design, the graph, and the work of one of them."""


def gigabytes(parts: Iterable[PredictorPart], n: int) -> float:
    """Return the memory that the design takes, in GB.

    Parameters
    ----------
    parts : iterable of PredictorPart
    n : int
        Rows.
    """
    total = 0.0
    for part in parts:
        width = float(part.dense_columns)
        total += 8.0 * (COPIES * n * width + part.linear.width**2 + COPIES * part.coefficients)
    return total / GB


def available() -> float:
    """Return the memory that is free now, in GB; infinity where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024 / GB
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GB
    except (AttributeError, ValueError, OSError):
        return float("inf")


def check_memory(parts: Iterable[PredictorPart], n: int, limit: float | None) -> None:
    """Refuse a design that does not fit into memory.

    Parameters
    ----------
    parts : iterable of PredictorPart
    n : int
    limit : float or None
        In GB; None is what is free now.

    Raises
    ------
    DataError
        With the estimate, and the term that takes most of it.
    """
    held = list(parts)
    needed = gigabytes(held, n)
    most = available() if limit is None else limit
    if needed <= most:
        return
    widths: list[tuple[float, str]] = []
    for part in held:
        widths += part.linear.widths
        widths += [(float(group.left.width), group.label) for group in part.groups]
    width, label = max(widths)
    raise DataError(
        f"The design needs about {needed:,.1f} GB; {most:,.1f} GB are free. `{label}` alone makes "
        f"{width:,.0f} columns of {n:,} rows. If its levels are groups, write it as a group term, (1 | {label}), "
        "which takes one index per row."
    )
