"""Checks of Metropolis chains: are moves accepted, and do standard deviations move?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.results.checks import Check, Word
from bayesglmm.results.convergence import statistics
from bayesglmm.results.tables import Parameter

if TYPE_CHECKING:
    import xarray as xr

PREFIX = "acceptance_"
_OVERALL = "acceptance_rate"  # NUTS has it, too
_LOW, _LOWEST, _HIGH = 0.1, 0.02, 0.9
_SLOW = 0.02  # independent draws per draw
_APART = {
    "random-walk": 'Use proposal="block", which moves coefficients, group effects and standard deviations together, '
    "or run very much longer: a random walk of single coordinates needs ten to a hundred times as many draws.",
    "iwls": 'Use proposal="block", which moves a standard deviation and all effects that belong to it together, or '
    "run longer (twice tune= and draws=).",
}


def proposal_checks(stats: xr.Dataset, settings: Mapping[str, Any], found: Sequence[Parameter]) -> Iterator[Check]:
    """Yield checks where the statistics are those of proposals that are accepted or not.

    Parameters
    ----------
    stats : xarray.Dataset
        Sampler statistics: ``acceptance_<block>``, each (chain, draw).
    settings : mapping
        Of the engine.
    found : sequence of Parameter
        The population-level parameters.
    """
    rates = {
        str(name).removeprefix(PREFIX): float(np.mean(stats[name].values))
        for name in stats.data_vars
        if str(name).startswith(PREFIX) and name != _OVERALL
    }
    if not rates:
        return
    yield _low(rates, settings)
    walks = {name: rate for name, rate in rates.items() if settings.get("proposal") == "random-walk"}
    if walks and max(walks.values()) > _HIGH:
        yield _high(walks)
    slow = _slowest([parameter for parameter in found if parameter.kind == "sd"])
    if slow is not None:
        yield _mixing(*slow, settings)


def together(checks: Sequence[Check], settings: Mapping[str, Any]) -> list[Check]:
    """Return checks of mixing with the advice that suits proposals of single coordinates or blocks.

    A standard deviation and its group effects hold each other where they are; longer runs help such chains little.
    """
    proposal = settings.get("proposal")
    if proposal not in _APART:
        return list(checks)
    return [replace(check, advice=_APART[str(proposal)]) if check.advice else check for check in checks]


def _low(rates: Mapping[str, float], settings: Mapping[str, Any]) -> Check:
    where, least = min(rates.items(), key=lambda item: item[1])
    grade: Word = "good" if least >= _LOW else "check" if least >= _LOWEST else "bad"
    return Check(
        "acceptance",
        least,
        f">= {_LOW}",
        grade,
        f"Moves of {where} are accepted with probability {least:.2f}, the lowest of all.",
        "" if grade == "good" else "Most proposals go too far, so the chain stands still for long stretches.",
        "" if grade == "good" else _accept_more(where, settings),
    )


def _accept_more(where: str, settings: Mapping[str, Any]) -> str:
    proposal = settings.get("proposal")
    if proposal == "random-walk":
        if settings.get("scale") is not None:
            return f"Give {where} a smaller scale=, or leave scale= out: it is then adapted while tuning."
        return "Tune longer (twice tune=): scales were still being adapted when tuning ended."
    if proposal == "iwls":
        return 'Use proposal="block", which moves coefficients and hyperparameters together.'
    if settings.get("refresh"):
        return "Leave refresh= out: keeping the whitened coefficients accepts more."
    if where == "z":
        return f"Use more moves per draw (moves={2 * int(settings.get('moves', 2))}), or model.fit('nuts')."
    return "Tune longer (twice tune=); if that does not help, use model.fit('nuts')."


def _high(rates: Mapping[str, float]) -> Check:
    where, most = max(rates.items(), key=lambda item: item[1])
    return Check(
        "acceptance, too high",
        most,
        f"<= {_HIGH}",
        "check",
        f"Moves of {where} are accepted with probability {most:.2f}.",
        "The steps are so small that the chain goes nowhere with many of them.",
        f"Give {where} a larger scale=, or leave scale= out: it is then adapted while tuning.",
    )


def _slowest(sds: Sequence[Parameter]) -> tuple[str, float, int] | None:
    if not sds:
        return None
    ess = statistics(pd.Index([p.label for p in sds]), [p.values for p in sds])["ess_bulk"].dropna()
    if ess.empty:
        return None
    return str(ess.idxmin()), float(ess.min()), int(np.size(sds[0].values))


def _mixing(where: str, ess: float, total: int, settings: Mapping[str, Any]) -> Check:
    share, slow = ess / total, ess / total < _SLOW
    proposal = settings.get("proposal")
    advice = (
        f"Use more draws, or model.fit('nuts'); a tighter prior for {where} helps where the data say little about it."
        if proposal == "block"
        else 'Use proposal="block": it moves a standard deviation and all effects that belong to it together.'
    )
    return Check(
        "mixing of standard deviations",
        share,
        f">= {_SLOW}",
        "check" if slow else "good",
        f"{total} draws of {where} are worth {ess:.0f} independent ones.",
        "The standard deviation moves in small steps: given the group effects it can hardly move, and they given it."
        if slow
        else "",
        advice if slow else "",
    )
