"""The page that a fit writes of itself: a base class of `Fit`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bayesglmm.errors import BayesglmmError

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit
    from bayesglmm.results.protocols import FittedModel


class ReportAnswer:
    """The report of a fit.

    Attributes
    ----------
    model : FittedModel or None
    """

    model: FittedModel | None = None

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        others: Mapping[str, Fit] | None = None,
        title: str | None = None,
        prob: float = 0.95,
    ) -> Path:
        """Write a report: one HTML page that needs no other file, for screens, screen readers and paper.

        It says what was asked, the model in words and in mathematics, priors, data, whether the numbers can be
        trusted, estimates, group effects, smooths and maps, predictive checks, what to cite, and the code that makes
        the fit again. It holds no program, loads nothing, and names no folder of this computer; names of levels are
        in it.

        Parameters
        ----------
        path : path
            Ends in ``.html``. A file that is there is replaced.
        others : mapping of str to Fit, optional
            Fits of the same model by other engines, under names of your choice: they are compared with this one.
        title : str, optional
            Response and family if absent.
        prob : float
            Probability of the intervals.

        Returns
        -------
        pathlib.Path
            Where it is.

        Raises
        ------
        SettingsError
            For another suffix, or a `prob` that is none.
        StorageError
            If the file cannot be written.
        BayesglmmError
            If the fit does not hold its model.
        """
        if self.model is None:
            raise BayesglmmError("This fit does not hold its model, which a report needs.")
        return self.model.report(cast("Fit", self), path, others=others, title=title, prob=prob)
