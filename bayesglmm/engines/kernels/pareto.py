"""Pareto smoothing of importance ratios (Vehtari, Simpson, Gelman, Yao and Gabry 2024)."""

from __future__ import annotations

import numpy as np

from bayesglmm.blocks import Floats

TRUSTED = 0.7  # k up to which smoothed weights work


def generalised_pareto(exceedances: Floats) -> tuple[float, float]:
    """Return shape k and scale of a generalised Pareto distribution, by Zhang and Stephens (2009).

    Parameters
    ----------
    exceedances : ndarray, shape (m,)
        Positive, increasing.
    """
    m = len(exceedances)
    count = 30 + int(np.sqrt(m))
    quartile = exceedances[int(m / 4 + 0.5) - 1]
    b = 1.0 / exceedances[-1] + (1.0 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))) / (3.0 * quartile)
    k = np.log1p(-b[:, None] * exceedances).mean(axis=1)
    profile = m * (np.log(-b / k) - k - 1.0)
    weights = 1.0 / np.exp(profile - profile[:, None]).sum(axis=1)
    chosen = float((b * weights).sum() / weights.sum())
    shape = float(np.log1p(-chosen * exceedances).mean())
    # A weak prior at 0.5, worth ten observations, as the paper has it.
    return (m * shape + 5.0) / (m + 10.0), -shape / chosen


def smoothed(log_ratio: Floats) -> tuple[Floats, float]:
    """Return normalised weights with a smoothed upper tail, and k-hat.

    Parameters
    ----------
    log_ratio : ndarray, shape (draws,)

    Returns
    -------
    weights : ndarray, shape (draws,)
        Sum to one.
    khat : float
        Below 0.7 the weighted means can be trusted; infinite where there are too few draws to tell.
    """
    log_weight = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
    log_weight = log_weight - log_weight.max()
    draws = len(log_weight)
    tail = int(min(0.2 * draws, 3.0 * np.sqrt(draws)))
    khat = np.inf
    if tail >= 5:
        order = np.argsort(log_weight, kind="stable")
        members, cut = order[-tail:], float(np.exp(log_weight[order[-tail - 1]]))
        exceedances = np.exp(log_weight[members]) - cut
        if exceedances[0] > 0 and exceedances[-1] > 1e-12:
            khat, scale = generalised_pareto(exceedances)
            uniform = (np.arange(tail) + 0.5) / tail
            shift = (
                -np.log1p(-uniform) * scale
                if abs(khat) < 1e-9
                else scale * np.expm1(-khat * np.log1p(-uniform)) / khat
            )
            log_weight = log_weight.copy()
            log_weight[members] = np.minimum(np.log(cut + shift), 0.0)
        else:
            # Ratios that are all alike have no tail at all.
            khat = 0.0 if exceedances[-1] <= 1e-12 else np.inf
    weights = np.exp(log_weight - log_weight.max())
    return weights / weights.sum(), float(khat)
