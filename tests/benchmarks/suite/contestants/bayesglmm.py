"""bayesglmm: what the others are compared with."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from suite.contestants import Answer, Contestant
from suite.problems import Problem


class Bayesglmm(Contestant):
    """Defaults of every engine; `nuts compiled` and `nuts graph` are paths of NUTS that are not the default."""

    name: ClassVar[str] = "bayesglmm"
    modes: ClassVar[tuple[str, ...]] = ("nuts", "nuts compiled", "nuts graph", "laplace", "ml")
    imports_pymc: ClassVar[bool] = True

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        return "" if problem.sampled or not mode.startswith("nuts") else "not sampled"

    def fit(self, given: Any, mode: str) -> Answer:
        """Fit by the engine of the mode."""
        start = time.perf_counter()
        import bayesglmm as bg

        if mode.startswith("nuts"):  # a fit imports them; here they count as what they are
            import pymc  # noqa: F401

            import bayesglmm.engines.nutpie_alone  # which imports nutpie as a fit does

        imported = time.perf_counter()
        data, problem = given.data(), given.problem
        formula, more = _formula(problem), {}
        if problem["kinship"]:
            import pandas as pd

            levels = next(iter(problem["factors"].values()))
            more["cov"] = {"K": pd.DataFrame(given.kinship(), index=levels, columns=levels)}
        read = time.perf_counter()
        if mode != "ml":
            more["priors"] = _priors(bg, problem)
        engine, _, path = mode.partition(" ")
        settings: dict[str, Any] = {"objective": _objective(problem)} if mode == "ml" else {"seed": 1}
        if engine == "nuts":
            settings |= {"progressbar": False, "path": path or "auto"}

        def work() -> Any:
            model = bg.Model(formula, data, family=problem["family"], **more)
            return model.fit("nuts" if engine == "nuts" else "laplace", **settings)

        fit = work()
        done = time.perf_counter()
        seconds = {"import": imported - start, "data": read - imported, "fit": done - read}
        inside = dict(fit.seconds)
        if engine == "nuts":
            seconds["sample"] = inside["sample"]
            seconds["compile"] = done - read - inside["sample"]
        answer = Answer(seconds | {f"fit.{key}": value for key, value in inside.items()})
        if engine != "nuts":
            answer.seconds["warm"] = given.warm(work, done - read)
        answer.versions = {"bayesglmm": bg.__version__}
        location, scale = ("estimate", "se") if mode == "ml" else ("mean", "sd")
        answer.estimates = {
            str(label): (float(row[location]), float(row[scale])) for label, row in fit.summary().iterrows()
        }
        if mode == "ml":
            answer.loglik = float(fit.loglik)
            return answer
        if engine == "nuts":
            answer.draws = _draws(fit.data["posterior"])
            answer.divergences = int(fit.data["sample_stats"]["diverging"].sum())
        answer.notes = [str(fit.verdict)]
        return answer


def _objective(problem: dict[str, Any]) -> str:
    """Return reml for smooths: mgcv's ML maximises over population and group effects together, its REML as here."""
    return "reml" if problem["smooths"] else "ml"


def _formula(problem: dict[str, Any]) -> str:
    left = problem["response"]
    if problem["trials"]:
        left = f"{left} | trials({problem['trials']})"
    right = problem["right_side"]
    if problem["kinship"]:
        right = right.replace("| id)", "| gr(id, cov=K))")
    return f"{left} ~ {right}"


def _priors(bg: Any, problem: dict[str, Any]) -> dict[str, Any]:
    scales = problem["scales"]
    chosen = {"Intercept": bg.Prior("Normal", *problem["intercept"])}
    if problem["fixed"] != "1" or problem["smooths"]:
        chosen["fixed"] = bg.Prior("Normal", 0, scales["fixed"])
    chosen["sd"] = bg.Prior("HalfNormal", scales["sd"])
    if problem["family"] == "gaussian":
        chosen["sigma"] = bg.Prior("HalfNormal", scales["sigma"])
    if any("|" in group and group.split("|")[0].strip() != "1" for group in problem["groups"]):
        chosen["cor"] = bg.Prior("LKJ", scales["cor"])
    return chosen


def _draws(posterior: Any) -> list[tuple[str, Any]]:
    found = []
    for name, values in posterior.data_vars.items():
        array = values.to_numpy()
        flat = array.reshape(*array.shape[:2], -1)
        found += [(f"{name}.{j}", flat[..., j]) for j in range(flat.shape[-1])]
    return found
