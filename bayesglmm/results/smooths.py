"""Smooths of a fit: which there are, and the values of one of them alone, draw by draw."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Block, FixedBlock, Floats, RandomBlock
from bayesglmm.errors import BayesglmmError, UnknownNameError, did_you_mean
from bayesglmm.results.draws import stacked
from bayesglmm.results.tables import prefix_of

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import PredictorParts
    from bayesglmm.results.fit import Fit
    from bayesglmm.terms import Smooth


@dataclass(frozen=True, eq=False)
class FittedSmooth:
    """A smooth of a fit.

    Attributes
    ----------
    label : str
        As users write it: ``s(x)``, ``s(x):f[b]``, ``sigma.s(x)`` for another family parameter.
    parameter : str
        The family parameter whose predictor it is part of.
    smooth : Smooth
        Covariates (`covariates`, `names`), where it met data (`points`), its `by` and `level`, or its `factor` and
        `levels`.
    """

    label: str
    parameter: str
    smooth: Smooth


def fitted_smooths(fit: Fit) -> tuple[FittedSmooth, ...]:
    """Return every smooth of a fit, in the order of the formula.

    Raises
    ------
    BayesglmmError
        If the fit does not hold its design.
    """
    if fit.design is None:
        raise BayesglmmError("This fit does not hold its design; smooths cannot be evaluated without it.")
    found = []
    for part in fit.problem.predictors:
        name, prefix = part.names.parameter, prefix_of(fit.problem, part)
        found += [FittedSmooth(f"{prefix}{smooth.label}", name, smooth) for smooth in fit.design.smooths[name]]
    return tuple(found)


def find_smooths(fit: Fit, label: str) -> tuple[FittedSmooth, ...]:
    """Return the curves that a label means: one, or with ``by=`` of a factor one for each level.

    Parameters
    ----------
    fit : Fit
    label : str
        ``"s(age)"`` with any white space, ``"s(age):sex[male]"`` for one curve, or just the covariates: ``"age"``,
        ``"lon, lat"``.

    Raises
    ------
    UnknownNameError
        If there is none, or the covariates are those of several terms; lists the smooths.
    """
    every = fitted_smooths(fit)
    wanted = _plain(label)
    exact = tuple(found for found in every if _plain(found.label) == wanted)
    if exact:
        return exact
    for names in (_term, _covariates, _columns):
        chosen = tuple(found for found in every if _plain(names(found)) == wanted)
        terms = dict.fromkeys(_term(found) for found in chosen)
        if len(terms) > 1:
            raise UnknownNameError(f"{label!r} could be any of {', '.join(terms)}: say which.")
        if chosen:
            return chosen
    if not every:
        raise UnknownNameError(f"There is no smooth {label!r}: this model has none. Smooths are written s(x).")
    raise UnknownNameError(f"There is no smooth {label!r}. {did_you_mean(label, [found.label for found in every])}")


def find_smooth(fit: Fit, label: str) -> FittedSmooth:
    """Return the one curve that a label means; see `find_smooths`.

    Raises
    ------
    UnknownNameError
        If there is none, or several: then it lists them.
    """
    found = find_smooths(fit, label)
    if len(found) > 1:
        shown = ", ".join(each.label for each in found)
        raise UnknownNameError(f"{label!r} has a curve for each level: say which of {shown}.")
    return found[0]


def smooth_values(
    fit: Fit, label: str | FittedSmooth, data: Any, draws: int | None = None, at_estimates: bool = False
) -> Floats:
    """Return what one smooth adds to the linear predictor, at new covariate values, under every draw.

    Parameters
    ----------
    fit : Fit
        For maximum likelihood fits the draws are those of the asymptotic normal distribution.
    label : str or FittedSmooth
        As for `find_smooth`.
    data : DataFrame or mapping
        The covariates of the smooth; other columns are ignored. A numeric `by` that is not among them counts as 1:
        the curve per unit of it; so does that of ``s(x, by=x)``. A factor that tells curves apart is fixed by the
        label.
    draws : int, optional
        Use this many draws, evenly spaced; all if absent.
    at_estimates : bool
        Of a maximum likelihood fit: the values at the estimates, as the only draw.

    Returns
    -------
    ndarray, shape (S, n)
        On the scale of the link; sums to zero over the data of the model where that has a constant.
    """
    found = find_smooth(fit, label) if isinstance(label, str) else label
    posterior = fit.point if at_estimates else fit.draws
    part = next(part for part in fit.problem.predictors if part.names.parameter == found.parameter)
    assert fit.design is not None  # fitted_smooths has seen to that
    blocks = fit.design.curve(found.parameter, found.smooth.label, data)
    return contribution(part, posterior, blocks, draws)


def contribution(
    part: PredictorParts, posterior: xr.Dataset, blocks: Sequence[Block], draws: int | None = None
) -> Floats:
    """Return what some blocks of a predictor add to it, shape (S, n).

    Parameters
    ----------
    part : PredictorParts
        The predictor.
    posterior : xarray.Dataset
    blocks : sequence of Block
        With the names of the model's columns and blocks, for any rows; none where nothing of a smooth is left.
    draws : int, optional
    """
    rows = next((len(block.X) for block in blocks if isinstance(block, FixedBlock | RandomBlock)), part.predictor.n)
    names = [part.names.beta, *(block.names.b for block in part.blocks)]
    values = stacked(posterior[[name for name in names if name in posterior]], draws)
    size = posterior.sizes["chain"] * posterior.sizes["draw"]
    total = np.zeros((size if draws is None else min(size, draws), rows))
    for block in blocks:
        if isinstance(block, FixedBlock) and block.columns:
            place = {column: j for j, column in enumerate(part.predictor.columns)}
            beta = values[part.names.beta][:, [place[column] for column in block.columns]]
            total = total + beta @ block.X.T
        elif isinstance(block, RandomBlock):
            own = next(each for each in part.blocks if each.block.label == block.label)
            total = total + _random(values[own.names.b], block)
    return total


def _random(b: Floats, block: RandomBlock) -> Floats:
    if len(block.levels) == 1:
        return np.asarray(b[:, 0] @ block.X.T)
    total = np.zeros((len(b), len(block.X)))
    order = np.argsort(block.index, kind="stable")  # rows level by level, so that each level looks at its own only
    levels, starts = np.unique(block.index[order], return_index=True)
    for level, rows in zip(levels.tolist(), np.split(order, starts[1:]), strict=True):
        if level >= 0:
            total[:, rows] = b[:, level] @ block.X[rows].T
    return total


def _plain(text: str) -> str:
    return re.sub(r"[\s`]+", "", text)


def _term(found: FittedSmooth) -> str:
    return found.label.removesuffix(found.smooth.label) + found.smooth.term


def _covariates(found: FittedSmooth) -> str:
    return found.label.removesuffix(found.smooth.label) + ",".join(found.smooth.covariates)


def _columns(found: FittedSmooth) -> str:
    return found.label.removesuffix(found.smooth.label) + ",".join(found.smooth.names)
