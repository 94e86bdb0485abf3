"""Likelihood ratio tests: of nested models side by side, and of every term of one model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from bayesglmm.errors import BayesglmmError
from bayesglmm.results.fit import Fit
from bayesglmm.results.likelihood import LikelihoodFit
from bayesglmm.results.tables import KINDS_OF_GROUPS

if TYPE_CHECKING:
    from bayesglmm.results.protocols import FittedModel

_BOUNDARY = (
    "p is conservative (too large, up to twice) where the models differ in group terms: a standard deviation of zero "
    "lies on the edge of what it can be."
)


class RatioTests(pd.DataFrame):
    """A frame of likelihood ratio tests: it prints rounded and whole, long labels above the table, its note below.

    Parts of it are ordinary frames.
    """

    def __repr__(self) -> str:
        plain = pd.DataFrame(self)
        if not set(_PLACES) >= set(plain.columns):
            return repr(plain)
        texts = plain.apply(lambda column: column.map(_PLACES[str(column.name)]))
        labels, lines = [str(label) for label in plain.index], []
        if max(map(len, labels), default=0) > _LONGEST:
            lines = [f"{k + 1}: {label}" for k, label in enumerate(labels)]
            texts.index = pd.Index([f"{k + 1}" for k in range(len(labels))], name=plain.index.name)
        lines += texts.rename_axis(None).to_string(line_width=1000).splitlines()
        note = self.attrs.get("note")
        return "\n".join(lines + ([note] if note else []))


def _rounded(places: int) -> Callable[[float], str]:
    return lambda value: "" if np.isnan(value) else f"{value:.{places}f}"


def _p_text(value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.2g}" if value < 0.001 else f"{value:.4f}"


_LONGEST = 30  # characters of a row label
_PLACES: dict[str, Callable[[float], str]] = {
    "parameters": _rounded(0),
    "df": _rounded(0),
    "p": _p_text,
    **{name: _rounded(2) for name in ("loglik", "aic", "bic", "deviance", "chisq")},
}


def likelihood_ratio(*fits: Fit, **named: Fit) -> pd.DataFrame:
    """Compare nested models by their maximised likelihoods, as R's ``anova``.

    Parameters
    ----------
    *fits, **named : Fit
        From ``model.fit("laplace", objective="ml")``, of the same rows. Those without a name are labelled by their
        formulas.

    Returns
    -------
    DataFrame
        One row per model, the smallest first: parameters, loglik, aic, bic, deviance (-2 loglik), and against the
        row above chisq, df and p. ``frame.attrs["note"]`` says where p is only a bound.

    Raises
    ------
    BayesglmmError
        If fits cannot be compared: other rows or responses, no maximum likelihood, REML with different population
        effects, different approximations of the likelihood.

    Examples
    --------
    >>> import bayesglmm as bg
    >>> d = bg.load_dataset("sleepstudy")
    >>> models = {x: bg.Model(f"Reaction ~ {x} + (1 | Subject)", d) for x in ("1", "Days")}
    >>> fits = {x: model.fit("laplace", objective="ml", seed=1) for x, model in models.items()}
    >>> float(bg.likelihood_ratio(**fits).loc["Days", "chisq"].round(1))
    116.5
    """
    labelled = _labelled(fits, named)
    _check(labelled)
    ordered = sorted(labelled.items(), key=lambda item: int(item[1].data.attrs["parameters"]))
    table = pd.DataFrame(
        {
            "parameters": [int(fit.data.attrs["parameters"]) for _, fit in ordered],
            "loglik": [fit.loglik for _, fit in ordered],
            "aic": [fit.aic for _, fit in ordered],
            "bic": [fit.bic for _, fit in ordered],
            "deviance": [-2.0 * fit.loglik for _, fit in ordered],
        },
        index=pd.Index([label for label, _ in ordered], name="model"),
    )
    found = -table["deviance"].diff() + 0.0  # no minus zero
    freedom = table["parameters"].diff()
    table = table.assign(chisq=found, df=freedom, p=_p(found, freedom))
    if len({_group_parameters(fit) for _, fit in ordered}) > 1:
        table.attrs["note"] = _BOUNDARY
    return _printable(table)


def _printable(table: pd.DataFrame) -> pd.DataFrame:
    found = RatioTests(table)
    found.attrs = dict(table.attrs)
    return found


def drop_terms(fit: LikelihoodFit, model: FittedModel, refit: Callable[[FittedModel], Fit]) -> pd.DataFrame:
    """Test every population term that can be dropped by fitting the model without it; see `LikelihoodFit.drop_terms`.

    Parameters
    ----------
    fit : LikelihoodFit
    model : FittedModel
    refit : callable
        Model -> fit, with the engine and settings of `fit`.
    """
    rows: dict[str, tuple[float, float, float, float]] = {"(none)": (np.nan, np.nan, fit.loglik, fit.aic)}
    for term in model.droppable:
        smaller = refit(model.without(term))
        freedom = int(fit.data.attrs["parameters"]) - int(smaller.data.attrs["parameters"])
        rows[term] = (freedom, 2.0 * (fit.loglik - smaller.loglik), smaller.loglik, smaller.aic)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["df", "chisq", "loglik", "aic"])
    table.index.name = "dropped"
    return _printable(table.assign(p=_p(table["chisq"], table["df"])))


def _p(chisq: Any, freedom: Any) -> Any:
    values, df = np.asarray(chisq, dtype=float), np.asarray(freedom, dtype=float)
    known = df > 0  # false for nan
    return np.where(known, special.chdtrc(np.where(known, df, 1.0), np.maximum(values, 0.0)), np.nan)


def _labelled(fits: tuple[Fit, ...], named: Mapping[str, Fit]) -> dict[str, Fit]:
    found: dict[str, Fit] = {}
    for fit in fits:
        if not isinstance(fit, Fit):
            raise BayesglmmError(f"likelihood_ratio compares fits, not {type(fit).__name__}.")
        residual = fit.problem.residual
        label = str(fit.data.attrs["formula"]) + ("" if residual is None else f", residual {residual.block.label}")
        found[label if label not in found else f"{label} [{len(found) + 1}]"] = fit
    found |= named
    if len(found) < 2:
        raise BayesglmmError("likelihood_ratio needs at least two fits.")
    return found


def _check(fits: Mapping[str, Fit]) -> None:
    first_label, first = next(iter(fits.items()))
    for label, fit in fits.items():
        if not isinstance(fit, LikelihoodFit):
            raise BayesglmmError(
                f'{label!r} is no maximum likelihood fit but {fit.kind}. Use model.fit("laplace", objective="ml"); '
                "posteriors are compared by their predictions."
            )
        if not np.array_equal(fit.problem.response.y, first.problem.response.y):
            raise BayesglmmError(
                f"{label!r} and {first_label!r} are of different rows or responses, so their likelihoods say nothing "
                "about each other. Leave rows with missing values out of all of them first."
            )
        for name in ("objective", "quadrature"):
            own, other = (json.loads(each.data.attrs["settings"]).get(name) for each in (fit, first))
            if own != other:
                raise BayesglmmError(f"{label!r} has {name}={own!r} but {first_label!r} has {name}={other!r}.")
        if json.loads(fit.data.attrs["settings"]).get("objective") == "reml" and _columns(fit) != _columns(first):
            raise BayesglmmError(
                "Restricted likelihoods of models with different population effects cannot be compared: use "
                'objective="ml".'
            )


def _columns(fit: Fit) -> list[str]:
    return [parameter.label for parameter in fit.parameters if parameter.kind == "fixed"]


def _group_parameters(fit: Fit) -> int:
    return sum(parameter.kind in KINDS_OF_GROUPS and not parameter.derived for parameter in fit.parameters)
