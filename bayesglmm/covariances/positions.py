"""Where the levels of a factor lie: the numbers that their names spell, as glmmTMB's ``numFactor`` writes them."""

from __future__ import annotations

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.covariances.base import Setting


def positions(setting: Setting, word: str) -> Floats:
    """Return the coordinates of the levels of an indexed term, shape (k, d).

    Parameters
    ----------
    setting : Setting
        With levels called ``3.5`` or ``(3.5,-1)``.
    word : str
        The structure, for messages.

    Raises
    ------
    FormulaError
        If a level is no position, or levels differ in their number of coordinates.
    """
    assert setting.index is not None
    found = [_numbers(level) for level in setting.index]
    for level, own in zip(setting.index, found, strict=True):
        if not own or len(own) != len(found[0]):
            setting.fail(
                f"`{word}` needs to know where the levels of `{setting.text}` lie; {level!r} is no position. Write a "
                f"numeric column, {word}(0 + time | {setting.group}), or coordinates, "
                f"{word}(0 + numFactor(x, y) | {setting.group})."
            )
    return np.array(found)


def _numbers(level: str) -> list[float]:
    """Return the finite numbers of a level's name; none if it is anything else."""
    text = level[1:-1] if level.startswith("(") and level.endswith(")") else level
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if np.all(np.isfinite(numbers)) else []


def lags(k: int) -> Floats:
    """Return how many steps apart k levels in their order are, shape (k, k)."""
    return np.asarray(np.abs(np.subtract.outer(np.arange(float(k)), np.arange(float(k)))))


def refuse_order_of_text(setting: Setting, word: str) -> None:
    """Refuse levels that are numbers in another order, as text is sorted: 1, 10, 2."""
    assert setting.index is not None
    numbers = [_numbers(level) for level in setting.index]
    if all(len(own) == 1 for own in numbers) and sorted(numbers) not in (numbers, numbers[::-1]):
        shown = ", ".join(setting.index[:6]) + (", ..." if len(setting.index) > 6 else "")
        setting.fail(
            f"`{word}` takes the levels of `{setting.text}` for neighbours in the order {shown}, which is that of "
            "text. Make the column numeric, or order its categories."
        )
