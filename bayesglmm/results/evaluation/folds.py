"""How rows are divided into folds."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Ints
from bayesglmm.errors import SettingsError

EACH = "each"


def row_folds(n: int, k: Any, rng: np.random.Generator) -> list[Ints]:
    """Return k folds of rows at random, of equal size as far as possible.

    Parameters
    ----------
    n : int
    k : int or "each"
        ``"each"``: one fold per row.
    rng : numpy.random.Generator
    """
    count = n if k == EACH else _checked(k, n, "rows")
    return _dealt(rng.permutation(n), count)


def stratified_folds(strata: Any, k: Any, rng: np.random.Generator) -> list[Ints]:
    """Return k folds in each of which every stratum has its share of rows.

    Parameters
    ----------
    strata : sequence, length n
    k : int
    rng : numpy.random.Generator
    """
    count = _checked(k, len(strata), "rows")
    codes, _ = pd.factorize(pd.Series(strata), sort=True)
    mixed = rng.permutation(len(codes))
    return _dealt(mixed[np.argsort(codes[mixed], kind="stable")], count)


def group_folds(groups: Any, k: Any, rng: np.random.Generator) -> list[Ints]:
    """Return folds that hold all rows of their groups; groups are dealt out at random.

    Parameters
    ----------
    groups : sequence, length n
    k : int or "each"
        ``"each"``, or at least as many as there are groups: one fold per group.
    rng : numpy.random.Generator
    """
    codes, names = pd.factorize(pd.Series(groups), sort=True)
    count = len(names) if k == EACH else min(_checked(k, len(codes), "rows"), len(names))
    if len(names) < 2:
        raise SettingsError(
            "Cross-validation by group needs at least two groups; here every row has "
            f"{names[0]!r}. Without groups= rows are held out."
        )
    order = np.arange(len(names)) if count == len(names) else rng.permutation(len(names))
    return [np.flatnonzero(np.isin(codes, own)) for own in _dealt(order, count)]


def names_of(groups: Any, fold: Ints) -> tuple[Hashable, ...]:
    """Return the groups of the rows of a fold."""
    return tuple(dict.fromkeys(np.asarray(groups, dtype=object)[fold]))


def _dealt(order: Ints, count: int) -> list[Ints]:
    return [np.sort(order[start::count]) for start in range(count)]


def _checked(k: Any, most: int, what: str) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 2 <= k <= most:
        raise SettingsError(f'k must be "each" or a whole number from 2 to {most:,} (the {what}), not {k!r}.')
    return int(k)
