"""Posterior draws as plain arrays: stacked, thinned, cut into pieces that fit into memory; their summaries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError, SettingsError
from bayesglmm.seeds import checked_seed

if TYPE_CHECKING:
    import xarray as xr

# Numbers in one temporary array (128 MiB of floats). Fixed, not read from the machine: seeded results depend on it.
PIECE = 2**24
STATISTICS = ("mean", "sd", "lower", "upper")


def stacked(posterior: xr.Dataset, draws: int | None = None) -> dict[str, Floats]:
    """Return every posterior variable with chains stacked.

    Parameters
    ----------
    posterior : xarray.Dataset
        Variables of shape (chains, draws, ...).
    draws : int, optional
        Keep this many, evenly spaced over all chains; all if absent.

    Returns
    -------
    dict of str to ndarray, shape (S, ...)
    """
    values = {str(name): variable.values for name, variable in posterior.data_vars.items()}
    flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in values.items()}
    if draws is None:
        return flat
    chosen = spaced(posterior.sizes["chain"] * posterior.sizes["draw"], draws)
    return {name: array[chosen] for name, array in flat.items()}


def spaced(total: int, wanted: int) -> Any:
    """Return positions of `wanted` of `total` draws, evenly spaced, shape (wanted,)."""
    if isinstance(wanted, bool) or not isinstance(wanted, int | np.integer) or not 1 <= wanted <= total:
        raise SettingsError(
            f"draws must be a whole number from 1 to {total} (the draws of this fit), not {wanted!r}."
        )
    return (np.arange(wanted) * total) // wanted


def pieces(total: int, width: int) -> Iterator[slice]:
    """Yield slices of ``range(total)`` such that a slice times `width` numbers stays within one piece of memory."""
    step = max(1, PIECE // max(width, 1))
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


def interval(prob: float) -> tuple[float, float]:
    """Return the levels of the two quantiles that enclose the central share `prob`."""
    if isinstance(prob, bool) or not isinstance(prob, int | float | np.number) or not 0 < prob < 1:
        raise SettingsError(f"prob must be a number between 0 and 1, such as 0.95, not {prob!r}.")
    return (1.0 - float(prob)) / 2.0, (1.0 + float(prob)) / 2.0


def summarise(values: Any, prob: float) -> dict[str, Floats]:
    """Return mean, standard deviation and equal-tailed interval over the draws.

    Parameters
    ----------
    values : ndarray, shape (S, ...)
    prob : float
        Posterior probability of the interval.

    Returns
    -------
    dict of str to ndarray, shape (...)
        Keys ``mean``, ``sd``, ``lower``, ``upper``. Draws that are constant have sd 0 exactly.
    """
    levels = interval(prob)
    values = np.asarray(values, dtype=float)
    size, shape = len(values), values.shape[1:]
    flat = values.reshape(size, -1)
    found = {name: np.empty(flat.shape[1]) for name in STATISTICS}
    for part in pieces(flat.shape[1], size):
        # One contiguous row per quantity: sums and the partial sorts of quantiles then run through the cache.
        rows = np.array(flat[:, part].T, order="C")  # a copy, since the quantiles sort in place
        found["mean"][part] = rows.mean(axis=1)
        found["sd"][part] = _spread(rows)
        found["lower"][part], found["upper"][part] = np.quantile(rows, levels, axis=1, overwrite_input=True)
    return {name: array.reshape(shape) for name, array in found.items()}


def _spread(rows: Floats) -> Floats:
    if rows.shape[1] < 2:
        return np.zeros(len(rows))
    constant = (rows == rows[:, :1]).all(axis=1)
    return np.where(constant, 0.0, rows.std(axis=1, ddof=1))


def require_memory(shape: tuple[int, ...], what: str) -> None:
    """Raise before an array is made that would take more than half of the machine's memory."""
    size = float(np.prod([float(n) for n in shape])) * 8.0
    limit = 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > limit:
        raise BayesglmmError(
            f"{what} for {shape[-1]:,} rows would take {size / 2**30:.1f} GiB, more than half of this machine's "
            f"memory. Ask for fewer draws: draws={max(1, int(limit / 8.0 / shape[-1])):d} would fit."
        )


def require_count(name: str, value: Any) -> None:
    """Raise unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise SettingsError(f"{name} must be a whole number of at least 1, not {value!r}.")


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the allowed words."""
    if value not in allowed:
        raise SettingsError(f"{name}={value!r} is not known. Choose one of {', '.join(map(repr, allowed))}.")


def seeded(seed: int | None) -> np.random.Generator:
    """Return a generator; same seed, same numbers, and no seed means fresh ones.

    Raises
    ------
    SettingsError
        If the seed is not a non-negative integer below 2**32.
    """
    return np.random.default_rng(checked_seed(seed))


def take(draws: Mapping[str, Floats], part: slice) -> dict[str, Floats]:
    """Return a slice of every variable along its first axis."""
    return {name: values[part] for name, values in draws.items()}
