"""`LikelihoodFit`: maximum likelihood estimates, with the same questions and answers as a posterior."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.errors import BayesglmmError, ModelWarning
from bayesglmm.results import tables
from bayesglmm.results.checks import Check, Verdict, verdict_of
from bayesglmm.results.fit import Fit
from bayesglmm.results.likelihood_quality import good_words, likelihood_check
from bayesglmm.results.optimum import has_maximum
from bayesglmm.results.protocols import Rebindable
from bayesglmm.results.rows_elsewhere import refuses_rows_elsewhere
from bayesglmm.results.schema import ASYMPTOTIC, ESTIMATES, asymptotic
from bayesglmm.results.wald import Wald, normal_quantile

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesglmm.engines.kernels.likelihood import Estimation
    from bayesglmm.graph.problem import Problem
    from bayesglmm.results.bootstrap import Bootstrap
    from bayesglmm.results.profile import Profile
    from bayesglmm.results.protocols import FittedModel

_RENAMED = {"mean": "estimate", "sd": "se"}


@refuses_rows_elsewhere
class LikelihoodFit(Fit):
    """A model fitted by (restricted) maximum likelihood: no priors, estimates with standard errors.

    Tables have the columns ``estimate, se, lower, upper``. Intervals are Wald's: symmetric for coefficients, on
    the log scale for standard deviations, on Fisher's z for correlations. `draws` are from the asymptotic normal
    distribution of the estimates; predictions take their standard errors and intervals from them. They are made,
    from the seed of the fit, when something first needs them.

    Parameters
    ----------
    data : xarray.DataTree, or callable that returns it
        As for `Fit`.
    problem : Problem
    design : Rebindable, optional
    draws : mapping of str to ndarray, optional
        Draws of the free variables around the estimates, for a tree without the group ``asymptotic``.
    """

    def __init__(
        self,
        data: xr.DataTree | Callable[[], xr.DataTree],
        problem: Problem,
        design: Rebindable | None = None,
        draws: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data, problem, design)
        self._requested = draws

    @property
    def draws(self) -> xr.Dataset:
        """Draws from the asymptotic normal distribution of the estimates, with dims chain and draw first.

        Made when first read, the same from the same seed whenever that is; they are then in `data` as the group
        ``asymptotic``. `save` reads them.

        Raises
        ------
        BayesglmmError
            If `data` has been stored without them.
        """
        if ASYMPTOTIC not in self.data.children:
            if self._requested is None:
                raise BayesglmmError(
                    "This fit has no draws around its estimates, and what they are made from is not stored with it: "
                    "fit again, or read fit.draws before storing fit.data."
                )
            self._add(ASYMPTOTIC, asymptotic(self.problem, self._requested))
            # Both know the run, with draws of what users do not read; all that they make is in `data` by now.
            self._requested = None
            self.__dict__.pop("_assemble", None)
        return self.data[ASYMPTOTIC].to_dataset()

    @cached_property
    def parameters(self) -> list[tables.Parameter]:
        """All population-level parameters: labels, where they belong, the estimate as the only draw."""
        return self._wald.parameters

    @cached_property
    def _wald(self) -> Wald:
        return Wald(self.problem, self._estimates)

    @property
    def _estimates(self) -> xr.Dataset:
        return self.data[ESTIMATES].to_dataset()

    def summary(self, prob: float = 0.95, sensitivity: bool = False) -> pd.DataFrame:
        """Return all population-level parameters; there are no priors for `sensitivity`.

        Returns
        -------
        DataFrame
            Index: labels as in `Fit.summary`. Columns: estimate, se, lower, upper.
        """
        found = tables.labelled(self.parameters, prob, self._wald.describe)
        return found.join(self.prior_sensitivity()) if sensitivity else found

    def fixed(self, prob: float = 0.95) -> pd.DataFrame:
        """Return the population coefficients, on the scale of the linear predictor.

        Returns
        -------
        DataFrame
            Index as in `Fit.fixed`. Columns: estimate, se, lower, upper.
        """
        return tables.fixed(self.parameters, prob, self._wald.describe)

    def varcorr(self, prob: float = 0.95) -> pd.DataFrame:
        """Return standard deviations and correlations of the group effects.

        Returns
        -------
        DataFrame
            Columns: group, term, term2, kind, estimate, se, lower, upper. A standard deviation at its boundary is 0
            without standard error.
        """
        return tables.varcorr(self.problem, self.parameters, prob, self._wald.describe)

    def ranef(self, prob: float = 0.95, group: str | None = None) -> pd.DataFrame:
        """Return the conditional modes of the group effects.

        Returns
        -------
        DataFrame
            Columns: group, level, term, estimate, se, lower, upper. The standard error is the conditional standard
            deviation given all other estimates, as in lme4.
        """
        return self._wald.ranef(prob, group)

    def coef(self, prob: float = 0.95, group: str | None = None) -> pd.DataFrame:
        """Return the coefficients of each level: population coefficient plus group effect.

        Returns
        -------
        DataFrame
            Columns as of `ranef`; standard errors, from the asymptotic draws, count both parts.
        """
        found = super().coef(prob, group).rename(columns=_RENAMED)
        found["estimate"] = tables.coef(self.problem, self.point, prob, group)["mean"]
        half = normal_quantile(prob) * found["se"]
        return found.assign(lower=found["estimate"] - half, upper=found["estimate"] + half)

    def heritability(self, prob: float = 0.95) -> pd.DataFrame:
        """Return which share of the variance known relations between levels explain; see `Fit.heritability`.

        Returns
        -------
        DataFrame
            Columns: group, variance, estimate, se, lower, upper: variance and share at the estimates, and the share's
            asymptotic spread.
        """
        from bayesglmm.results.variance import inherited_shares

        drawn, at = super().heritability(prob), inherited_shares(self._evaluator, self.point, prob)
        found = drawn.rename(columns=_RENAMED).assign(variance=at["variance"], estimate=at["mean"])
        found.attrs = drawn.attrs
        return found

    def predict(
        self,
        new: Any = None,
        groups: str | Mapping[str, str] = "these",
        scale: str = "response",
        prob: float = 0.95,
        seed: int | None = None,
        draws: int | None = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Predict for the rows used, or for new ones.

        The arguments are those of `Fit.predict`.

        Returns
        -------
        DataFrame
            As of `Fit.predict`, with columns estimate, se, lower, upper: the prediction at the estimates where it
            is a number, and its asymptotic spread. What is drawn (new groups, outcomes) has no such number: there
            the estimate is the mean of what was drawn. ``"these or new"`` draws for unknown groups only.
        """
        from bayesglmm.results.predict import Question, drawn_rows, predict
        from bayesglmm.results.printed import AnswerTable

        drawn = super().predict(new, groups, scale, prob, seed, draws, offset)
        found = AnswerTable(drawn.rename(columns=_RENAMED))
        found.attrs = drawn.attrs
        if scale == "outcome":
            return found
        with warnings.catch_warnings():  # the draws have warned already
            warnings.simplefilter("ignore", ModelWarning)
            random = drawn_rows(self._evaluator, self.design, new, groups, offset)
            if not random.all():
                question = Question(groups, scale, offset=offset)
                at = predict(self._evaluator, self.point, self.design, new, question, prob)["mean"].to_numpy()
                random = np.repeat(random, len(found) // len(random))  # categories follow rows
                found["estimate"] = np.where(random, found["estimate"], at)
        return found

    flat = True

    @property
    def point(self) -> xr.Dataset:
        """The estimates as if they were the only draw."""
        own = [parameter for parameter in self._estimates.data_vars if not str(parameter).endswith("_se")]
        return self._estimates[own].expand_dims(chain=[0], draw=[0])

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the search ended at a maximum, and Laplace's approximation is good there.

        ``"good"``, ``"check"`` or ``"bad"``; ``print(fit.verdict)`` says why. The approximation of the likelihood
        (Laplace's, or that of expectation propagation) is compared with quadrature where the likelihood is a product
        over levels; see `bayesglmm.results.likelihood_quality`.
        """
        return verdict_of(self._checks, good_words(self._approximation, self._estimation.name))

    @cached_property
    def _approximation(self) -> Check | None:
        if not has_maximum(json.loads(self.data.attrs["convergence"])):
            return None  # there are no estimates to judge it at
        return likelihood_check(self.problem, self._estimation)

    @cached_property
    def _checks(self) -> list[Check]:
        found = super()._checks
        return found if self._approximation is None else [*found, self._approximation]

    # -------------------------------------------------------------------------------------------- fitting it again

    def drop_terms(self) -> pd.DataFrame:
        """Test every population term that can be dropped, as R's ``drop1``: fit the model without it.

        A term that is part of an interaction cannot be dropped before the interaction. Tests need
        ``objective="ml"``: restricted likelihoods of different population effects cannot be compared.

        Returns
        -------
        DataFrame
            Index: the term dropped, ``(none)`` first. Columns: df, chisq, loglik, aic, p.

        Raises
        ------
        BayesglmmError
            For REML fits, and for fits without their model.
        """
        from bayesglmm.results.likelihood_ratio import drop_terms

        if self._settings["objective"] == "reml":
            raise BayesglmmError('drop_terms needs a fit with objective="ml"; this one has "reml".')
        return drop_terms(self, self._model, self._refit)

    def profile(self, parameters: str | Sequence[str] | None = None, reach: float = 0.99) -> Profile:
        """Profile the likelihood: what Wald's intervals only approximate.

        Standard deviations that are estimated as zero grow along the profiles of the others where that raises the
        likelihood; their own profile begins at zero.

        Parameters
        ----------
        parameters : str or sequence of str, optional
            Labels as in `summary`; all if absent.
        reach : float
            How far to go: intervals of up to this probability can be read off.

        Returns
        -------
        Profile
            ``profile.intervals(prob)`` has the intervals, ``profile.table`` the curves.

        Raises
        ------
        BayesglmmError
            For REML fits: the population effects have no likelihood there.
        """
        from bayesglmm.engines.threads import suitable_threads
        from bayesglmm.graph.latent import LatentView
        from bayesglmm.results.profile import profile

        if self._settings["objective"] == "reml":
            raise BayesglmmError('profile needs a fit with objective="ml"; this one has "reml".')
        wanted = [parameters] if isinstance(parameters, str) else parameters
        with suitable_threads(self.problem):
            return profile(self.problem, LatentView(self.problem), self._estimation, reach, wanted)

    def bootstrap(self, n: int = 500, workers: int | None = None, seed: int | None = None) -> Bootstrap:
        """Simulate responses from the estimates, with new group effects, and fit each (parametric bootstrap).

        Parameters
        ----------
        n : int
            Replicates.
        workers : int, optional
            Replicates at once; what ``joblib.parallel_config`` says if absent, one by default. Their number does not
            change the numbers.
        seed : int, optional
            Same seed, same numbers.

        Returns
        -------
        Bootstrap
            ``bootstrap.table`` has the estimates of every replicate, ``bootstrap.summary(prob)`` bias, standard
            errors and percentile intervals.

        Raises
        ------
        BayesglmmError
            For censored or truncated responses.
        """
        from bayesglmm.engines.threads import suitable_threads
        from bayesglmm.results.bootstrap import bootstrap

        with suitable_threads(self.problem):
            return bootstrap(self._evaluator, self.point, n, workers, seed, self._estimation)

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(json.loads(self.data.attrs["settings"]))

    @property
    def _estimation(self) -> Estimation:
        """How the estimates were found."""
        from bayesglmm.engines import ENGINES

        found: Estimation = ENGINES.get(self.data.attrs["engine"]).configure(**self._settings).estimation
        return found

    @property
    def _model(self) -> FittedModel:
        if self.model is None:
            raise BayesglmmError("This fit does not hold its model, so it cannot be fitted again.")
        return self.model

    def _refit(self, model: FittedModel) -> Fit:
        """Fit another model as this one was; nothing is drawn that nobody looks at."""
        return model.fit(self.data.attrs["engine"], seed=0, **self._settings | {"draws": 1, "chains": 1})
