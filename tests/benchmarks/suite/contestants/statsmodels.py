"""statsmodels' MixedLM (mixedlm): normal responses, one grouping factor."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from suite.contestants import Answer, Contestant
from suite.problems import Problem


class Statsmodels(Contestant):
    """Maximum likelihood."""

    name: ClassVar[str] = "statsmodels"
    modes: ClassVar[tuple[str, ...]] = ("ml",)
    environment: ClassVar[str] = "statsmodels"
    packages: ClassVar[tuple[str, ...]] = ("statsmodels",)

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        if problem.family != "gaussian" or problem.smooths or problem.kinship or len(problem.groups) != 1:
            return "MixedLM has normal responses and one grouping factor"
        return ""

    def fit(self, given: Any, mode: str) -> Answer:
        """Fit by mixedlm."""
        start = time.perf_counter()
        import statsmodels.formula.api as smf
        from statsmodels import __version__

        imported = time.perf_counter()
        data, problem = given.data(), given.problem
        terms, factor = (part.strip() for part in problem["groups"][0].split("|"))
        read = time.perf_counter()
        formula = f"{problem['response']} ~ {problem['fixed']}"
        random = {} if terms == "1" else {"re_formula": f"~ {terms}"}

        def work() -> Any:
            return smf.mixedlm(formula, data, groups=data[factor], **random).fit(reml=False)

        fit = work()
        done = time.perf_counter()
        answer = Answer({"import": imported - start, "data": read - imported, "fit": done - read})
        answer.seconds["warm"] = given.warm(work, done - read)
        for name, value in fit.fe_params.items():
            answer.estimates[given.label(name)] = (float(value), float(fit.bse_fe[name]))
        nan = float("nan")
        names = ["Intercept" if name in ("Group", "Intercept") else name for name in fit.cov_re.index]
        deviations = fit.cov_re.to_numpy().diagonal() ** 0.5
        for j, name in enumerate(names):
            answer.estimates[f"sd[{factor}, {name}]"] = (float(deviations[j]), nan)
            for k in range(j):
                cor = fit.cov_re.to_numpy()[j, k] / (deviations[j] * deviations[k])
                answer.estimates[f"cor[{factor}, {names[k]}, {name}]"] = (float(cor), nan)
        answer.estimates["sigma"] = (float(fit.scale**0.5), nan)
        answer.loglik = float(fit.llf)
        answer.versions = {"statsmodels": __version__}
        return answer
