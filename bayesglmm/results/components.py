"""Principal components of group effects: how many directions their covariance really has, as lme4's ``rePCA``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesglmm.results.draws import stacked, summarise
from bayesglmm.results.levels import level_factor
from bayesglmm.results.tables import prefix_of

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem

MOST = 40  # coefficients, of which shares are a table to be read
NOTHING = 1e-4  # share of the variance, below which a direction is none


def components(problem: Problem, posterior: xr.Dataset, prob: float) -> pd.DataFrame:
    """Return the shares of variance of the principal components of each group term; see `Fit.components`."""
    draws, frames, notes = stacked(posterior), [], []
    for predictor in problem.predictors:
        for part in predictor.blocks:
            k = len(part.block.terms)
            if part.block.kind != "group" or not 2 <= k <= MOST:
                continue
            factor = level_factor(part, draws)
            values = np.linalg.svd(factor, compute_uv=False) ** 2
            total = values.sum(axis=-1, keepdims=True)
            shares = np.divide(values, total, out=np.full_like(values, np.nan), where=total > 0.0)
            frame = pd.DataFrame({"term": part.block.label, "component": np.arange(1, k + 1)})
            frames.append(frame.join(pd.DataFrame(summarise(shares, prob))))
            rank = int(np.sum(np.nanmedian(shares, axis=0) > NOTHING)) if np.isfinite(shares).any() else 0
            if rank < k:
                notes.append(
                    f"{prefix_of(problem, predictor)}{part.block.label}: {rank} of {k} directions have any variance; "
                    "a structure with fewer parameters describes these data as well."
                )
    empty = pd.DataFrame(columns=["term", "component", "mean", "sd", "lower", "upper"])
    found = pd.concat(frames, ignore_index=True) if frames else empty
    found.attrs["note"] = " ".join(notes)
    return found
