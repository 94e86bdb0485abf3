"""Small problems made by hand, with draws from a known distribution: nothing here samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bayesglmm.blocks import FixedBlock, OffsetBlock, Predictor, RandomBlock, Response
from bayesglmm.engines.base import Run
from bayesglmm.families import FAMILIES
from bayesglmm.graph.build import build
from bayesglmm.graph.slots import prior_table
from bayesglmm.links import LINKS
from bayesglmm.results import Fit

CHAINS, DRAWS, N, LEVELS = 4, 250, 40, 5


@dataclass
class FakeModel:
    """What `Fit.from_run` asks of a model."""

    formula: Any
    problem: Any
    design: Any = None


@dataclass
class Case:
    """A problem, and fits of it whose draws are independent: normal coefficients, log-normal scales."""

    problem: Any
    formula: str

    def draws(self, chains: int = CHAINS, draws: int = DRAWS, noise: float = 1.0) -> dict[str, Any]:
        rng, found = np.random.default_rng(7), {}
        for variable in self.problem.model.free_RVs:
            shape = tuple(int(n) for n in variable.shape.eval(mode="FAST_COMPILE"))
            z = rng.normal(size=(chains, draws, *shape))
            if variable.name.startswith("cholesky"):
                rho = np.tanh(0.3 + 0.2 * z[..., 1, 0] * noise)
                found[variable.name] = np.zeros_like(z)
                found[variable.name][..., 0, 0] = 1.0
                found[variable.name][..., 1, 0] = rho
                found[variable.name][..., 1, 1] = np.sqrt(1.0 - rho**2)
            elif "u_" in variable.name or "beta" in variable.name:
                found[variable.name] = 0.5 * z * noise
            else:
                found[variable.name] = np.exp(-0.3 + 0.2 * z * noise)
            if variable.name == "cutpoints":
                found[variable.name] = np.sort(found[variable.name], axis=-1)
        return found

    def run(self, **changes: Any) -> Run:
        draws = changes.pop("draws", None) or self.draws(**changes.pop("shape", {}))
        chains, length = next(iter(draws.values())).shape[:2]
        stats = {
            "diverging": np.zeros((chains, length), dtype=bool),
            "energy": np.random.default_rng(8).normal(size=(chains, length)),
            "reached_max_treedepth": np.zeros((chains, length), dtype=bool),
        } | changes.pop("stats", {})
        return Run(draws, stats, {"compile": 8.0, "sample": 4.25}, **changes)

    def fit(self, run: Run | None = None, settings: dict[str, Any] | None = None, design: Any = None) -> Fit:
        run = run or self.run()
        length = next(iter(run.draws.values())).shape[1]
        settings = {"draws": length, "target_accept": 0.9} | (settings or {})
        model = FakeModel(self.formula, self.problem, design)
        return Fit.from_run(model, run, engine="nuts", settings=settings, seed=1, seconds={"build": 0.25})


def predictor(
    name: str = "mu", covariance: str = "us", offset: bool = False, seed: int = 0, n: int = N, crossed: bool = False
) -> Predictor:
    """Return ``1 + x + (1 + x | g)``, perhaps with a crossed ``(1 | h)`` and an offset."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    index = rng.integers(0, LEVELS, n).astype(np.intp)
    levels = tuple("abcde")
    blocks = [RandomBlock("(1 + x | g)", "g", ("Intercept", "x"), levels, index, X, covariance)]
    if crossed:
        other = rng.integers(0, 3, n).astype(np.intp)
        blocks.append(RandomBlock("(1 | h)", "h", ("Intercept",), ("u", "v", "w"), other, X[:, :1], "diag"))
    fixed = FixedBlock("fixed", ("Intercept", "x"), ("Intercept", "x"), X, 0)
    offsets = (OffsetBlock("offset(t)", rng.normal(size=n)),) if offset else ()
    return Predictor(name, n, (fixed,), tuple(blocks), offsets)


def make(
    family: str,
    link: str,
    response: Response,
    predictors: dict[str, Predictor] | None = None,
    links: dict[str, str] | None = None,
    priors: Any = None,
    formula: str = "y ~ x + (1 + x | g)",
    rows: Any = None,
) -> Case:
    member = FAMILIES.get(family)
    predictors = predictors or {"mu": predictor()}
    chosen = {name: LINKS.get((links or {}).get(name, link)) for name in predictors}
    main = member.main_predictors(response)
    table = prior_table(member, predictors, member.scale(response, chosen[main[0]]), priors, main)
    return Case(build(member, chosen, response, predictors, table, rows), formula)


def bound(formula: str, data: Any, family: str) -> tuple[Case, Any]:
    """Return a case whose blocks come from a formula and data, and its design."""
    from bayesglmm.design import bind
    from bayesglmm.formula import parse

    member = FAMILIES.get(family)
    design = bind(parse(formula), data, member)
    link = member.main.link
    case = make(family, link, design.response, dict(design.predictors), formula=formula, rows=list(data.index))
    return case, design


@pytest.fixture(scope="session")
def problem() -> Callable[..., Case]:
    """Return `make`: family, link, response (and more) -> Case."""
    return make


@pytest.fixture(scope="session")
def gaussian() -> Case:
    y = np.random.default_rng(1).normal(size=N)
    return make("gaussian", "identity", Response("y", y))


@pytest.fixture(scope="session")
def binomial() -> Case:
    rng = np.random.default_rng(2)
    trials = rng.integers(3, 20, N).astype(float)
    response = Response("cbind(s, f)", rng.binomial(trials.astype(int), 0.3).astype(float), trials=trials)
    formula = "cbind(s, f) ~ x + (1 + x | g) + (1 | h)"
    rows = [f"row{i}" for i in range(N)]
    return make("binomial", "logit", response, {"mu": predictor(crossed=True)}, formula=formula, rows=rows)


@pytest.fixture(scope="session")
def bernoulli() -> Case:
    y = np.random.default_rng(3).binomial(1, 0.4, N).astype(float)
    return make("bernoulli", "probit", Response("y", y, categories=("no", "yes")))


@pytest.fixture(scope="session")
def two_predictors() -> Case:
    y = np.random.default_rng(1).normal(size=N)
    predictors = {"mu": predictor(crossed=True), "sigma": predictor("sigma", "diag", seed=4)}
    formula = ["y ~ x + (1 + x | g) + (1 | h)", "sigma ~ x + (1 + x || g)"]
    return make("gaussian", "identity", Response("y", y), predictors, {"sigma": "log"}, formula=formula)


@pytest.fixture(scope="session")
def from_formula() -> Callable[..., tuple[Case, Any]]:
    """Return `bound`: formula, data, family -> case and design."""
    return bound
