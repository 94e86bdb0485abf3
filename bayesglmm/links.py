"""Link functions g: a family parameter is g^-1(eta). Registered by name; users add their own with one class.

Every link says its inverse, and where the inverse is positive or a probability also its logarithms in stable form,
so that log-likelihoods keep finite values and derivatives for eta in [-30, 30]. Jets (see `bayesglmm.jets`) are what
the hand-written derivatives of families are chained from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import special

from bayesglmm.arraymath import ArrayMath
from bayesglmm.jets import Jet, cloglog_jets, log_ndtr_jet, log_of, mirrored
from bayesglmm.registry import Registry

type Domain = Literal["real", "positive", "unit"]


class Link(ABC):
    """A link function; subclass it, set `name` and `domain`, and define `link` and `inverse`.

    The logarithms have straightforward defaults; a link whose inverse under- or overflows overrides them.
    The jets are optional: without them the graph supplies the derivatives.

    Attributes
    ----------
    name : str
        How families and users refer to it.
    aliases : tuple of str
        Other spellings.
    domain : {"real", "positive", "unit"}
        Range of the inverse: which parameters it suits.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    domain: ClassVar[Domain]

    @abstractmethod
    def link(self, mu: Any, xp: ArrayMath) -> Any:
        """Return eta = g(mu)."""

    @abstractmethod
    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        """Return mu = g^-1(eta)."""

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        """Return log mu."""
        return xp.log(self.inverse(eta, xp))

    def log1m_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        """Return log(1 - mu), for probability links."""
        return xp.log1p(-self.inverse(eta, xp))

    def logit_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        """Return logit mu = log mu - log(1 - mu), for probability links."""
        return self.log_inverse(eta, xp) - self.log1m_inverse(eta, xp)

    def inverse_jet(self, eta: Any) -> Jet | None:
        """Return mu with its derivatives in eta, or None if the link does not say."""
        return None

    def log_jet(self, eta: Any) -> Jet | None:
        """Return log mu with its derivatives in eta, or None if the link does not say."""
        return None

    def log_jets(self, eta: Any) -> tuple[Jet, Jet] | None:
        """Return log mu and log(1 - mu) with their derivatives, for probability links, or None."""
        return None

    def log_values(self, eta: Any) -> tuple[Any, Any] | None:
        """Return log mu and log(1 - mu) alone, for probability links that have `log_jets`, or None."""
        jets = self.log_jets(eta)
        return None if jets is None else (jets[0].value, jets[1].value)


LINKS: Registry[Link] = Registry("link", "bayesglmm.links", Link)


class Identity(Link):
    """mu = eta."""

    name = "identity"
    domain = "real"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return mu

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return eta

    def inverse_jet(self, eta: Any) -> Jet:
        return Jet(eta, 1.0, 0.0, 0.0, linear=True)

    def log_jet(self, eta: Any) -> Jet:
        return Jet(np.log(eta), 1.0 / eta, -1.0 / eta**2, 2.0 / eta**3)


class Log(Link):
    """mu = exp(eta)."""

    name = "log"
    domain = "positive"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return xp.log(mu)

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.exp(eta)

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return eta

    def log1m_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.log1mexp(eta)

    def inverse_jet(self, eta: Any) -> Jet:
        mu = np.exp(eta)
        return Jet(mu, mu, mu, mu)

    def log_jet(self, eta: Any) -> Jet:
        return Jet(eta, 1.0, 0.0, 0.0, linear=True)


class Sqrt(Link):
    """mu = eta^2, with eta = sqrt(mu)."""

    name = "sqrt"
    domain = "positive"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return xp.sqrt(mu)

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return eta * eta  # not a power, whose third derivative is nan at 0 in PyTensor

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return 2.0 * xp.log(xp.abs(eta))

    def inverse_jet(self, eta: Any) -> Jet:
        return Jet(eta**2, 2.0 * eta, 2.0, 0.0)

    def log_jet(self, eta: Any) -> Jet:
        return Jet(2.0 * np.log(np.abs(eta)), 2.0 / eta, -2.0 / eta**2, 4.0 / eta**3)


class Inverse(Link):
    """mu = 1 / eta, for eta > 0 where the mean must be positive."""

    name = "inverse"
    aliases = ("reciprocal",)
    domain = "positive"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return 1.0 / mu

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return 1.0 / eta

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return -xp.log(eta)

    def inverse_jet(self, eta: Any) -> Jet:
        mu = 1.0 / eta
        return Jet(mu, -(mu**2), 2.0 * mu**3, -6.0 * mu**4)

    def log_jet(self, eta: Any) -> Jet:
        mu = 1.0 / eta
        return Jet(-np.log(eta), -mu, mu**2, -2.0 * mu**3)


class Softplus(Link):
    """mu = log(1 + exp(eta)): positive, and nearly eta itself where eta is large."""

    name = "softplus"
    domain = "positive"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return mu + xp.log1mexp(-mu)

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.softplus(eta)

    def inverse_jet(self, eta: Any) -> Jet:
        p = special.expit(eta)
        pq = p * special.expit(-eta)
        return Jet(np.logaddexp(0.0, eta), p, pq, pq * (1.0 - 2.0 * p))

    def log_jet(self, eta: Any) -> Jet:
        return log_of(self.inverse_jet(eta))


class Logit(Link):
    """mu = 1 / (1 + exp(-eta))."""

    name = "logit"
    aliases = ("logistic",)
    domain = "unit"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return xp.log(mu) - xp.log1p(-mu)

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.expit(eta)

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return -xp.softplus(-eta)

    def log1m_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return -xp.softplus(eta)

    def logit_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return eta

    def inverse_jet(self, eta: Any) -> Jet:
        p, q = special.expit(eta), special.expit(-eta)
        return Jet(p, p * q, p * q * (q - p), p * q * (1.0 - 6.0 * p * q))

    def log_jets(self, eta: Any) -> tuple[Jet, Jet]:
        # One exponential serves everything: it is at most 1, and both probabilities keep their relative precision.
        small = np.exp(-np.abs(eta))
        large = 1.0 / (1.0 + small)
        upper = np.asarray(eta) >= 0.0
        p, q = np.where(upper, large, small * large), np.where(upper, small * large, large)
        minus_pq = -p * q
        third = minus_pq * (q - p)
        shared = np.log1p(small)
        return (
            Jet(np.minimum(eta, 0.0) - shared, q, minus_pq, third),
            Jet(-np.maximum(eta, 0.0) - shared, -p, minus_pq, third),
        )

    def log_values(self, eta: Any) -> tuple[Any, Any]:
        shared = np.log1p(np.exp(-np.abs(eta)))
        return np.minimum(eta, 0.0) - shared, -np.maximum(eta, 0.0) - shared


class Probit(Link):
    """mu = Phi(eta), the standard normal distribution function."""

    name = "probit"
    domain = "unit"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return np.sqrt(2.0) * xp.erfinv(2.0 * mu - 1.0)

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.exp(xp.log_ndtr(eta))

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.log_ndtr(eta)

    def log1m_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.log_ndtr(-eta)

    def inverse_jet(self, eta: Any) -> Jet:
        density = np.exp(-0.5 * eta**2) / np.sqrt(2.0 * np.pi)
        return Jet(special.ndtr(eta), density, -eta * density, (eta**2 - 1.0) * density)

    def log_jets(self, eta: Any) -> tuple[Jet, Jet]:
        lower, upper = log_ndtr_jet(eta), log_ndtr_jet(-eta)
        return lower, Jet(upper.value, -upper.d1, upper.d2, -upper.d3)


class Cloglog(Link):
    """mu = 1 - exp(-exp(eta)), the complementary log-log link."""

    name = "cloglog"
    domain = "unit"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return xp.log(-xp.log1p(-mu))

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return -xp.expm1(-xp.exp(eta))

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.log1mexp(-xp.exp(eta))

    def log1m_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return -xp.exp(eta)

    def inverse_jet(self, eta: Any) -> Jet:
        t = np.exp(eta)
        density = np.exp(eta - t)
        return Jet(-np.expm1(-t), density, density * (1.0 - t), density * (1.0 - 3.0 * t + t**2))

    def log_jets(self, eta: Any) -> tuple[Jet, Jet]:
        return cloglog_jets(eta)


class Loglog(Link):
    """mu = exp(-exp(-eta)), the log-log link: cloglog for failures."""

    name = "loglog"
    domain = "unit"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return -xp.log(-xp.log(mu))

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.exp(-xp.exp(-eta))

    def log_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return -xp.exp(-eta)

    def log1m_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.log1mexp(-xp.exp(-eta))

    def inverse_jet(self, eta: Any) -> Jet:
        t = np.exp(-eta)
        density = np.exp(-eta - t)
        return Jet(np.exp(-t), density, -density * (1.0 - t), density * (1.0 - 3.0 * t + t**2))

    def log_jets(self, eta: Any) -> tuple[Jet, Jet]:
        failure, success = cloglog_jets(-eta)
        return mirrored(success), mirrored(failure)


class Cauchit(Link):
    """mu = 1/2 + arctan(eta) / pi, the standard Cauchy distribution function."""

    name = "cauchit"
    domain = "unit"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return xp.tan(np.pi * (mu - 0.5))

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        # The angle form keeps its relative precision in the left tail, where 1/2 + arctan cancels.
        return xp.arctan2(1.0, -eta) / np.pi

    def log1m_inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return xp.log(xp.arctan2(1.0, eta) / np.pi)

    def inverse_jet(self, eta: Any) -> Jet:
        spread = 1.0 + eta**2
        density = 1.0 / (np.pi * spread)
        slope = -2.0 * eta / spread * density
        return Jet(np.arctan2(1.0, -eta) / np.pi, density, slope, density * (6.0 * eta**2 - 2.0) / spread**2)

    def log_jets(self, eta: Any) -> tuple[Jet, Jet]:
        return log_of(self.inverse_jet(eta)), mirrored(log_of(self.inverse_jet(-eta)))


for _link in (Identity, Log, Sqrt, Inverse, Softplus, Logit, Probit, Cloglog, Loglog, Cauchit):
    LINKS.register(_link())


@dataclass(frozen=True)
class Linked:
    """One family parameter as the likelihood sees it: its predictor and how to get from there to its value.

    A parameter without a formula of its own is a plain value under the identity link.

    Attributes
    ----------
    eta : array or tensor
        Linear predictor, shape (n,) or with leading axes for draws; or the value itself.
    link : Link
    xp : ArrayMath
        The vocabulary that suits `eta`.
    """

    eta: Any
    link: Link
    xp: ArrayMath

    @property
    def value(self) -> Any:
        """The parameter on its natural scale."""
        return self.link.inverse(self.eta, self.xp)

    @property
    def log(self) -> Any:
        """Logarithm of the value, stable in the tails."""
        return self.link.log_inverse(self.eta, self.xp)

    @property
    def log1m(self) -> Any:
        """log(1 - value), stable in the tails."""
        return self.link.log1m_inverse(self.eta, self.xp)

    @property
    def logit(self) -> Any:
        """log(value) - log(1 - value), stable in the tails."""
        return self.link.logit_inverse(self.eta, self.xp)
