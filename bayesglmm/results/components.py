"""Principal components of group effects: how many directions their covariance really has, as lme4's ``rePCA``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.results.draws import stacked, summarise
from bayesglmm.results.levels import level_factor, level_values
from bayesglmm.results.tables import prefix_of

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import BlockParts, Problem

MOST = 40  # coefficients, of which shares are a table to be read
NOTHING = 1e-4  # share of the variance, below which a direction is none


def components(problem: Problem, posterior: xr.Dataset, prob: float) -> pd.DataFrame:
    """Return the shares of variance of the principal components of each group term; see `Fit.components`."""
    draws, frames, notes = stacked(posterior), [], []
    for predictor in problem.predictors:
        for part in predictor.blocks:
            k = len(part.block.terms)
            words = _doubts(part, draws)
            if words:
                notes.append(f"{prefix_of(problem, predictor)}{part.block.label}: {words}.")
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


def _doubts(part: BlockParts, draws: Mapping[str, Floats]) -> str:
    """Return what a structure amounts to at the medians of its parameters."""
    values = {
        name: np.median(own, axis=0) for name, own in level_values(part, draws).items() if name in part.parameters
    }
    with np.errstate(all="ignore"):  # a range has no value beside a standard deviation of zero
        return part.covariance.doubts(part.block.constants | values, part.block)
