"""What a family is: parameters with links and default priors, a check of the response, one distribution, one mean.

A new family is one file in this folder that ends with ``FAMILIES.register(...)``; nothing else changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Response, ResponseMoments
from bayesglmm.errors import DataError
from bayesglmm.links import Domain, Link, Linked
from bayesglmm.priors import Prior
from bayesglmm.registry import Registry


@dataclass(frozen=True)
class FamilyParameter:
    """One parameter of a response distribution.

    Attributes
    ----------
    name : str
        ``mu``, ``sigma``, ``shape``, ``zi``, ...
    domain : {"real", "positive", "unit"}
        Where its value lies; any registered link with that domain may be used.
    link : str
        Default link when the parameter has a formula (for the main parameter: always).
    prior : Prior or None
        Default prior on the natural scale when the parameter has no formula; None for the main parameter, and
        for a scale parameter whose default depends on the data (`scaled`).
    scaled : bool
        The default prior is ``Exponential`` with mean s_y, the standard deviation of the response on the link
        scale of the main parameter.
    ordered : bool
        A vector of increasing values (cutpoints), one fewer than the response has categories; takes no formula.
    """

    name: str
    domain: Domain
    link: str
    prior: Prior | None = None
    scaled: bool = False
    ordered: bool = False


class ResponseScale(NamedTuple):
    """Where the default priors of the main predictor sit.

    Attributes
    ----------
    centre : float
        g(mean y): the link of a typical mean.
    spread : float
        s_y of the design page: sd(y) |g'(mean y)| for identity, inverse and sqrt links, sd(log y) for
        lognormal, 1 for log and probability links.
    """

    centre: float
    spread: float


def proportions(response: Response) -> Floats:
    """Return the response, divided by the trials where there are any, shape (n,)."""
    found = response.y if response.trials is None else response.y / np.maximum(response.trials, 1.0)
    return np.asarray(found)


def default_scale(response: Response, moments: ResponseMoments, link: Link) -> ResponseScale:
    """Return centre and spread of the response on the link scale, as the design page defines them.

    Parameters
    ----------
    response : Response
    moments : ResponseMoments
        Of the response, or of its proportions where there are trials.
    link : Link
        Link of the main parameter.

    Raises
    ------
    DataError
        If the mean of the response lies outside of the range of the link: there is no model to centre.
    """
    mean = moments.mean
    if (link.domain == "unit" and moments.whole) or (link.domain == "positive" and moments.zero):
        mean = (mean * moments.n + 0.5) / (moments.n + 1.0)  # none or all of the trials, no event at all
    with np.errstate(all="ignore"):
        centre = float(link.link(mean, NUMPY))
    if not np.isfinite(centre):
        raise DataError(
            f"The {link.name} link does not suit the response {response.name!r}, whose mean is {mean:.4g}: the link "
            "of that mean is not a finite number. Choose a link whose range has the mean of the response in it."
        )
    if link.domain == "unit" or link.name == "log":
        return ResponseScale(centre, 1.0)
    spread = moments.sd
    step = 1e-4 * (abs(mean) or spread or 1.0)
    slope = float(link.link(mean + step, NUMPY) - link.link(mean - step, NUMPY)) / (2 * step)
    return ResponseScale(centre, spread * abs(slope) or 1.0)


class ResponseData(NamedTuple):
    """What the distribution needs of each row beside its parameters; numpy or PyTensor arrays.

    Attributes
    ----------
    trials : array of shape (n,) or None
        Binomial trials.
    weights : array of shape (n,) or None
        Precision weights.
    """

    trials: Any = None
    weights: Any = None


class Derivatives(NamedTuple):
    """Elementwise log-likelihood and its derivatives in the main predictor eta and the dispersions phi.

    Shapes (n,); mappings are keyed by dispersion name, phi on its natural scale. What concerns the k numbers of a
    vector (cutpoints) has shape (k, n).

    Attributes
    ----------
    value : ndarray or None
        log p(y | eta, phi).
    d1, d2, d3 : ndarray or None
        First to third derivative in eta.
    dphi, d1phi, d2phi : mapping
        dl/dphi, d2l/(d eta d phi), d3l/(d eta2 d phi).
    """

    value: Floats | None = None
    d1: Floats | None = None
    d2: Floats | None = None
    d3: Floats | None = None
    dphi: Mapping[str, Floats] = {}
    d1phi: Mapping[str, Floats] = {}
    d2phi: Mapping[str, Floats] = {}


class JointDerivatives(NamedTuple):
    """As `Derivatives`, for a likelihood with P predictors.

    Attributes
    ----------
    value : ndarray, shape (n,)
    d1 : ndarray, shape (P, n)
    d2 : ndarray, shape (P, P, n)
    d3 : ndarray, shape (P, P, P, n)
    dphi, d1phi, d2phi : mapping
        Shapes (n,), (P, n) and (P, P, n); with another axis ahead for a vector.
    """

    value: Floats
    d1: Floats | None = None
    d2: Floats | None = None
    d3: Floats | None = None
    dphi: Mapping[str, Floats] = {}
    d1phi: Mapping[str, Floats] = {}
    d2phi: Mapping[str, Floats] = {}


class TiltedMoments(NamedTuple):
    """A normal density times the likelihood of one row, as a distribution of its predictor.

    Attributes
    ----------
    log_normaliser, mean, variance : ndarray, shape (n,)
    """

    log_normaliser: Floats
    mean: Floats
    variance: Floats


class Family(ABC):
    """A response distribution.

    Attributes
    ----------
    name : str
        Registered name.
    aliases : tuple of str
        Other spellings that users of R or Bambi type.
    parameters : tuple of FamilyParameter
        The main one, which the main formula models, comes first.
    discrete : bool
        Whether the response is a count or a category (bounds of truncation are then inclusive).
    intercept : bool
        False for families whose cutpoints take the place of the intercept.
    response : {"numeric", "binomial", "binary", "ordinal", "nominal"}
        What kinds of response column it takes: the design codes the left side accordingly.
    takes_weights : bool
        Whether `weights=` means precision weights for this family.
    normal_residual : bool
        Whether the response, or a fixed function of it, is normal around the main parameter with variance sigma^2:
        normal group effects are then integrated out exactly, and one effect per row cannot be told from it.
    error_sd : str
        The parameter that is the standard deviation of additive normal errors, which may then be correlated within
        groups; empty where there are none.
    censorable : bool
        Whether PyMC has (or the family gives) a log distribution function, for ``cens()`` and ``trunc()``.
    support : tuple of float
        Range of a continuous response; a truncation bound beyond it is none. Counts start at 0 anyway.
    links : tuple of str or None
        Links that the main parameter may have; None for all that suit its domain.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[tuple[FamilyParameter, ...]]
    discrete: ClassVar[bool] = False
    intercept: ClassVar[bool] = True
    response: ClassVar[str] = "numeric"
    takes_weights: ClassVar[bool] = False
    normal_residual: ClassVar[bool] = False
    error_sd: ClassVar[str] = ""
    censorable: ClassVar[bool] = False
    support: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    links: ClassVar[tuple[str, ...] | None] = None

    @property
    def main(self) -> FamilyParameter:
        """The parameter that the main formula models."""
        return self.parameters[0]

    def main_predictors(self, response: Response) -> tuple[str, ...]:
        """Names of the predictors that the main formula stands for: one, but for nominal responses."""
        return (self.main.name,)

    @abstractmethod
    def check(self, response: Response) -> None:
        """Raise `DataError` where the response does not suit the family, naming the row and the rule."""

    @abstractmethod
    def dist(self, parameters: Mapping[str, Linked], data: ResponseData) -> Any:
        """Return the unnamed PyMC random variable (``pm.X.dist(...)``) of the response.

        Parameters
        ----------
        parameters : mapping of str to Linked
            Every family parameter; use the stable logarithms of `Linked` where tails matter.
        data : ResponseData
            Trials and weights, numpy or PyTensor.
        """

    @abstractmethod
    def mean(self, parameters: Mapping[str, Linked], data: ResponseData, xp: ArrayMath) -> Any:
        """Return E(y), for binomial families the expected proportion, for ordinal and nominal ones the
        probabilities of the categories (last axis); broadcasts over leading axes.
        """

    def scale(self, response: Response, link: Link) -> ResponseScale:
        """Return centre and spread for the default priors; see `ResponseScale`."""
        return default_scale(response, self.moments(response), link)

    def residual_scale(self, response: Response) -> float:
        """Return the standard deviation of the response on the scale of a residual standard deviation (sigma)."""
        return self.moments(response).sd or 1.0

    def quantity(self, response: Response) -> Floats:
        """Return what default priors take mean and standard deviation of, shape (n,); proportions of trials."""
        return proportions(response)

    def moments(self, response: Response) -> ResponseMoments:
        """Return the moments of `quantity`: over the rows, or over those that they stand for."""
        if response.moments is not None:
            return response.moments
        values = self.quantity(response)
        with np.errstate(all="ignore"):
            sd = float(np.std(values, ddof=1)) if values.size > 1 else float("nan")
        whole = bool(np.all(response.y == np.round(response.y)))
        return ResponseMoments(values.size, float(np.mean(values)), sd, whole, not np.any(values))

    def residual_variance(self, parameters: Mapping[str, Any]) -> tuple[Any, str] | None:
        """Return the variance of a residual, and how it is computed; None where no parameter is its scale.

        Parameters
        ----------
        parameters : mapping of str to array
            Every parameter but the main one, on its natural scale; the shapes broadcast.
        """
        for parameter in self.parameters:
            if parameter.scaled:
                return np.square(parameters[parameter.name]), f"{parameter.name} squared"
        return None

    def derivatives(
        self, y: Floats, eta: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link, order: int
    ) -> Derivatives | None:
        """Return hand-written derivatives, or None where the graph must supply them.

        Parameters
        ----------
        y, eta : ndarray, shape (n,)
        phi : mapping of str to float
            Dispersions on the natural scale.
        data : ResponseData
        link : Link
            Link of the main parameter.
        order : {0, 1, 2}
            0: `value`; 1: `d1` and `d2` as well (what Newton needs); 2: `d3` and everything with phi as well.
        """
        return None

    def joint_derivatives(
        self, y: Floats, etas: Floats, phi: Mapping[str, Any], data: ResponseData, links: Sequence[Link], order: int
    ) -> JointDerivatives | None:
        """Return hand-written derivatives of a likelihood with several predictors, or None: the graph supplies them.

        Parameters
        ----------
        y : ndarray, shape (n,)
        etas : ndarray, shape (P, n)
            In the order of the predictors: those of the main formula, then parameters with a formula of their own.
        phi : mapping of str to float
            Dispersions without a formula.
        data : ResponseData
        links : sequence of Link
            Of the predictors.
        order : {0, 1, 2}
            As for `derivatives`.
        """
        return None

    def row_density(self, link: Link) -> str | None:
        """Return the name under which `engines.kernels.row_densities` has the density of a row, or None.

        NUTS then compiles nothing for models with one predictor and group effects.
        """
        return None

    def tilted(
        self, y: Floats, mean: Floats, variance: Floats, phi: Mapping[str, Any], data: ResponseData, link: Link
    ) -> TiltedMoments | None:
        """Return the moments of N(eta; mean, variance) p(y | eta, phi), or None where there is no closed form.

        Parameters
        ----------
        y, mean, variance : ndarray, shape (n,)
        phi : mapping of str to float
            Dispersions on the natural scale.
        data : ResponseData
        link : Link
            Link of the main parameter.
        """
        return None


FAMILIES: Registry[Family] = Registry("family", "bayesglmm.families", Family)
