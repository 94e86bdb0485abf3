"""What this room needs from its neighbours, as protocols: a model, its design, the run of an engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bayesglmm.blocks import Block, Floats, Ints, Predictor

if TYPE_CHECKING:
    from bayesglmm.graph.problem import Problem
    from bayesglmm.results.fit import Fit
    from bayesglmm.terms import Smooth


class Quality(Protocol):
    """How good an approximation is, as the engine that made it found out."""

    @property
    def verdict(self) -> str:
        """One of "good", "check", "bad"."""

    @property
    def khat(self) -> float:
        """Pareto k of the joint importance ratios."""

    @property
    def shifts(self) -> Mapping[str, float]:
        """By parameter: how far its mean would move under the correction, in posterior standard deviations."""

    @property
    def noise(self) -> float:
        """Monte Carlo error of a shift."""

    @property
    def method(self) -> str:
        """How the correction was computed."""

    @property
    def errors(self) -> Mapping[str, float]:
        """Monte Carlo errors of the shifts."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """For the user; the first is the verdict in words."""

    @property
    def advice(self) -> str:
        """What to do; empty where all is well."""

    @property
    def details(self) -> Mapping[str, Any]:
        """What else was found, as plain values that JSON can hold."""


class EngineRun(Protocol):
    """What an engine hands back; `bayesglmm.engines.base.Run` is one.

    A run may carry more, see `bayesglmm.results.facts`: ``numbers``, ``quality`` where the engine approximates, and
    ``likelihood`` where it maximises.
    """

    @property
    def draws(self) -> Mapping[str, Any]:
        """Draws of every free variable, each of shape (chains, draws, ...)."""

    @property
    def stats(self) -> Mapping[str, Any]:
        """Sampler statistics under ArviZ's names, each of shape (chains, draws)."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall-clock time by stage."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user."""


class EngineSettings(Protocol):
    """Settings of an engine."""

    def as_dict(self) -> dict[str, Any]:
        """Return them as plain values."""


class UnknownLevels(Protocol):
    """Levels of one grouping factor that only new data have."""

    @property
    def group(self) -> str:
        """The grouping factor."""

    @property
    def levels(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def index(self) -> Ints:
        """Which of them a row has, shape (n,); -1 for rows with a known level."""


class NewRows(Protocol):
    """New data in the terms of a fitted design."""

    @property
    def n(self) -> int:
        """Number of rows."""

    @property
    def predictors(self) -> Mapping[str, Predictor]:
        """Blocks for the new rows by family parameter, in the order of the fit; unknown levels have index -1."""

    @property
    def trials(self) -> Floats | None:
        """Binomial trials of the new rows, shape (n,), or None where the new data have none."""

    @property
    def covariates(self) -> Mapping[str, Floats]:
        """What a nonlinear predictor is computed from beside its parameters, as in `Response`."""

    @property
    def weights(self) -> Floats | None:
        """The column of weights, shape (n,), or None where the new data have none."""

    @property
    def new_levels(self) -> Mapping[str, Sequence[UnknownLevels]]:
        """By family parameter, for each group term: the levels that the model does not know."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What readers of predictions for these rows should know, in sentences."""


class Roles(Protocol):
    """Columns of the data by what the model makes of them."""

    @property
    def response(self) -> frozenset[str]:
        """Those that the left side mentions."""

    @property
    def groups(self) -> frozenset[str]:
        """Those that the grouping factors are computed from."""

    @property
    def factors(self) -> frozenset[str]:
        """Those whose values are coded as levels."""

    @property
    def population(self) -> frozenset[str]:
        """Those that every prediction needs, whatever the groups."""

    @property
    def offsets(self) -> frozenset[str]:
        """Those of `population` that only offsets are computed from."""


class Rebindable(Protocol):
    """A design that can code new data as it coded the data of the fit."""

    @property
    def data(self) -> Any:
        """The data frame, or what of it the formula mentions."""

    def rebind(self, data: Any, groups: bool = True) -> NewRows:
        """Return the new rows; without `groups` the grouping factors need not be among their columns."""

    @property
    def rows(self) -> Any:
        """Which rows of the data are used: `positions` and `labels`."""

    @property
    def unobserved(self) -> Any:
        """The rows of the data frame without a response, which are to be predicted."""

    @property
    def smooths(self) -> Mapping[str, Sequence[Smooth]]:
        """The smooths of every predictor, by family parameter."""

    @property
    def roles(self) -> Roles:
        """What each column of the data is in the model."""

    def curve(self, parameter: str, label: str, data: Any) -> Sequence[Block]:
        """Return the blocks of one smooth alone at new covariate values."""


class FittedModel(Protocol):
    """What made a fit."""

    @property
    def formula(self) -> str | Sequence[str]:
        """The formula or formulas, as the user wrote them."""

    @property
    def problem(self) -> Problem:
        """The graph with the role of every variable."""

    @property
    def design(self) -> Rebindable:
        """Formula and data as numbers."""

    @property
    def droppable(self) -> tuple[str, ...]:
        """Population terms that no other term contains."""

    def without(self, term: str) -> FittedModel:
        """Return the model of the same rows without a population term."""

    @property
    def given(self) -> Mapping[str, Any]:
        """The arguments of the model beside formula, data and family, as the user gave them."""

    def changed(self, formula: Any = ..., data: Any = ..., **given: Any) -> FittedModel:
        """Return the model with other formulas, data or arguments."""

    def fit(self, engine: str = ..., *, seed: int | None = ..., **settings: Any) -> Fit:
        """Infer."""

    def report(
        self,
        fit: Fit,
        path: str | os.PathLike[str],
        *,
        others: Mapping[str, Fit] | None,
        title: str | None,
        prob: float,
    ) -> Path:
        """Write the report of a fit; see `Fit.report`."""
