"""Can this fit be trusted? Checks with thresholds, what each means and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.results import facts
from bayesglmm.results.acceptance import proposal_checks, together
from bayesglmm.results.approximation import approximation_checks
from bayesglmm.results.checking.divergences import divergences
from bayesglmm.results.checks import Check, Word
from bayesglmm.results.convergence import bfmi, statistics, worst_r_hat
from bayesglmm.results.optimum import optimum_checks
from bayesglmm.results.tables import Parameter, parameters, prefix_of

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem

MORE_DRAWS = "Run longer: model.fit(draws=..., tune=...) with twice as many of each."
STUCK = (
    "Run longer first (twice tune= and draws=). If that does not help, the model asks more than the data can tell: "
    "look for a group standard deviation near zero, for too few levels, or for columns that say the same thing; "
    "give a tighter prior or drop the term."
)


def run_checks(problem: Problem, data: xr.DataTree) -> list[Check]:
    """Return the checks that the statistics of a fit allow.

    Parameters
    ----------
    problem : Problem
    data : xarray.DataTree
        As `schema.assemble` made it.
    """
    convergence, quality = facts.read(data.attrs, "convergence"), facts.read(data.attrs, "quality")
    if convergence is not None:
        return optimum_checks(problem, convergence, data["estimates"].to_dataset())
    posterior = data["posterior"].to_dataset()
    if quality is not None:
        found = parameters(problem, posterior)
        total = _total(posterior.sizes["chain"] * posterior.sizes["draw"])
        return [_finite(found), total, *approximation_checks(quality, resampled_worth(found, data.attrs))]
    stats = data["sample_stats"].to_dataset() if "sample_stats" in data.children else posterior[[]]
    settings = json.loads(data.attrs.get("settings", "{}"))
    found = parameters(problem, posterior)
    checks = [_finite(found)]
    checks += _chains(posterior.sizes["chain"], posterior.sizes["draw"], settings)
    mixing = [*_population(found), *_group_effects(problem, posterior)]
    checks += together(mixing, settings)
    checks += _sampler(stats, settings, found)
    checks += proposal_checks(stats, settings, found)
    return checks


def resampled_worth(found: Sequence[Parameter], attrs: Mapping[Any, Any]) -> pd.Series | None:
    """Return the effective sample sizes of resampled draws, by parameter; None where draws are independent.

    Of each the smaller of that for the mean and that for interval ends, as ``print(fit)`` shows it.
    """
    if facts.effective_draws(attrs) is None:
        return None
    values = statistics(pd.Index([p.label for p in found]), [p.values for p in found])
    least = values[["ess_bulk", "ess_tail"]].min(axis=1).dropna()
    return least if len(least) else None


def _graded(value: float, good: bool, check: bool) -> Word:
    return "good" if good else "check" if check else "bad"


def _finite(found: Sequence[Parameter]) -> Check:
    lost = [p.label for p in found if not np.isfinite(p.values).all()]
    return Check(
        "finite draws",
        float(len(lost)),
        "0",
        "bad" if lost else "good",
        f"Draws of {', '.join(lost[:5])} are not finite." if lost else "All draws are finite numbers.",
        "The sampler broke down; means and intervals are meaningless." if lost else "",
        "Scale large predictors, or give tighter priors." if lost else "",
    )


def _chains(chains: int, draws: int, settings: dict[str, Any]) -> Iterator[Check]:
    alone = chains < 2
    yield Check(
        "chains",
        float(chains),
        ">= 2",
        "check" if alone else "good",
        "There is only one chain." if alone else f"There are {chains} chains.",
        "One chain cannot tell whether another start would have given another answer." if alone else "",
        "Use model.fit(chains=4)." if alone else "",
    )
    yield _total(chains * draws)
    wanted = settings.get("draws")
    if isinstance(wanted, int) and draws < wanted:
        yield Check(
            "complete",
            float(draws),
            f"{wanted}",
            "check",
            f"Sampling was interrupted: each chain has {draws} of {wanted} draws.",
            "The draws that are there are valid, but fewer than were asked for.",
            "Let it finish, or ask for fewer draws.",
        )


def _total(total: int) -> Check:
    grade = _graded(total, total >= 400, total >= 100)
    return Check(
        "draws",
        float(total),
        ">= 400",
        grade,
        f"There are {total} draws in all.",
        "" if grade == "good" else "That is too few for the ends of intervals, however independent they are.",
        "" if grade == "good" else "Use model.fit(draws=1000).",
    )


def _population(found: Sequence[Parameter]) -> Iterator[Check]:
    values = statistics(pd.Index([p.label for p in found]), [p.values for p in found])
    values = values.dropna(subset=["r_hat", "ess_bulk"])
    if values.empty:
        return
    where, worst = values["r_hat"].idxmax(), float(values["r_hat"].max())
    grade = _graded(worst, worst <= 1.01, worst <= 1.05)
    yield Check(
        "R-hat",
        worst,
        "<= 1.01",
        grade,
        f"The largest R-hat of effects, standard deviations and correlations is {worst:.3f} ({where}).",
        "The chains agree."
        if grade == "good"
        else "The chains do not tell quite the same story: they have not forgotten where they started.",
        "" if grade == "good" else MORE_DRAWS if grade == "check" else STUCK,
        parameters=(str(where),),
    )
    for column, part in (("ess_bulk", "means"), ("ess_tail", "interval ends")):
        where, least = values[column].idxmin(), float(values[column].min())
        grade = _graded(least, least >= 400, least >= 100)
        yield Check(
            "bulk ESS" if column == "ess_bulk" else "tail ESS",
            least,
            ">= 400",
            grade,
            f"For {part} the draws of {where} are worth {least:.0f} independent ones, the fewest of all.",
            "That is enough." if grade == "good" else f"The {part} are noisy: another seed would move them visibly.",
            "" if grade == "good" else MORE_DRAWS,
            parameters=(str(where),),
        )


def _group_effects(problem: Problem, posterior: xr.Dataset) -> Iterator[Check]:
    worst, where = float("nan"), ""
    for part in problem.predictors:
        for block in part.blocks:
            own = block.block
            values = posterior[block.names.b].values
            value, at = worst_r_hat(values.reshape(*values.shape[:2], -1))
            if at >= 0 and not value <= worst:
                level, term = divmod(at, len(own.terms))
                worst = value
                where = f"{prefix_of(problem, part)}{own.terms[term]} of {own.group} {own.levels[level]}"
    if not where:
        return
    grade = _graded(worst, worst <= 1.02, worst <= 1.1)
    yield Check(
        "R-hat of group effects",
        worst,
        "<= 1.02",
        grade,
        f"The largest R-hat of group effects is {worst:.3f} ({where}).",
        "The chains agree." if grade == "good" else "The chains do not agree on the effects of some levels.",
        "" if grade == "good" else MORE_DRAWS if grade == "check" else STUCK,
    )


def _sampler(stats: xr.Dataset, settings: dict[str, Any], found: Sequence[Parameter]) -> Iterator[Check]:
    if "diverging" in stats:
        yield divergences(np.asarray(stats["diverging"].values), settings, found)
    if "reached_max_treedepth" in stats:
        share = float(np.mean(stats["reached_max_treedepth"].values))
        often = share > 0.01
        yield Check(
            "longest trees",
            share,
            "<= 0.01",
            "check" if often else "good",
            f"{share:.1%} of the draws used the longest path allowed.",
            "They are valid, but the sampler moves slowly through this posterior." if often else "",
            f"Raise max_treedepth (now {settings.get('max_treedepth', 10)}) by one or two, or scale the predictors."
            if often
            else "",
        )
    if "energy" in stats and stats.sizes["draw"] >= 4:
        least = bfmi(stats["energy"].values)
        low = least < 0.3
        yield Check(
            "E-BFMI",
            least,
            ">= 0.3",
            "check" if low else "good",
            f"The smallest energy fraction (E-BFMI) is {least:.2f}.",
            "The sampler may not have reached the tails, often those of a group standard deviation." if low else "",
            "Run longer (twice tune= and draws=), or give the group standard deviations a tighter prior."
            if low
            else "",
        )
