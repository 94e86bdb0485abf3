"""Methods of `Fit` that check the model: residuals, their tests, what predictors explain, what priors decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem
    from bayesglmm.results.checking.diagnosis import Diagnosis
    from bayesglmm.results.checks import Check
    from bayesglmm.results.protocols import FittedModel, Rebindable
    from bayesglmm.results.tables import Parameter


class CheckingAnswers:
    """Does the model describe the data?"""

    if TYPE_CHECKING:
        flat: bool
        data: xr.DataTree
        problem: Problem
        design: Rebindable | None
        model: FittedModel | None

        @property
        def _checks(self) -> list[Check]: ...

        @property
        def parameters(self) -> list[Parameter]: ...

        @property
        def draws(self) -> xr.Dataset: ...

        @property
        def point(self) -> xr.Dataset: ...

        @property
        def _evaluator(self) -> Evaluator: ...

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks behind the verdict: what `diagnose` says of the computation, as objects."""
        return tuple(self._checks)

    def diagnose(self, try_remedies: bool = False, seed: int | None = None) -> Diagnosis:
        """Return every check of the engine and what else stands between model and data, the worst first.

        Checks of the computation make the verdict. Findings about the model are in the table where there are any:
        separation (found by linear programming; Konis 2007), columns and factors that say the same (aliasing), levels
        with one row, few levels, standard deviations that cannot be told from zero, concurvity of smooths. Divergent
        draws are tied to the parameter that tells them from the others.

        Parameters
        ----------
        try_remedies : bool
            Whether to fit again as the advice says, for every finding that has a remedy, until one works. That takes
            as long as these fits.
        seed : int, optional
            Of these fits.

        Returns
        -------
        DataFrame
            Columns: check, value, threshold, verdict, meaning, advice, about (``"computation"`` or ``"model"``).
            With `try_remedies` also tried (what was done), before, after (what the finding is measured by: the value
            of the check, AIC, a coefficient with its sd), worked (True or False; missing where nothing was tried).
            Printed, it is a list in sentences.

        Raises
        ------
        BayesglmmError
            If remedies are to be tried and the fit does not hold its model.
        """
        from bayesglmm.results.checking.diagnosis import diagnosis

        return diagnosis(self, try_remedies, seed)  # type: ignore[arg-type]

    def residuals(self, kind: str = "quantile", seed: int | None = None, simulations: int = 250) -> pd.DataFrame:
        """Return a residual for every row used.

        Randomised-quantile residuals (Dunn and Smyth 1996; by simulation, as DHARMa has them) say where a response
        lies among responses that the model simulates for its row: uniform between 0 and 1 where the model is right,
        whatever the family. The parameters and group effects are those of one posterior draw, chosen by the seed:
        for one draw, but not for their average, the residuals of a right model are exactly uniform and independent
        (Johnson 2007). Censored rows get a value among those they may stand for.

        Parameters
        ----------
        kind : {"quantile", "normal", "response", "pearson"}
            ``"quantile"``: between 0 and 1. ``"normal"``: the same as standard normal scores. ``"response"``:
            observed minus expected response (proportions where there are trials). ``"pearson"``: that over the
            standard deviation of the response, which is simulated.
        seed : int, optional
            Same seed, same numbers.
        simulations : int
            Simulated responses per row.

        Returns
        -------
        DataFrame
            One row per row used, with its index. Columns: observed, fitted (the expected response; of categories that
            of their codes 0, 1, ...), residual. Fitted values are those of the same posterior draw, and posterior
            means beside response and Pearson residuals. ``frame.attrs["note"]`` says what it is.

        Raises
        ------
        BayesglmmError
            For response and Pearson residuals of categories, and of censored or truncated responses.

        See Also
        --------
        check_residuals : tests. bayesglmm.plots.residuals : the figure.
        """
        from bayesglmm.results.checking.residuals import residuals

        return residuals(self._evaluator, self.draws, kind, seed, simulations)

    def check_residuals(self, by: Any = None, seed: int | None = None, simulations: int = 250) -> pd.DataFrame:
        """Test the randomised-quantile residuals and say in words what they show.

        Parameters
        ----------
        by : str or array, optional
            A column of the formula, or values of another one, over which the residuals should show no trend.
        seed : int, optional
            Same seed, same numbers.
        simulations : int
            Simulated data sets per posterior draw.

        Returns
        -------
        DataFrame
            Columns: check, value, expected (what a right model gives), p, verdict, meaning, advice. The checks:

            - uniformity: Kolmogorov's distance of the residuals from uniform;
            - dispersion: squared distances from the expected response over those of simulated responses (not for
              binary responses and categories, which have no spread of their own);
            - zeros: number of zeros over that of simulated responses;
            - outliers: share of rows beyond all simulated ones;
            - trend and spread over the predictions, and over `by`: share of the variation of the residuals, or of
              the logarithm of their squares, that a quadratic curve over ranks (or the levels) explains.

            Every p combines tests at eight posterior draws (Liu and Xie 2020), each of which is exact under a right
            model (Yuan and Johnson 2012). ``frame.attrs["note"]`` has the limits of the verdicts.
        """
        from bayesglmm.results.checking.residual_tests import check_residuals

        return check_residuals(self._evaluator, self.draws, self.design, by, seed, simulations)

    def r2(self, prob: float = 0.95) -> pd.DataFrame:
        """Return R-squared: which share of the variance the model explains.

        ``"marginal"`` (by population effects and smooths) and ``"conditional"`` (by these and the groups) are shares
        of the variance on the scale of the linear predictor, of Nakagawa, Johnson and Schielzeth (2017); what the
        residual is there, `icc` says: it has closed forms for the identity and for probability links, and is else the
        variance of simulated responses at their mean. Offsets count as known. ``"bayesian"`` is the share of the
        variance of the response itself (of proportions, of codes of ordered categories) of Gelman, Goodrich, Gabry
        and Vehtari (2019).

        Parameters
        ----------
        prob : float

        Returns
        -------
        DataFrame
            Columns: kind, mean, sd, lower, upper; of maximum likelihood fits estimate, se, lower, upper. For nominal
            responses there is a row for every category against the reference, with the column ``predictor``.
            ``frame.attrs["note"]`` says what the residual is, and why a row is missing.
        """
        from bayesglmm.results.checking.r2 import r_squared

        found = r_squared(self._evaluator, self.draws, prob)
        if not self.flat:
            return found
        at = r_squared(self._evaluator, self.point, prob)["mean"]
        estimates = found.assign(mean=at).rename(columns={"mean": "estimate", "sd": "se"})
        estimates.attrs = found.attrs
        return estimates

    def prior_sensitivity(self) -> pd.DataFrame:
        """Return how much every population-level parameter depends on the priors, by power scaling.

        Priors, and then the likelihood, are raised to powers near one, and the draws are reweighted accordingly: the
        sensitivity is the distance (cumulative Jensen-Shannon) that the posterior moves per doubling of the power
        (Kallioinen, Paananen, Buerkner and Vehtari 2024; computed by ArviZ). Above 0.05 it is worth a look. All
        priors that can be set are scaled together; the distribution of group effects belongs to the model.

        Returns
        -------
        DataFrame
            Index: labels as in `summary`. Columns: prior, likelihood (sensitivities; missing for parameters that are
            held), diagnosis: ``"prior and data disagree"`` where both are large, ``"strong prior or weak data"``
            where only that of the prior is, else empty.

        Raises
        ------
        BayesglmmError
            For maximum likelihood fits, which have no priors.
        """
        from bayesglmm.errors import BayesglmmError
        from bayesglmm.results.checking.sensitivity import prior_sensitivity

        if self.flat:
            raise BayesglmmError(
                "There are no priors to be sensitive to: this fit has maximum likelihood estimates. Use "
                'model.fit("laplace") without objective=.'
            )
        return prior_sensitivity(self._evaluator, self.draws, self.parameters)
