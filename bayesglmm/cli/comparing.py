"""Ways of comparing fits: each takes them and returns what shows the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from bayesglmm.cli import show
from bayesglmm.errors import BayesglmmError

if TYPE_CHECKING:
    from bayesglmm.results import Fit

type Answer = Callable[[Mapping[str, Fit], str, float, int | None], Callable[[], None]]


def method_for(fits: Mapping[str, Fit]) -> str:
    """Return how fits are best compared: by what they are fits of."""
    posteriors = {"posterior" in fit.data.children for fit in fits.values()}
    if posteriors == {False}:
        return "likelihood-ratio"
    if posteriors == {True, False}:
        raise BayesglmmError("Posteriors and maximum likelihood fits cannot be compared with each other.")
    labels = {tuple(parameter.label for parameter in fit.parameters) for fit in fits.values()}
    engines = {fit.data.attrs["engine"] for fit in fits.values()}
    return "engines" if len(labels) == 1 and len(engines) > 1 else "loo"


def _engines(fits: Mapping[str, Fit], method: str, prob: float, seed: int | None) -> Callable[[], None]:
    from bayesglmm.results.compare import compare_engines

    found = compare_engines(fits, prob)
    columns = ["parameter", "engine", "mean", "sd", "lower", "upper", "shift", "sd_ratio"]
    costs = found.engines.rename(columns={"engine": "by"}).reset_index()
    shown = costs[["fit", "by", "verdict", "draws", "total", "ess_min"]].rename(columns={"total": "seconds"})

    def answer() -> None:
        show.frame(shown, "Engines")
        show.say("")
        show.frame(found.table[columns], "Parameters")
        show.say("", *found.sentences, *found.notes)

    return answer


def _models(fits: Mapping[str, Fit], method: str, prob: float, seed: int | None) -> Callable[[], None]:
    from bayesglmm.results.evaluation.comparison import compare_models

    found = compare_models(fits, method, seed)
    return partial(_printed, found.table, found.sentences)


def _printed(table: Any, sentences: tuple[str, ...]) -> None:
    show.frame(table.reset_index(names="model") if "model" not in table else table, "Models")
    show.say("", *sentences)


def _likelihood(fits: Mapping[str, Fit], method: str, prob: float, seed: int | None) -> Callable[[], None]:
    from bayesglmm.results.likelihood_ratio import likelihood_ratio

    found = likelihood_ratio(**fits)
    return partial(show.frame, found.reset_index(names="model"), "Likelihood ratio tests")


ANSWERS: Mapping[str, Answer] = {
    "engines": _engines,
    "loo": _models,
    "kfold": _models,
    "evidence": _models,
    "likelihood-ratio": _likelihood,
}
