"""glimix-core: normal responses with a known covariance, in the basis of its eigenvectors."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any, ClassVar

from suite.contestants import Answer, Contestant
from suite.problems import Problem


class Glimix(Contestant):
    """Maximum likelihood; fixed effects come without errors."""

    name: ClassVar[str] = "glimix-core"
    modes: ClassVar[tuple[str, ...]] = ("ml",)
    environment: ClassVar[str] = "glimix"
    packages: ClassVar[tuple[str, ...]] = ("glimix-core", "pandas")

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        return "" if problem.kinship else "known covariances only"

    def fit(self, given: Any, mode: str) -> Answer:
        """Fit; the decomposition of the matrix counts."""
        start = time.perf_counter()
        import numpy as np
        from glimix_core.lmm import LMM
        from numpy_sugar.linalg import economic_qs

        imported = time.perf_counter()
        problem, data, K = given.problem, given.data(), given.kinship()
        (factor,) = problem["factors"]
        order = data[factor].cat.codes.to_numpy()
        X = np.column_stack([np.ones(len(data)), data[problem["fixed"]]])
        y = data[problem["response"]].to_numpy(dtype=float)
        read = time.perf_counter()

        def work() -> Any:
            lmm = LMM(y, X, economic_qs(K[np.ix_(order, order)]), restricted=False)
            lmm.fit(verbose=False)
            return lmm

        lmm = work()
        done = time.perf_counter()
        answer = Answer({"import": imported - start, "data": read - imported, "fit": done - read})
        answer.seconds["warm"] = given.warm(work, done - read)
        errors = np.sqrt(np.diag(lmm.beta_covariance))
        for label, value, error in zip(("Intercept", problem["fixed"]), lmm.beta, errors, strict=True):
            answer.estimates[label] = (float(value), float(error))
        answer.estimates[f"sd[{factor}, Intercept]"] = (float(lmm.v0**0.5), float("nan"))
        answer.estimates["sigma"] = (float(lmm.v1**0.5), float("nan"))
        answer.loglik = float(lmm.lml())
        answer.versions = {"glimix-core": version("glimix-core")}
        return answer
