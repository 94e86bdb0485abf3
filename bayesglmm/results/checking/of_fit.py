"""Findings about model and data that need a fit: curves that others draw, standard deviations at zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.results.checking.findings import Structure, findings
from bayesglmm.results.checks import Check
from bayesglmm.results.tables import Parameter

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem

_NEAR = 0.03  # lower over upper end of the interval: 0.15 where a standard deviation is known to a factor of two


def model_findings(
    problem: Problem, point: xr.Dataset, parameters: Sequence[Parameter], told: Sequence[str] = ()
) -> list[Check]:
    """Return the findings about a fitted model.

    Parameters
    ----------
    problem : Problem
    point : xarray.Dataset
        One value of every posterior variable.
    parameters : sequence of Parameter
        With their draws; one draw each for maximum likelihood.
    told : sequence of str
        Names of checks of the computation: what these say is not said again.
    """
    found = findings(Structure.of(problem), _curves(problem, point))
    if "identified" in told:
        found = [check for check in found if check.name != "one-row groups"]
    return [*found, *_boundary(parameters)]


def _curves(problem: Problem, point: xr.Dataset) -> dict[str, dict[str, Floats]]:
    """Return the coefficients of every smooth by family parameter and label, ordered as `concurvity.term_columns`."""
    found: dict[str, dict[str, Floats]] = {}
    for part in problem.predictors:
        own: dict[str, list[Any]] = {}
        for block in part.blocks:
            if block.block.kind == "smooth":
                own[block.block.label] = []
        start = 0
        for fixed in part.predictor.fixed:
            stop = start + len(fixed.columns)
            if fixed.label in own:
                own[fixed.label].append(np.ravel(point[part.names.beta].values)[start:stop])
            start = stop
        for block in part.blocks:
            if block.block.kind == "smooth":
                own[block.block.label].append(np.ravel(point[block.names.b].values))
        found[part.names.parameter] = {label: np.concatenate(values) for label, values in own.items()}
    return found


def _boundary(parameters: Sequence[Parameter]) -> Iterator[Check]:
    for parameter in parameters:
        values = np.ravel(parameter.values)
        if parameter.kind != "sd" or parameter.smooth or values.size < 100:
            continue
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
        if not high > 0.0 or low > _NEAR * high:
            continue
        yield Check(
            "boundary",
            float(low / high),
            f">= {_NEAR}",
            "check",
            f"{parameter.label} cannot be told from zero: its median is {middle:.2g}, its 95% interval {low:.2g} to "
            f"{high:.2g}.",
            f"The data do not show that {parameter.term} varies between levels of {parameter.group}, nor that it "
            "does not.",
            "Keep it if it belongs to the design; else compare with the model without it.",
            "model",
            (parameter.label,),
        )


def labels_by_block(problem: Problem) -> Mapping[str, str]:
    """Return by the label of a standard deviation the label of the term that it belongs to."""
    found = {}
    for part in problem.predictors:
        for block, classes in zip(part.blocks, problem.priors.blocks[part.names.parameter], strict=True):
            for slots in classes.values():
                for slot in slots:
                    found[slot.label] = block.block.label
    return found
