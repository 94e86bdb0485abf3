"""The likelihood at parameters that another program printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special

from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.graph.latent import LatentView

# glmmTMB's names of the parts of a model
PART = {"mu": "cond", "zi": "zi", "shape": "disp", "sigma": "disp"}


def part_of(block: dict[str, Any], parameter: str) -> dict[str, Any]:
    """Return what `fixef` or `sd_cor` has for one family parameter; lme4 and clmm know one part only."""
    found: dict[str, Any] = block.get(PART[parameter], {} if "cond" in block else block)
    return found


def standard_deviations(block: dict[str, Any], parameter: str) -> dict[tuple[str, str], float]:
    """Return standard deviations by group and term."""
    found = {}
    for label, own in part_of(block["sd_cor"], parameter).items():
        group = label.partition(".")[0]  # lme4 numbers further terms of one factor: Subject.1
        for term, sd in zip(np.atleast_1d(own["terms"]), np.atleast_1d(own["sd"]), strict=True):
            found[group, "Intercept" if term == "(Intercept)" else str(term)] = float(sd)
    return found


def _theta(view: LatentView, block: dict[str, Any]) -> Any:
    """Return the unconstrained hyperparameters whose natural values are those of the reference."""
    problem = view.problem
    targets: dict[str, Any] = {}
    for predictor in problem.predictors:
        sds = standard_deviations(block, predictor.names.parameter)
        correlations = [np.array(p["corr"]) for p in part_of(block["sd_cor"], predictor.names.parameter).values()]
        for random in predictor.blocks:
            (scale,) = random.of_kind("scale").values()
            targets[scale.name] = np.log([sds[random.block.group, random.block.terms[j]] for j in scale.free])
            for matrix in random.of_kind("correlation").values():
                (targets[matrix.name],) = [C[np.tril_indices(len(C), -1)] for C in correlations if len(C) > 1]
    for name, declared in problem.dispersions.items():
        if name == "cutpoints":
            shift = np.array(list(block["fixef"].values())) @ problem.cutpoint_shift
            targets[name] = np.array(list(block["cutpoints"].values())) - shift
        elif name == "zi":
            targets[name] = np.log([special.expit(block["fixef"]["zi"]["(Intercept)"])])
        elif declared.is_free:
            targets[name] = np.log([block["sigma"]])

    def gap(theta: Any) -> Any:
        found, natural = [], view.natural(theta)
        for name, target in targets.items():
            value = np.asarray(natural[name])
            if value.ndim == 2:
                found.append((value @ value.T)[np.tril_indices(len(value), -1)] - target)
            else:
                found.append((value if name == "cutpoints" else np.log(value)) - target)
        return np.concatenate([np.ravel(each) for each in found])

    solved = optimize.root(gap, view.initial_theta, tol=1e-13)
    assert np.abs(gap(solved.x)).max() < 1e-9
    return solved.x


def likelihood_at(problem: Any, block: dict[str, Any], kind: str = "ml", nodes: int = 1) -> float:
    """Return our (restricted) log-likelihood at the parameters of a reference block."""
    view = LatentView(problem)
    theta = _theta(view, block)
    if kind == "reml":
        return LaplaceObjective(view, "reml").mode(theta).log_marginal
    beta = [
        # a gaussian dispersion formula of glmmTMB 1.1.5 is for log sigma^2
        np.array(list(part_of(block["fixef"], p.names.parameter).values()))
        * (0.5 if p.names.parameter == "sigma" else 1)
        for p in problem.predictors
    ]
    if nodes > 1:
        return Quadrature(view, nodes)(theta, np.concatenate(beta))[0]
    return LaplaceObjective(view, "ml").mode(np.concatenate([theta, *beta])).log_marginal


@pytest.fixture(scope="session")
def at() -> Callable[..., float]:
    """Return `likelihood_at`."""
    return likelihood_at


@pytest.fixture(scope="session")
def sds_of() -> Callable[..., dict[tuple[str, str], float]]:
    """Return `standard_deviations`."""
    return standard_deviations
