"""What a file says of a table that was read piece by piece: counts and moments of rows that are not in it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from bayesglmm.blocks import ResponseMoments
from bayesglmm.design import Design, LearnedRows
from bayesglmm.errors import StorageError
from bayesglmm.records.fields import take


def pack_table_facts(design: Design) -> dict[str, Any] | None:
    """Return what cannot be had from the rows that are in the file; None where they are all rows."""
    if design.stored is None:
        return None
    moments = design.response.moments
    assert moments is not None
    numbers = {name: None if value != value else value for name, value in asdict(moments).items()}
    return {
        "name": design.stored.name,
        "given": design.rows.given,
        "used": design.rows.used,
        "missing": dict(design.rows.missing),
        "moments": numbers,
    }


def unpack_table_facts(document: Any, rows: pd.DataFrame) -> LearnedRows | None:
    """Return the rows of a file as those from which the design of a larger table was learned; None if they are all.

    Raises
    ------
    StorageError
        If what the file says makes no sense.
    """
    if document is None:
        return None
    if not isinstance(document, dict):
        raise StorageError("What the file says of its table makes no sense.")
    given = take(document, "moments", dict)
    mean, sd = (float("nan") if given.get(name) is None else take(given, name, float) for name in ("mean", "sd"))
    moments = ResponseMoments(take(given, "n", int), mean, sd, take(given, "whole", bool), take(given, "zero", bool))
    missing = {str(name): int(count) for name, count in take(document, "missing", dict).items()}
    counts = take(document, "given", int), take(document, "used", int)
    return LearnedRows(rows, take(document, "name", str), *counts, missing, moments)
