"""Methods of `Fit` that divide the variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem


class VarianceAnswers:
    """Shares of variance: of grouping factors, of relatives, of principal components."""

    if TYPE_CHECKING:
        problem: Problem

        @property
        def draws(self) -> xr.Dataset: ...

        @property
        def _evaluator(self) -> Evaluator: ...

    def icc(self, prob: float = 0.95) -> pd.DataFrame:
        """Return which share of the variance around the population effects each grouping factor has.

        For one factor with random intercepts this is the intraclass correlation, the adjusted one of Nakagawa,
        Johnson and Schielzeth (2017): the correlation of two observations of the same level on the scale of the
        linear predictor. The residual there is sigma squared for the identity link, the latent variance of a
        probability link (pi^2/3 for logit, 1 for probit, pi^2/6 for cloglog), and else the variance of the response
        at its mean, brought to that scale (for a log link: log(1 + variance/mean^2)). With random slopes a factor's
        variance is averaged over the rows. Smooths count as population effects.

        Parameters
        ----------
        prob : float

        Returns
        -------
        DataFrame
            Columns: group (the last is ``Residual``), variance (posterior mean), and mean, sd, lower, upper of the
            share. ``frame.attrs["note"]`` says what the residual is. A term with a known covariance beside another
            of the same factor has a row of its own, under its label.
        """
        from bayesglmm.results.variance import shares

        return shares(self._evaluator, self.draws, prob)

    def heritability(self, prob: float = 0.95) -> pd.DataFrame:
        """Return which share of the variance known relations between levels explain, ``(1 | gr(id, cov=K))``.

        With kinship or a pedigree as K it is the narrow-sense heritability, with a phylogeny Pagel's lambda of mixed
        models (Hadfield and Nakagawa 2010): sd^2 times the mean diagonal of K at the levels of the data, over the
        whole variance around the population effects, the residual on the scale of the linear predictor included
        (Nakagawa and Schielzeth 2013). The rows are those of `icc`.

        Parameters
        ----------
        prob : float

        Returns
        -------
        DataFrame
            Columns: group, variance, and mean, sd, lower, upper of the share; ``attrs["note"]`` says what the
            residual is.

        Raises
        ------
        BayesglmmError
            If no term has a known covariance.
        """
        from bayesglmm.results.variance import inherited_shares

        return inherited_shares(self._evaluator, self.draws, prob)

    def components(self, prob: float = 0.95) -> pd.DataFrame:
        """Return shares of variance of the principal components of group terms with 2 to 40 coefficients (``rePCA``).

        Shares near zero say that a structure with fewer parameters would do; ``attrs["note"]`` says so in words.
        """
        from bayesglmm.results.components import components

        return components(self.problem, self.draws, prob)
