"""gpboost: Laplace's approximation and normal responses with group effects."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from suite.contestants import Answer, Contestant
from suite.problems import Problem


class Gpboost(Contestant):
    """Maximum likelihood, starting from its own defaults."""

    name: ClassVar[str] = "gpboost"
    modes: ClassVar[tuple[str, ...]] = ("ml",)
    environment: ClassVar[str] = "gpboost"
    packages: ClassVar[tuple[str, ...]] = ("gpboost", "pandas", "formulaic")

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        if problem.smooths or problem.kinship:
            return "has no such term"
        if any(terms != "1" for terms, _ in problem.terms):
            return "slopes are independent of intercepts there"
        return ""

    def fit(self, given: Any, mode: str) -> Answer:
        """Fit; rows with trials are expanded to one row per trial, which changes the log-likelihood by a constant."""
        start = time.perf_counter()
        import gpboost
        import numpy as np
        from formulaic import model_matrix

        imported = time.perf_counter()
        data, problem = given.data(), given.problem
        if problem["trials"]:
            data = _expanded(np, data, problem["response"], problem["trials"])
        factors = [group.split("|")[1].strip() for group in problem["groups"]]
        X = model_matrix(problem["fixed"].replace("^", "**"), data)
        y = data[problem["response"]].to_numpy(dtype=float)
        groups = np.column_stack([data[factor].cat.codes for factor in factors])
        read = time.perf_counter()
        likelihood = {"bernoulli": "bernoulli_logit", "binomial": "bernoulli_logit"}
        family = likelihood.get(problem["family"], problem["family"])

        def work() -> Any:
            model = gpboost.GPModel(group_data=groups, likelihood=family)
            model.fit(y=y, X=X.to_numpy(dtype=float))
            return model

        model = work()
        done = time.perf_counter()
        answer = Answer({"import": imported - start, "data": read - imported, "fit": done - read})
        answer.seconds["warm"] = given.warm(work, done - read)
        coefficients = np.asarray(model.get_coef(std_err=True, format_pandas=False))  # estimates, then errors
        for name, value, error in zip(X.columns, *coefficients, strict=True):
            answer.estimates[given.label(name)] = (float(value), float(error))
        variances = np.atleast_2d(np.asarray(model.get_cov_pars(format_pandas=False)))[0]
        if problem["family"] == "gaussian":
            answer.estimates["sigma"] = (float(variances[0] ** 0.5), float("nan"))
            variances = variances[1:]
        for factor, variance in zip(factors, variances, strict=True):
            answer.estimates[f"sd[{factor}, Intercept]"] = (float(variance**0.5), float("nan"))
        answer.loglik = None if problem["trials"] else -float(model.get_current_neg_log_likelihood())
        answer.versions = {"gpboost": gpboost.__version__}
        return answer


def _expanded(np: Any, data: Any, response: str, trials: str) -> Any:
    """Return a row for each trial; successes first."""
    sizes, successes = data[trials].to_numpy(), data[response].to_numpy()
    rows = data.loc[data.index.repeat(sizes)].copy()
    rows[response] = np.concatenate([np.arange(n) < k for n, k in zip(sizes, successes, strict=True)]).astype(float)
    return rows.reset_index(drop=True)
