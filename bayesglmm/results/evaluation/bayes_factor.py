"""Bayes factors, with what has to be said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.errors import SettingsError
from bayesglmm.results.evaluation.bridge import Evidence
from bayesglmm.results.evaluation.comparison import require_same
from bayesglmm.seeds import checked_seed

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

# Kass and Raftery (1995), by log Bayes factor.
_WORDS = ((1.0, "not worth more than a bare mention"), (3.0, "positive"), (5.0, "strong"), (np.inf, "very strong"))


@dataclass(frozen=True, eq=False, repr=False)
class BayesFactor:
    """How many times as probable the data are under one model as under another.

    Attributes
    ----------
    log_factor : float
        Natural logarithm; positive where the data favour the first model.
    se : float
        Its standard error, as far as it is known.
    evidences : mapping of str to Evidence
        Keys ``"a"`` and ``"b"``.
    warning : str
        What the number depends on.
    """

    log_factor: float
    se: float
    evidences: Mapping[str, Evidence]
    warning: str = field(default="")

    @property
    def factor(self) -> float:
        """The Bayes factor itself; infinite where it is too large for a number."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.log_factor))

    @property
    def strength(self) -> str:
        """The words of Kass and Raftery (1995)."""
        return next(word for limit, word in _WORDS if abs(self.log_factor) < limit)

    def __float__(self) -> float:
        return self.factor

    def __repr__(self) -> str:
        favoured = "a" if self.log_factor >= 0 else "b"
        error = "" if np.isnan(self.se) else f", standard error {self.se:.2g}"
        lines = [
            f"Bayes factor of a over b: {self.factor:.3g} (log {self.log_factor:.2f}{error})",
            f"Evidence for {favoured}: {self.strength} (Kass and Raftery 1995).",
        ]
        lines += [f"{name}: {own!r}" for name, own in self.evidences.items()]
        return "\n".join([*lines, self.warning])


def bayes_factor(a: Fit | Evidence, b: Fit | Evidence, seed: int | None = None) -> BayesFactor:
    """Return the Bayes factor of two models of the same data: the ratio of their marginal likelihoods.

    The marginal likelihoods are those of the engines (Laplace, expectation propagation) or come from bridge sampling
    (NUTS, Metropolis).

    Parameters
    ----------
    a, b : Fit or Evidence
        Fits, or what `Fit.bridge` or `Fit.evidence` returned.
    seed : int, optional
        For bridge sampling.

    Returns
    -------
    BayesFactor

    Raises
    ------
    PriorError
        Where a prior is flat: the factor is then not defined.
    SettingsError
        For models of different data, or what is no fit.
    BayesglmmError
        For maximum likelihood fits.
    """
    seed = checked_seed(seed)
    evidences = {name: _evidence(name, fit, seed) for name, fit in (("a", a), ("b", b))}
    require_same({name: own.observed for name, own in evidences.items() if own.observed is not None})
    first, second = evidences.values()
    errors = np.array([first.se, second.se])
    se = float("nan") if np.isnan(errors).all() else float(np.sqrt(np.nansum(errors**2)))
    warning = _warning({name: fit for name, fit in (("a", a), ("b", b)) if not isinstance(fit, Evidence)})
    return BayesFactor(first.log_evidence - second.log_evidence, se, evidences, warning)


def _evidence(name: str, fit: Any, seed: int) -> Evidence:
    if isinstance(fit, Evidence):
        return fit
    if not hasattr(fit, "evidence"):
        raise SettingsError(f"bayes_factor takes fits or evidences; {name} is a {type(fit).__name__}.")
    found: Evidence = fit.evidence(seed=seed)
    return found


def _warning(fits: Mapping[str, Any]) -> str:
    """Say that the priors decide, and name those that nobody chose."""
    said = (
        "A Bayes factor depends on the priors of what differs between the models, however many data there are: a "
        "prior ten times as wide costs a parameter a factor of about ten."
    )
    default = {
        name: [slot.label for slot in fit.problem.priors if slot.source == "default"] for name, fit in fits.items()
    }
    named = [
        f"{name} ({', '.join(labels[:4])}{', ...' if len(labels) > 4 else ''})"
        for name, labels in default.items()
        if labels
    ]
    if named:
        said += f" Default priors, which were not chosen for this, are in {' and '.join(named)}."
    return said
