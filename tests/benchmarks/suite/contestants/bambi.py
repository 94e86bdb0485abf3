"""Bambi with nutpie, its fastest sampler, in an environment of its own: it pins an older formulae."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from suite.contestants import Answer, Contestant
from suite.problems import Problem


class Bambi(Contestant):
    """Bambi's defaults: non-centred group effects, population predictors at their means."""

    name: ClassVar[str] = "bambi"
    modes: ClassVar[tuple[str, ...]] = ("nuts",)
    environment: ClassVar[str] = "bambi"
    packages: ClassVar[tuple[str, ...]] = ("bambi", "nutpie")
    imports_pymc: ClassVar[bool] = True

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        if problem.smooths or problem.kinship:
            return "has no such term"
        return "" if problem.sampled else "not sampled"

    def fit(self, given: Any, mode: str) -> Answer:
        """Sample with 4 chains of 1,000 draws after 1,000 of warm-up."""
        start = time.perf_counter()
        import bambi
        import nutpie
        import pymc

        imported = time.perf_counter()
        data, problem = given.data(), given.problem
        read = time.perf_counter()
        phases: dict[str, float] = {}
        nutpie.compile_pymc_model = _timed(nutpie.compile_pymc_model, phases, "compile")
        nutpie.sample = _timed(nutpie.sample, phases, "sample")
        model = bambi.Model(_formula(problem), data, family=problem["family"], priors=_priors(bambi, problem))
        idata = model.fit(inference_method="nutpie", random_seed=1, progressbar=False)
        done = time.perf_counter()
        posterior = idata["posterior"]
        answer = Answer({"import": imported - start, "data": read - imported, "fit": done - read, **phases})
        answer.versions = {"bambi": bambi.__version__, "pymc": pymc.__version__, "nutpie": nutpie.__version__}
        for name, values in posterior.data_vars.items():
            array = values.to_numpy()
            flat = array.reshape(*array.shape[:2], -1)
            answer.draws = [*answer.draws, *((f"{name}.{j}", flat[..., j]) for j in range(flat.shape[-1]))]
            for j, label in enumerate(_labels(given, str(name), values)):
                answer.estimates[label] = (float(flat[..., j].mean()), float(flat[..., j].std(ddof=1)))
        answer.divergences = int(idata["sample_stats"]["diverging"].sum())
        if any(group.split("|")[0].strip() != "1" for group in problem["groups"]):
            answer.notes = ["slopes and intercepts are independent: Bambi has no correlations"]
        return answer


def _timed(work: Callable[..., Any], phases: dict[str, float], phase: str) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return work(*args, **kwargs)
        finally:
            phases[phase] = phases.get(phase, 0.0) + time.perf_counter() - start

    return timed


def _formula(problem: dict[str, Any]) -> str:
    left = problem["response"]
    if problem["trials"]:
        left = f"p({left}, {problem['trials']})"
    return f"{left} ~ {problem['right_side'].replace('^', ' ** ')}"


def _priors(bambi: Any, problem: dict[str, Any]) -> dict[str, Any]:
    scales = problem["scales"]
    centre, spread = problem["intercept"]
    deviation = bambi.Prior("HalfNormal", sigma=scales["sd"])
    chosen = {
        "Intercept": bambi.Prior("Normal", mu=centre, sigma=spread),
        "common": bambi.Prior("Normal", mu=0, sigma=scales["fixed"]),
        "group_specific": bambi.Prior("Normal", mu=0, sigma=deviation),
    }
    if problem["family"] == "gaussian":
        chosen["sigma"] = bambi.Prior("HalfNormal", sigma=scales["sigma"])
    return chosen


def _labels(given: Any, name: str, values: Any) -> list[str]:
    """Return labels of population coefficients and standard deviations; none for group effects."""
    levels = [""]
    for dim in values.dims[2:]:
        levels = [f"{before}, {level}" if before else str(level) for before in levels for level in values[dim].values]
    if "|" in name:
        if not name.endswith("_sigma"):
            return []
        term, group = name.removesuffix("_sigma").split("|")
        return [f"sd[{group}, {_column(given, term, level)}]" for level in levels]
    return [_column(given, name, level) for level in levels]


def _column(given: Any, name: str, level: str) -> str:
    values = iter(level.split(", "))
    factors = given.problem["factors"]
    return given.label(":".join(f"{part}{next(values)}" if part in factors else part for part in name.split(":")))
