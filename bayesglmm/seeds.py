"""Seeds: what users may pass, and the one that is drawn where they pass none. A leaf but for `errors`."""

from __future__ import annotations

import numpy as np

from bayesglmm.errors import SettingsError


def checked_seed(seed: int | None) -> int:
    """Return a seed that can be recorded: the user's, or a fresh one.

    Parameters
    ----------
    seed : int or None

    Raises
    ------
    SettingsError
        If it is not a non-negative integer below 2**32.
    """
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise SettingsError(f"seed must be an integer between 0 and 2**32 - 1, not {seed!r}.")
    return int(seed)
