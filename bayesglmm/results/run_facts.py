"""Numbers and sentences that an engine left with its run: a base class of `Fit`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bayesglmm.errors import BayesglmmError

if TYPE_CHECKING:
    import xarray as xr


class RunFacts:
    """What is known of a run beside its draws.

    Attributes
    ----------
    data : xarray.DataTree
        With the facts in ``attrs``.
    """

    data: xr.DataTree

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock time by stage: build, compile, sample, total."""
        return dict(json.loads(self.data.attrs["seconds"]))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the engine wants the user to know, in sentences."""
        return tuple(json.loads(self.data.attrs["notes"]))

    @property
    def loglik(self) -> float:
        """Maximised log-likelihood, for maximum likelihood fits."""
        return self._number("loglik", '"laplace" and objective="ml"')

    @property
    def aic(self) -> float:
        """Akaike's information criterion, for maximum likelihood fits."""
        return self._number("aic", '"laplace" and objective="ml"')

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, for maximum likelihood fits."""
        return self._number("bic", '"laplace" and objective="ml"')

    @property
    def log_evidence(self) -> float:
        """Logarithm of the marginal likelihood of the model, from engines that integrate under proper priors."""
        return self._number("log_evidence", '"laplace" or "ep" and proper priors')

    @property
    def khat(self) -> float:
        """Pareto k of the importance ratios between exact and approximate posterior, where there is one."""
        return self._number("khat", '"laplace"')

    def _number(self, name: str, needed: str) -> float:
        if name in self.data.attrs:
            return float(self.data.attrs[name])
        engine = self.data.attrs["engine"]
        raise BayesglmmError(f"This fit by the engine {engine!r} has no {name}: it needs the engine {needed}.")
