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
    def kind(self) -> str:
        """What the fit is, for messages: ``a posterior by "nuts"``."""
        objective = json.loads(self.data.attrs["settings"]).get("objective", "posterior")
        words = {"ml": "a maximum likelihood fit", "reml": "a restricted maximum likelihood fit"}
        return words.get(objective, f'a posterior by the engine "{self.data.attrs["engine"]}"')

    @property
    def loglik(self) -> float:
        """Maximised log-likelihood, for maximum likelihood fits."""
        return self._number("loglik", _OF_LIKELIHOOD)

    @property
    def aic(self) -> float:
        """Akaike's information criterion, for maximum likelihood fits."""
        return self._number("aic", _OF_LIKELIHOOD)

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, for maximum likelihood fits."""
        return self._number("bic", _OF_LIKELIHOOD)

    @property
    def log_evidence(self) -> float:
        """Logarithm of the marginal likelihood of the model, from engines that integrate under proper priors."""
        return self._number(
            "log_evidence",
            'The likelihood averaged over proper priors comes with model.fit("laplace"), without objective= and flat '
            'priors, and with model.fit("ep"); fit.bridge() estimates it from the draws of NUTS and Metropolis. '
            "fit.loglik, the maximised log-likelihood, is another number.",
        )

    @property
    def khat(self) -> float:
        """Pareto k of the importance ratios between exact and approximate posterior, where there is one."""
        return self._number(
            "khat",
            'It compares an approximate posterior with the exact one, for model.fit("laplace") without objective= '
            'and model.fit("ep"). How far this fit can be trusted: fit.verdict.',
        )

    def _number(self, name: str, why: str) -> float:
        if name in self.data.attrs:
            return float(self.data.attrs[name])
        raise BayesglmmError(f"This fit has no {name}, for it is {self.kind}. {why}")


_OF_LIKELIHOOD = (
    'It comes with model.fit("laplace", objective="ml"). Posteriors are compared by their predictions '
    "(fit.loo(), fit.kfold()) or by fit.log_evidence."
)
