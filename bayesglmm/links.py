"""Link functions g: a family parameter is g^-1(eta). Registered by name; users add their own with one class.

Every link says its inverse, and where the inverse is positive or a probability also its logarithms in stable form,
so that log-likelihoods keep finite values and derivatives for eta in [-30, 30].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayesglmm.arraymath import ArrayMath
from bayesglmm.registry import Registry

type Domain = Literal["real", "positive", "unit"]


class Link(ABC):
    """A link function; subclass it, set `name` and `domain`, and define `link` and `inverse`.

    The logarithms have straightforward defaults; a link whose inverse under- or overflows overrides them.

    Attributes
    ----------
    name : str
        How families and users refer to it.
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


LINKS: Registry[Link] = Registry("link", "bayesglmm.links")


class Identity(Link):
    """mu = eta."""

    name = "identity"
    domain = "real"

    def link(self, mu: Any, xp: ArrayMath) -> Any:
        return mu

    def inverse(self, eta: Any, xp: ArrayMath) -> Any:
        return eta


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


class Logit(Link):
    """mu = 1 / (1 + exp(-eta))."""

    name = "logit"
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


for _link in (Identity, Log, Logit):
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
