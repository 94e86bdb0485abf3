"""What is fitted: a problem is data, and each contestant writes it in its own dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A model and its data.

    Parameters
    ----------
    name : str
        What the command line and the tables call it.
    data : str
        A data set of bayesglmm, or a maker in `prepare.MAKERS`.
    response, fixed : str
        The response's column, and the population part of the formula.
    groups : tuple of str
        Group effects as lme4 writes them: ``"urban | district"``.
    smooths : tuple of str
        Smooths as mgcv writes them.
    family : str
        gaussian, bernoulli, binomial or poisson.
    trials : str
        The column with the trials of binomial rows.
    intercept : (float, float)
        Mean and standard deviation of its normal prior. Wide, because Bambi and brms put it at the mean of the
        predictors and bayesglmm where the user's columns are zero.
    scales : mapping
        ``fixed``: standard deviation of the coefficients' normal prior; ``sd``, ``sigma``: scales of half-normal
        priors; ``cor``: shape of the LKJ prior.
    kinship : bool
        Whether the levels of the one group are correlated by the matrix in ``kinship.f64``.
    sampled : bool
        Whether samplers run on it.
    limit : int
        Seconds after which a contestant is stopped.
    left_out : mapping
        Contestants that could not finish here, with the reason that the table prints.
    """

    name: str
    data: str
    response: str
    fixed: str
    groups: tuple[str, ...] = ()
    smooths: tuple[str, ...] = ()
    family: str = "gaussian"
    trials: str = ""
    intercept: tuple[float, float] = (0.0, 10.0)
    scales: Mapping[str, float] = field(default_factory=lambda: {"fixed": 2.5, "sd": 1.0, "cor": 2.0})
    kinship: bool = False
    sampled: bool = True
    limit: int = 900
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def terms(self) -> list[tuple[str, str]]:
        """Terms and factor of each group: ``[("urban", "district")]``."""
        pairs = (group.split("|") for group in self.groups)
        return [(terms.strip(), factor.strip()) for terms, factor in pairs]

    def right_side(self) -> str:
        """The formula after its tilde, where lme4, brms, mgcv and bayesglmm agree."""
        return " + ".join([self.fixed, *self.smooths, *(f"({group})" for group in self.groups)])

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it, for contestants in other languages."""
        kept = {key: getattr(self, key) for key in ("name", "response", "fixed", "family", "trials", "kinship")}
        kept |= {"groups": list(self.groups), "smooths": list(self.smooths), "right_side": self.right_side()}
        return kept | {"intercept": list(self.intercept), "scales": dict(self.scales)}


_REACTION = {"fixed": 50.0, "sd": 50.0, "sigma": 50.0, "cor": 2.0}
_RATING = {"fixed": 2.5, "sd": 1.0, "sigma": 2.5}
_SPAM = (
    *("remove", "free", "num000", "money", "our", "your", "receive", "business", "internet", "hp", "george", "edu"),
    *("meeting", "project", "re", "charExclamation", "charDollar", "capitalAve", "capitalLong"),
)

PROBLEMS: tuple[Problem, ...] = (
    Problem("cbpp", "cbpp", "incidence", "period", ("1 | herd",), family="binomial", trials="size"),
    Problem(
        "sleepstudy", "sleepstudy", "Reaction", "Days", ("Days | Subject",), intercept=(250.0, 200.0),
        scales=_REACTION,
    ),
    Problem(
        "Contraception", "Contraception", "use", "age*ch + I(age^2) + urban", ("urban | district",),
        family="bernoulli",
    ),
    Problem(
        "epilepsy", "epilepsy", "count", "zAge + zBase * Trt", ("1 | patient", "1 | obs"), family="poisson"
    ),
    Problem(
        "grouseticks", "grouseticks", "TICKS", "YEAR + HEIGHT", ("1 | BROOD", "1 | INDEX", "1 | LOCATION"),
        family="poisson", intercept=(0.0, 100.0),
    ),
    Problem(
        "VerbAgg", "VerbAgg", "r2", "Anger + Gender + btype + situ", ("1 | id", "1 | item"), family="bernoulli",
        limit=1500,
    ),
    Problem(
        "InstEval", "InstEval", "y", "service", ("1 | s", "1 | d"), scales=_RATING, limit=1800,
        left_out={"statsmodels": "crossed factors would be dense there"},
    ),
    Problem(
        "spam", "spam", "spam", "1", smooths=tuple(f"s({feature}, k=8)" for feature in _SPAM), family="bernoulli",
        limit=1800, sampled=False,
    ),
    Problem(
        "lung cancer map", "capecod_sim", "lung", "smoking", smooths=("s(age, k=10)", "s(lon, lat, k=40)"),
        family="bernoulli",
    ),
    Problem(
        "kinship", "kinship", "y", "x", ("1 | id",), kinship=True,
        scales={"fixed": 2.5, "sd": 2.0, "sigma": 2.0},
    ),
    Problem("rows 1e5", "rows_1e5", "y", "x", ("1 | g",), family="bernoulli", limit=1800),
    Problem("rows 1e6", "rows_1e6", "y", "x", ("1 | g",), family="bernoulli", limit=1800, sampled=False),
)  # fmt: skip
