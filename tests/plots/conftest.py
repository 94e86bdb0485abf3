"""Fits with draws made by numpy: nothing here samples. Every figure is drawn once, so that warnings surface."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesglmm.design import bind
from bayesglmm.engines.base import Run
from bayesglmm.families import FAMILIES
from bayesglmm.formula import parse
from bayesglmm.graph.build import build
from bayesglmm.graph.slots import prior_table
from bayesglmm.links import LINKS
from bayesglmm.results import Fit
from bayesglmm.results.schema import Meta, assemble


def frame(rows: int = 60, levels: int = 6) -> pd.DataFrame:
    """Return a small data set whose groups have different sizes, among them one of zeros and one of ones."""
    rng = np.random.default_rng(5)
    share = np.arange(1, levels + 1) / (levels * (levels + 1) / 2)
    codes = np.concatenate([np.arange(levels), rng.choice(levels, rows - levels, p=share)])
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "g": pd.Categorical([f"g{i}" for i in codes], [f"g{i}" for i in range(levels)]),
            "h": pd.Categorical(np.array(["u", "v", "w"])[rng.integers(0, 3, rows)]),
            "y": 250.0 + 30.0 * rng.normal(size=rows),
            "count": np.where(codes == 0, 0, rng.poisson(3.0, rows)),
            "yes": np.where(codes == 1, 1, rng.integers(0, 2, rows)),
            "n": rng.integers(3, 9, rows),
            "grade": pd.Categorical(
                np.array(["poor", "fair", "good"])[np.arange(rows) % 3], ["poor", "fair", "good"], ordered=True
            ),
        }
    ).assign(s=lambda d: np.where(codes == 2, d["n"], rng.binomial(d["n"], 0.3)))


def draws_of(problem: Any, chains: int, draws: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = {}
    for variable in problem.model.free_RVs:
        z = rng.normal(size=(chains, draws, *(int(n) for n in variable.shape.eval(mode="FAST_COMPILE"))))
        if variable.name.startswith("cholesky"):
            rho = np.tanh(0.4 + 0.2 * z[..., 1, 0])
            z = np.zeros_like(z)
            z[..., 0, 0], z[..., 1, 0], z[..., 1, 1] = 1.0, rho, np.sqrt(1.0 - rho**2)
            found[variable.name] = z
        elif problem.roles[variable.name] in ("fixed", "spherical"):
            found[variable.name] = 0.5 * z
        else:
            found[variable.name] = np.exp(-0.3 + 0.2 * z)
    return found


@cache
def problem_of(
    formula: str | tuple[str, ...], family: str, held: tuple[tuple[str, Any], ...], rows: int, levels: int
) -> Any:
    member = FAMILIES.get(family)
    texts = formula if isinstance(formula, str) else list(formula)
    design = bind(parse(texts), frame(rows, levels), member)
    main = member.main_predictors(design.response)
    domains = {parameter.name: parameter.link for parameter in member.parameters}
    links = {name: LINKS.get(domains.get(name, member.main.link)) for name in design.predictors}
    scale = member.scale(design.response, links[main[0]])
    table = prior_table(member, design.predictors, scale, dict(held) or None, main)
    return build(member, links, design.response, design.predictors, table)


@pytest.fixture(scope="session")
def fitted() -> Callable[..., Fit]:
    """Return `make`: formula, family (and more) -> a fit."""

    def make(
        formula: str | tuple[str, ...],
        family: str = "gaussian",
        chains: int = 2,
        draws: int = 100,
        priors: dict[str, Any] | None = None,
        rows: int = 60,
        levels: int = 6,
        seed: int = 3,
    ) -> Fit:
        problem = problem_of(formula, family, tuple((priors or {}).items()), rows, levels)
        run = Run(draws_of(problem, chains, draws, seed), {}, {"sample": 1.0})
        texts = (formula,) if isinstance(formula, str) else formula
        return Fit(assemble(problem, run, Meta(texts, "nuts")), problem)

    return make


@pytest.fixture(scope="session")
def slopes(fitted: Callable[..., Fit]) -> Fit:
    """A gaussian model with every kind of population parameter."""
    return fitted("y ~ x + (1 + x | g) + (1 | h)")


@pytest.fixture(scope="session")
def logistic(fitted: Callable[..., Fit]) -> Fit:
    return fitted("yes ~ x + (1 | g)", "bernoulli")


@pytest.fixture
def drawn() -> Iterator[Callable[[Any], Any]]:
    """Return a function that renders a figure and hands it back; no figure may be left with pyplot."""
    import matplotlib.pyplot as plt

    before = dict(plt.rcParams)

    def render(figure: Any) -> Any:
        figure.savefig(io.BytesIO(), format="png", dpi=40)
        return figure

    yield render
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before
