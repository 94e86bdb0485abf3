"""Concurvity: how much of a smooth the other terms can draw, as mgcv measures it (Wood 2017, section 5.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular

if TYPE_CHECKING:
    from bayesglmm.blocks import Floats, Predictor, RandomBlock

_ROWS, _WIDEST = 20_000, 1_000  # more rows change no measure, more columns take long


def concurvity(predictor: Predictor, coefficients: Mapping[str, Any] | None = None) -> pd.DataFrame | None:
    """Return measures of concurvity between each smooth and everything else that is smooth or a population column.

    Parameters
    ----------
    predictor : Predictor
    coefficients : mapping of str to ndarray, optional
        Estimated coefficients of every smooth by its label, in the order of `term_columns`.

    Returns
    -------
    DataFrame or None
        Columns: term; worst, the largest share of a curve of this smooth that the other terms can draw; estimate, the
        share of its whole basis; observed, that of the estimated curve, where there are coefficients. None where
        there is no smooth, or too many columns.
    """
    terms = term_columns(predictor)
    smooths = [label for label in terms if label != ""]
    width = sum(X.shape[1] for X in terms.values())
    if not smooths or width > _WIDEST:
        return None
    step = -(-predictor.n // _ROWS)
    ends = np.cumsum([X.shape[1] for X in terms.values()])
    R = np.linalg.qr(np.hstack([X[::step] for X in terms.values()]), mode="r")
    rows = []
    for (label, X), end in zip(terms.items(), ends, strict=True):
        if label == "":
            continue
        own = np.arange(end - X.shape[1], end)
        others = np.setdiff1d(np.arange(width), own)
        beside = np.linalg.qr(np.hstack([R[:, others], R[:, own]]), mode="r")[:, len(others) :]
        shared = beside[: min(len(others), len(beside))]
        row: dict[str, Any] = {"term": label, "worst": _worst(beside, shared)}
        row["estimate"] = float(np.square(shared).sum() / np.square(beside).sum())
        if coefficients is not None:
            curve = beside @ coefficients[label]
            whole = float(curve @ curve)
            row["observed"] = float(np.square(shared @ coefficients[label]).sum() / whole) if whole > 0.0 else 0.0
        rows.append(row)
    return pd.DataFrame(rows)


def _worst(whole: Floats, shared: Floats) -> float:
    """Return the largest share over all curves, the largest eigenvalue of shared' shared in units of whole' whole."""
    root = np.linalg.qr(whole, mode="r")
    size = np.abs(np.diag(root))
    if len(root) < root.shape[1] or size.min() <= 1e-10 * size.max():  # columns of its own that are dependent
        values = np.linalg.svd(whole, full_matrices=False)
        kept = 1e-8 * values.S[0] < values.S
        return float(min(1.0, np.linalg.norm(values.U[: len(shared), kept], 2) ** 2))
    return float(min(1.0, np.linalg.norm(solve_triangular(root, shared.T, trans="T"), 2) ** 2))


def term_columns(predictor: Predictor) -> dict[str, Floats]:
    """Return the columns of every smooth by its label, and those of everything else under ``""``.

    Columns of a smooth: those of its population part, then those of its random blocks, level by level.
    """
    found: dict[str, list[Floats]] = {"": []}
    smooths = dict.fromkeys(block.label for block in predictor.random if block.kind == "smooth")
    for label in smooths:
        found[label] = []
    for part in predictor.fixed:
        found[part.label if part.label in smooths else ""].append(part.X)
    for block in predictor.random:
        if block.kind == "smooth" and len(block.levels) * len(block.terms) <= _WIDEST:
            found[block.label].append(dense(block))
    return {
        label: np.hstack(parts) if parts else np.zeros((predictor.n, 0))
        for label, parts in found.items()
        if parts or label == ""
    }


def dense(block: RandomBlock) -> Floats:
    """Return the columns of a block with a coefficient per level and term, shape (n, levels * terms)."""
    J, k = len(block.levels), len(block.terms)
    found = np.zeros((len(block.X), J * k))
    rows = np.flatnonzero(block.index >= 0)
    for j in range(k):
        found[rows, block.index[rows] * k + j] = block.X[rows, j]
    return found
