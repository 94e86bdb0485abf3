"""What one can ask a fit about effects: a base class of `Fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.results.effects.table import EffectTable
    from bayesglmm.results.fit import Fit


class EffectAnswers:
    """Predictions, comparisons and slopes on grids, marginal means, hypotheses, odds ratios."""

    def predictions(
        self,
        new: Any = None,
        *,
        at: str | Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        average: bool | None = None,
        groups: str | Mapping[str, str] | None = None,
        scale: str = "response",
        prob: float = 0.95,
        seed: int | None = None,
        draws: int | None = None,
        offset: Any = None,
    ) -> EffectTable:
        """Predict on a grid, or on average over the data.

        Parameters
        ----------
        new : DataFrame or mapping, optional
            Rows, as `bayesglmm.grid` makes them; the rows used if neither this nor `at` is given.
        at : mapping or {"means", "medians", "balanced", "data"}, optional
            A grid in short: ``at={"period": "levels"}`` is ``new=bg.grid(fit, period="levels")``, and
            ``at="balanced"`` is ``new=bg.grid(fit, at="balanced")``.
        by : str or sequence of str, optional
            Average within the values of these columns.
        average : bool, optional
            Whether to average over rows. By default rows of the data are averaged (those of a grid made with
            ``at="data"`` for each of its values), rows at reference values are not.
        groups : str or mapping, optional
            As of `predict`. By default ``"these"`` where the rows hold every grouping factor, else ``"typical"``.
        scale : {"response", "link", "outcome"}
            Averages are of this scale.
        prob, seed, draws, offset
            As of `predict`.

        Returns
        -------
        EffectTable
            A DataFrame: the columns that tell rows apart, category where the response has some, and mean, sd,
            lower, upper (of a maximum likelihood fit estimate, se, lower, upper). It prints what was asked;
            ``table.draws`` are its draws.

        Raises
        ------
        UnknownNameError, SettingsError, DataError
            For columns, levels and words that there are not.
        """
        from bayesglmm.results.effects.asked import Asked
        from bayesglmm.results.effects.predictions import predictions
        from bayesglmm.results.predict import Question

        question = Question(scale=scale, seed=seed, draws=draws, offset=offset)
        return predictions(cast("Fit", self), Asked(new, at, by, average, groups, prob, question))

    def comparisons(
        self,
        variables: str | Sequence[str] | Mapping[str, Any] | None = None,
        contrast: Any = None,
        kind: str = "difference",
        new: Any = None,
        *,
        at: str | Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        average: bool | None = None,
        groups: str | Mapping[str, str] | None = None,
        scale: str = "response",
        prob: float = 0.95,
        seed: int | None = None,
        draws: int | None = None,
        offset: Any = None,
    ) -> EffectTable:
        """Compare predictions for two values of a variable, everything else as it is.

        Parameters
        ----------
        variables : str, sequence of str or mapping, optional
            What to change, or a mapping to contrasts; every predictor in turn if absent.
        contrast : optional
            Of numbers: a step (default +1; between the two values of a variable that has only two), a pair
            ``(from, to)``, ``"sd"``, ``"iqr"`` or ``"ends"``. Of factors: ``"reference"`` (default: each level
            against the first), ``"pairwise"``, ``"sequential"``, or a pair of levels.
        kind : {"difference", "ratio", "odds ratio"}
            With ``scale="link"``, ``"ratio"`` is exp of the difference: odds ratio, rate ratio.
        new, at, by, average, groups, scale, prob, seed, draws, offset
            As of `predictions`. Averaged ratios are ratios of averages: with ``groups="average"`` the marginal
            (standardised) risk or odds ratio.

        Returns
        -------
        EffectTable
            As of `predictions`, with the columns variable and contrast.

        Raises
        ------
        UnknownNameError, SettingsError
            For variables and contrasts that mean nothing, and odds ratios of what is no probability.
        """
        from bayesglmm.results.effects.asked import Asked
        from bayesglmm.results.effects.comparisons import comparisons
        from bayesglmm.results.predict import Question

        question = Question(scale=scale, seed=seed, draws=draws, offset=offset)
        asked = Asked(new, at, by, average, groups, prob, question)
        return comparisons(cast("Fit", self), variables, contrast, kind, asked)

    def slopes(
        self,
        variables: str | Sequence[str] | None = None,
        new: Any = None,
        *,
        at: str | Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        average: bool | None = None,
        groups: str | Mapping[str, str] | None = None,
        scale: str = "response",
        prob: float = 0.95,
        seed: int | None = None,
        draws: int | None = None,
        offset: Any = None,
        step: float | None = None,
    ) -> EffectTable:
        """Return the derivative of predictions with respect to numeric predictors, smooths and interactions included.

        Parameters
        ----------
        variables : str or sequence of str, optional
            Every numeric predictor if absent.
        new, at, by, average, groups, scale, prob, seed, draws, offset
            As of `predictions`.
        step : float, optional
            Half the width of the central difference, in units of the variable; 1e-4 of its standard deviation by
            default, which is right to about eight digits. Where the slopes to both sides differ, at a kink or a
            jump, a warning and the note say so.

        Returns
        -------
        EffectTable
            As of `predictions`, with the column variable: the change of the prediction per unit of it.
        """
        from bayesglmm.results.effects.asked import Asked
        from bayesglmm.results.effects.slopes import slopes
        from bayesglmm.results.predict import Question

        question = Question(scale=scale, seed=seed, draws=draws, offset=offset)
        return slopes(cast("Fit", self), variables, step, Asked(new, at, by, average, groups, prob, question))

    def emmeans(
        self,
        factors: str | Sequence[str],
        *,
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        pairwise: bool = False,
        kind: str = "difference",
        scale: str = "link",
        groups: str | Mapping[str, str] = "typical",
        prob: float = 0.95,
        seed: int | None = None,
        draws: int | None = None,
        offset: Any = None,
    ) -> EffectTable:
        """Return estimated marginal means of factors, or all their pairwise comparisons, as R's emmeans does.

        Means over a balanced grid: every level of the other factors (and of numbers with two values) has the same
        weight, whatever the data hold; other numbers are at their mean (Searle, Speed and Milliken 1980). Means that
        weigh as the data do are ``fit.predictions(at="data", by=...)``.

        Parameters
        ----------
        factors : str or sequence of str
            Whose levels have means; several: their combinations.
        by : str or sequence of str, optional
            Factors within whose levels comparisons stay.
        at : mapping, optional
            Values of numbers (or some levels of factors) for the grid: ``at={"age": [20, 60]}``.
        pairwise : bool
            All differences ``first - second`` instead of the means; nothing is adjusted for their number.
        kind : {"difference", "ratio", "odds ratio"}
            Of pairwise comparisons; ``"ratio"`` on the link scale is exp of the difference, as
            ``type = "response"`` in emmeans.
        scale : {"link", "response"}
            On which scale means are taken: on the response scale they are means of expected responses
            (``regrid()`` in emmeans).
        groups : str or mapping
            As of `predict`; on the response scale ``"average"`` gives means for the population.
        prob, seed, draws, offset
            As of `predict`.

        Returns
        -------
        EffectTable
        """
        from bayesglmm.results.effects.emmeans import emmeans
        from bayesglmm.results.predict import Question

        question = Question(groups, scale, seed, draws, offset)
        return emmeans(cast("Fit", self), factors, by, at, pairwise, kind, question, prob)

    def hypothesis(self, hypotheses: str | Sequence[str], prob: float = 0.95) -> EffectTable:
        """Return the posterior probability of hypotheses about parameters, in one direction each.

        Parameters
        ----------
        hypotheses : str or sequence of str
            Comparisons with ``>`` or ``<`` of expressions: ``"x > 0"``, ``"period[2] < period[3]"``,
            ``"sd[herd] > 2 * sigma"``, ``"abs(x) < 0.1"``. Names as in `summary`, with or without backticks;
            ``sd[g]`` stands for the only standard deviation of g. Functions: exp, log, sqrt, abs, logit, expit,
            tanh, pnorm, min, max. Nothing is run as code.
        prob : float

        Returns
        -------
        EffectTable
            hypothesis; mean, sd, lower, upper of the left side minus the right; probability, the share of draws in
            which it holds; evidence_ratio, its odds (infinite if all do). Of a maximum likelihood fit the draws are
            from the asymptotic distribution of the estimates.

        Raises
        ------
        SettingsError
            For equalities, which have probability 0, and what is no comparison.
        UnknownNameError
            For parameters and functions that there are not, with the nearest name.
        """
        from bayesglmm.results.effects.hypothesis import hypothesis

        return hypothesis(cast("Fit", self), hypotheses, prob)

    def odds_ratios(self, prob: float = 0.95, exponentiate: bool = True, draws: int | None = None) -> pd.DataFrame:
        """Return odds ratios (rate ratios, ...) of the coefficients, for one group and for the population.

        With a link that is not linear the two differ: a conditional odds ratio compares two animals of one herd, a
        marginal one the averages over all herds, and is nearer to 1. Marginal coefficients are those of Hedeker, du
        Toit, Demirtas and Gibbons (2018, A note on marginalization of regression parameters from mixed models of
        binary outcomes, Biometrics 74, 354-361), within each posterior draw.

        Parameters
        ----------
        prob : float
        exponentiate : bool
            False gives the coefficients themselves, for any link.
        draws : int, optional
            Use this many draws.

        Returns
        -------
        DataFrame
            Index: column names as in `fixed`, without those of smooths. Columns: conditional, conditional_lower,
            conditional_upper, marginal, marginal_lower, marginal_upper: posterior medians (or estimates) with
            intervals.

        Raises
        ------
        SettingsError
            If exp of a coefficient is no ratio, as for identity and probit links.
        BayesglmmError
            For responses with categories, nonlinear predictors, and models of smooths alone: `comparisons` answers
            there.
        """
        from bayesglmm.results.effects.odds_ratios import odds_ratios

        return odds_ratios(cast("Fit", self), prob, exponentiate, draws)
