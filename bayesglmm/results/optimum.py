"""Checks of maximum likelihood estimates: is there a maximum, did the search end there, what is not estimated?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.results.checks import Check
from bayesglmm.results.wald import Wald

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem

_NAMED = 5  # coefficients
NEARLY_ZERO = "nearly zero"
SINGULAR = 1e-3
"""Smallest eigenvalue of a correlation matrix, below which it has not full rank."""


def optimum_checks(
    problem: Problem, convergence: Mapping[str, Any], estimates: xr.Dataset | None = None
) -> list[Check]:
    """Return the checks of maximum likelihood estimates.

    Parameters
    ----------
    problem : Problem
    convergence : mapping
        As `bayesglmm.results.facts` keeps it.
    estimates : xarray.Dataset, optional
        With standard errors, for what is nearly zero.
    """
    return [
        _maximum(convergence),
        _boundary(convergence["boundary"], () if estimates is None else _singular(problem, estimates)),
        *(() if estimates is None or not has_maximum(convergence) else _nearly_zero(problem, estimates)),
        *_not_told_apart(problem),
    ]


def _boundary(zero: Sequence[str], singular: Sequence[str]) -> Check:
    """Say which standard deviations are zero, and which correlation matrices have not full rank."""
    if singular:
        return Check(
            "boundary",
            float(len(zero) + len(singular)),
            "0",
            "check",
            f"Estimated at the edge of what they can be: {', '.join(singular)}.",
            "The data cannot tell so many effects per level apart. It is a proper maximum, but what depends on the "
            "edge has no standard error, and those of the others hold it fixed.",
            'Leave out a term, write || for |, or use model.fit("laplace"), whose prior keeps correlations inside.',
        )
    return Check(
        "boundary",
        float(len(zero)),
        "reported only",
        "good",
        f"Estimated as zero: {', '.join(zero)}." if zero else "No standard deviation is zero.",
        "That is a proper maximum; it says that the data show no such variation, not that there is none."
        if zero
        else "",
    )


def _singular(problem: Problem, estimates: xr.Dataset) -> list[str]:
    """Return what is to be said of every correlation matrix without full rank; those with a zero beside say it so."""
    found = []
    for part in problem.blocks:
        if not part.of_kind("correlation"):
            continue
        matrix = np.asarray(estimates[part.names.variable("cor")].to_numpy(), dtype=float)
        values = np.linalg.eigvalsh(matrix) if np.isfinite(matrix).all() else np.ones(1)
        if values[0] < SINGULAR:
            rank = int(np.sum(values >= SINGULAR))
            found.append(f"the correlations of {part.block.group} (rank {rank} of {len(values)})")
    return found


def _nearly_zero(problem: Problem, estimates: xr.Dataset) -> Iterator[Check]:
    """Find standard deviations whose standard errors exceed them: Wald's interval on the log scale says nothing."""
    wald = Wald(problem, estimates)
    table = wald.describe(wald.parameters, 0.95)[["estimate", "se", "lower", "upper"]].to_numpy(dtype=float)
    for parameter, (value, error, low, high) in zip(wald.parameters, table, strict=True):
        if parameter.kind != "sd" or not value > 0.0 or not error > value:
            continue
        yield Check(
            NEARLY_ZERO,
            float(error / value),
            "reported only",
            "good",
            f"{parameter.label} is estimated as {value:.2g}, nearly zero, with a standard error of {error:.2g}.",
            f"Its Wald interval, {low:.1g} to {high:.1g}, is symmetric for the logarithm, which has no end at zero: "
            f'do not read it. fit.profile("{parameter.label}") has an interval that can begin at zero.',
            parameters=(parameter.label,),
        )


def has_maximum(convergence: Mapping[str, Any]) -> bool:
    """Return whether every population coefficient has a finite estimate."""
    return not convergence.get("unbounded")


def _maximum(convergence: Mapping[str, Any]) -> Check:
    if not has_maximum(convergence):
        labels = convergence["unbounded"]
        more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
        several = len(labels) > 1
        return Check(
            "maximum",
            0.0,
            "found",
            "bad",
            f"The likelihood has no maximum: it rises for ever as {', '.join(labels[:_NAMED])}{more} "
            f"grow{'' if several else 's'} in size.",
            "Predictors or groups decide some responses completely (separation), so that no finite estimate is best; "
            f"{'these coefficients are' if several else 'this coefficient is'} where the search stopped.",
            'Use model.fit("laplace"), whose priors keep estimates finite, or drop or merge the predictors and '
            "levels concerned.",
        )
    found = bool(convergence["converged"])
    return Check(
        "maximum",
        float(found),
        "found",
        "good" if found else "bad",
        "The search ended at a maximum." if found else "The search for the maximum did not converge.",
        "" if found else "Estimates and standard errors are those of wherever it stopped.",
        ""
        if found
        else "Scale large predictors, drop the group terms that the data cannot tell apart, or use "
        'model.fit("laplace"): priors make the answer well defined.',
    )


def _not_told_apart(problem: Problem) -> Iterator[Check]:
    groups = beside_residual(problem)
    if groups:
        names = ", ".join(groups)
        yield Check(
            "identified",
            float(len(groups)),
            "0",
            "check",
            f"{names} has one row per level: its standard deviation and the residual's cannot be told apart.",
            "Only the sum of their variances is estimated; how the search shared it out means nothing.",
            f"Drop the intercept of {names}.",
        )


def beside_residual(problem: Problem) -> list[str]:
    """Return the grouping factors whose effects add the same variance to every row as the residual does.

    Those are random intercepts of unrelated levels with one row each, where the response is normal around its linear
    predictor with one residual standard deviation for all rows.
    """
    main, response = problem.predictors[0], problem.response
    spread = problem.dispersions.get("sigma")
    if not problem.family.normal_residual or problem.links[main.names.parameter].name != "identity":
        return []
    if spread is None or not spread.is_free or response.lower is not None or response.upper is not None:
        return []
    if response.weights is not None and np.ptp(response.weights) > 0.0:
        return []
    return [
        part.block.group
        for part in main.blocks
        if part.block.kind == "group"
        and not part.covariance.new_levels  # effects that are related differ from a residual
        and len(part.block.levels) == response.n
        and any(np.ptp(column) == 0.0 for column in part.block.X.T)
    ]
