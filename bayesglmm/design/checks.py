"""Columns that cannot be told apart, and responses that a column separates."""

from __future__ import annotations

import numpy as np

from bayesglmm.blocks import FixedBlock, Floats, Response
from bayesglmm.design.separation import separation
from bayesglmm.errors import DataError
from bayesglmm.terms import Columns
from bayesglmm.terms.linear import LinearPart

TOLERANCE = 1e-9
"""A column counts as dependent when less than this share of its length is its own."""


def check_columns(block: FixedBlock, constant_elsewhere: bool, where: str = "") -> None:
    """Refuse constant, duplicate and linearly dependent columns.

    Parameters
    ----------
    block : FixedBlock
    constant_elsewhere : bool
        Whether a constant is in the model that is no column of the block (cutpoints).
    where : str
        Which term the columns belong to, for messages.

    Raises
    ------
    DataError
        Naming the columns and which to leave out.
    """
    X, names = block.X, list(block.columns)
    if constant_elsewhere:
        X, names = np.column_stack([np.ones(len(X)), X]), ["(the cutpoints)", *names]
    low, high = X.min(axis=0), X.max(axis=0)
    for j in np.flatnonzero(low == high):
        beside = constant_elsewhere or "Intercept" in names
        if names[j] in ("Intercept", "(the cutpoints)") or not (beside or low[j] == 0.0):
            continue
        raise DataError(
            f"`{names[j]}`{where} is constant ({low[j]:g} in every row): its effect cannot be told apart from the "
            "constant term. Leave it out."
        )
    found = _dependencies(X)
    if found:
        count, rows = len(found), len(X)
        lines = "; ".join(_explained(names, j, weights) for j, weights in found[:3])
        more = f"; and {count - 3} more" if count > 3 else ""
        short = f" There are {len(names)} columns but only {rows} rows." if len(names) > rows else ""
        drop = ", ".join(f"`{names[j]}`" for j, _ in found[:10])
        raise DataError(
            f"The columns{where} cannot be told apart (the design is rank deficient): {lines}{more}.{short} "
            f"Leave out {drop}, or another column of the same relation."
        )


def _explained(names: list[str], j: int, weights: Floats) -> str:
    parts = np.flatnonzero(weights).tolist()
    if len(parts) == 1:
        weight = weights[parts[0]]
        if abs(weight - 1) < 1e-9:
            return f"`{names[j]}` is identical to `{names[parts[0]]}`"
        return f"`{names[j]}` is {weight:.4g} times `{names[parts[0]]}`"
    shown = " ".join(f"{weights[i]:+.4g} `{names[i]}`" for i in parts[:8])
    return f"`{names[j]}` = {shown}{' ...' if len(parts) > 8 else ''}"


def _dependencies(X: Floats) -> list[tuple[int, Floats]]:
    """Return the columns that are combinations of earlier ones, with the weights of these, shape (p,).

    The data are reduced to a triangle in pieces, so no copy of their size is made; the earlier column of a relation
    is kept, as R does.
    """
    p = X.shape[1]
    gram = X.T @ X
    scale = np.sqrt(np.diag(gram))
    scale[scale == 0.0] = 1.0
    if _clearly_independent(gram / np.outer(scale, scale)):
        return []
    R = _triangle(X, scale)
    basis = np.zeros((len(R), p))
    kept: list[int] = []
    found: list[int] = []
    for j in range(p):
        own = R[:, j].copy()
        for _ in range(2):  # twice is enough for orthogonality to rounding
            own -= basis[:, : len(kept)] @ (basis[:, : len(kept)].T @ own)
        length = float(np.linalg.norm(own))
        if length < TOLERANCE:
            found.append(j)
        else:
            basis[:, len(kept)] = own / length
            kept.append(j)
    dependencies = []
    for j in found:
        earlier = [i for i in kept if i < j]
        weights = np.zeros(p)
        shares = np.linalg.lstsq(R[:, earlier], R[:, j], rcond=None)[0]
        shares[np.abs(shares) < 1e-7] = 0.0
        weights[earlier] = shares * scale[j] / scale[earlier]
        dependencies.append((j, weights))
    return dependencies


def _clearly_independent(gram: Floats) -> bool:
    """Return whether a product of unit columns shows that each has enough of its own; blind to close cases."""
    try:
        return bool(np.diag(np.linalg.cholesky(gram)).min(initial=1.0) > 1e-3)
    except np.linalg.LinAlgError:
        return False


def _triangle(X: Floats, scale: Floats) -> Floats:
    """Return R of the QR decomposition of the scaled columns, from pieces of rows."""
    p = X.shape[1]
    step = max(4 * p, 20_000)
    R = np.zeros((0, p))
    for start in range(0, len(X), step):
        R = np.linalg.qr(np.vstack([R, X[start : start + step] / scale]), mode="r")
    return R


def separated(linear: LinearPart, block: FixedBlock, columns: Columns, response: Response) -> list[str]:
    """Return sentences about levels and columns that decide a binary or binomial response completely.

    Levels and single columns are looked at one by one; where none decides, a linear programme looks for several.

    Parameters
    ----------
    linear : LinearPart
        Where the columns came from: a reference level has no column of its own.
    block : FixedBlock
    columns : Columns
    response : Response
    """
    trials = np.ones(len(response.y)) if response.trials is None else response.trials
    success, failure = response.y > 0, response.y < trials
    found: list[str] = []
    mains = {run.atoms[0] for run in linear.coded if len(run.atoms) == 1}
    for i in sorted(mains):
        atom = linear.atoms[i]
        if not atom.is_factor:
            continue
        codes = atom.factor(columns).codes
        successes = np.bincount(codes[success], minlength=len(atom.levels))
        failures = np.bincount(codes[failure], minlength=len(atom.levels))
        for level, s, f in zip(atom.levels, successes, failures, strict=True):
            if (s == 0) != (f == 0):
                found.append(f"every row with {atom.label} = {level} is a {'failure' if s == 0 else 'success'}")
    covered = {atom.label for i, atom in enumerate(linear.atoms) if i in mains and atom.is_factor}
    for j, (name, term) in enumerate(zip(block.columns, block.terms, strict=True)):
        if name == "Intercept" or term in covered:
            continue
        x0, x1 = block.X[failure, j], block.X[success, j]
        if x0.size and x1.size and (x0.max() <= x1.min() or x1.max() <= x0.min()):
            found.append(f"`{name}` separates successes from failures")
    if not found:
        direction = separation("binomial", response, block.X, block.columns)
        if direction is not None:
            found.append(
                f"the combination {direction.combination} separates successes from failures (it decides "
                f"{direction.rows:,} of {direction.total:,} rows)"
            )
    return found
