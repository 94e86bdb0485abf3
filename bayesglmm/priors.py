"""Prior distributions as users write them, the default ones, and which prior each parameter gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesglmm.errors import PriorError, did_you_mean

# name -> (required parameters, support). Parametrised as PyMC's distributions of the same names.
DISTRIBUTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "Normal": (("mu", "sigma"), "real"),
    "StudentT": (("nu", "mu", "sigma"), "real"),
    "Cauchy": (("alpha", "beta"), "real"),
    "Laplace": (("mu", "b"), "real"),
    "Logistic": (("mu", "s"), "real"),
    "Uniform": (("lower", "upper"), "bounded"),
    "Exponential": (("lam",), "positive"),
    "TruncatedNormal": (("mu", "sigma", "lower", "upper"), "bounded"),
    "HalfNormal": (("sigma",), "positive"),
    "HalfStudentT": (("nu", "sigma"), "positive"),
    "HalfCauchy": (("beta",), "positive"),
    "Gamma": (("alpha", "beta"), "positive"),
    "InverseGamma": (("alpha", "beta"), "positive"),
    "LogNormal": (("mu", "sigma"), "positive"),
    "Weibull": (("alpha", "beta"), "positive"),
    "Beta": (("alpha", "beta"), "unit"),
    "LKJ": (("eta",), "correlation"),
    "Flat": ((), "any"),
    "Fixed": (("value",), "any"),
}


_ENDS: Mapping[str, float] = {"lower": -np.inf, "upper": np.inf}
"""Where a truncated normal distribution ends if nothing is said."""


class Prior:
    """A prior distribution: a name and its parameters, as in PyMC.

    Parameters
    ----------
    distribution : str
        One of ``Normal``, ``StudentT``, ``Cauchy``, ``Laplace``, ``Logistic``, ``Uniform``, ``TruncatedNormal``
        (`lower`, `upper` or both), ``Exponential``, ``HalfNormal``, ``HalfStudentT``, ``HalfCauchy``, ``Gamma``,
        ``InverseGamma``, ``LogNormal``, ``Weibull``, ``Beta``, ``LKJ`` (correlations), ``Flat`` (improper, constant
        on the user's scale) or ``Fixed`` (holds the parameter at `value`).
    *values : float or Prior
        The parameters by position: ``Prior("Fixed", 1.0)``, ``Prior("Normal", 0, 2.5)``.
    **parameters : float or Prior
        The parameters by name. A prior in the place of a number makes it a parameter to be estimated, which all
        standard deviations share that the entry of ``priors=`` reaches:
        ``{"sd": Prior("HalfNormal", sigma=Prior("Exponential", lam=1))}``.

    Raises
    ------
    PriorError
        On an unknown distribution, an unknown, missing or repeated parameter, or a value out of range.

    Examples
    --------
    >>> Prior("Normal", mu=0, sigma=2.5)
    Prior('Normal', mu=0, sigma=2.5)
    """

    __slots__ = ("distribution", "parameters")

    distribution: str
    parameters: Mapping[str, Any]

    def __init__(self, distribution: str, *values: float | Prior, **parameters: float | Prior) -> None:
        if distribution not in DISTRIBUTIONS:
            raise PriorError(
                f"Unknown prior distribution {distribution!r}. {did_you_mean(distribution, DISTRIBUTIONS)}"
            )
        names = DISTRIBUTIONS[distribution][0]
        if len(values) > len(names):
            raise PriorError(f"{distribution} takes {len(names)} parameters ({', '.join(names)}), not {len(values)}.")
        given: dict[str, Any] = dict(zip(names, values, strict=False))
        for name, value in parameters.items():
            if name not in names:
                raise PriorError(f"{distribution} has no parameter {name!r}. {did_you_mean(name, names)}")
            if name in given:
                raise PriorError(f"{distribution}: {name!r} was given twice.")
            given[name] = value
        if distribution == "TruncatedNormal" and given.keys() & _ENDS.keys():
            given = {**_ENDS, **given}
        missing = [name for name in names if name not in given]
        if missing:
            raise PriorError(f"{distribution} also needs {', '.join(missing)}.")
        ordered = {name: _number(distribution, name, given[name]) for name in names}
        if "lower" in ordered and not ordered["lower"] < ordered["upper"]:
            message = "{0}: lower must be below upper, not {lower:g} and {upper:g}."
            raise PriorError(message.format(distribution, **ordered))
        object.__setattr__(self, "distribution", distribution)
        object.__setattr__(self, "parameters", ordered)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("A Prior cannot be changed; make a new one.")

    def __reduce__(self) -> tuple[Any, ...]:
        return Prior, (self.distribution, *self.parameters.values())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Prior)
            and self.distribution == other.distribution
            and self.parameters == other.parameters
        )

    def __hash__(self) -> int:
        return hash((self.distribution, *self.parameters.items()))

    def __repr__(self) -> str:
        inside = "".join(f", {name}={_text(value, 'g', repr)}" for name, value in self._shown)
        return f"Prior({self.distribution!r}{inside})"

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={_text(value, '.4g', str)}" for name, value in self._shown)
        return f"{self.distribution}({inside})"

    @property
    def _shown(self) -> list[tuple[str, Any]]:
        return [(name, v) for name, v in self.parameters.items() if isinstance(v, Prior) or np.isfinite(v)]

    @property
    def nested(self) -> dict[str, Prior]:
        """The parameters that have a prior themselves."""
        return {name: value for name, value in self.parameters.items() if isinstance(value, Prior)}

    @property
    def _numbers(self) -> dict[str, Any]:
        """The parameters, with the centre of a nested prior in its place."""
        return {name: value.centre if isinstance(value, Prior) else value for name, value in self.parameters.items()}

    @property
    def support(self) -> str:
        """Where it puts its mass: real, positive, unit, bounded, correlation or any."""
        return DISTRIBUTIONS[self.distribution][1]

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which values its mass lies; infinite where there is no end."""
        if "lower" in self.parameters:
            return self.parameters["lower"], self.parameters["upper"]
        return {"positive": (0.0, np.inf), "unit": (0.0, 1.0)}.get(self.support, (-np.inf, np.inf))

    @property
    def centre(self) -> float | None:
        """A typical value, well inside of the bounds; None for a flat prior."""
        if self.distribution not in _TYPICAL:
            return None
        return float(_TYPICAL[self.distribution][0](**self._numbers))

    @property
    def spread(self) -> float | None:
        """How far values lie from the centre: the standard deviation, or a scale where that is infinite.

        None for a flat prior, and for one that holds the parameter.
        """
        if self.distribution not in _TYPICAL or self.distribution == "Fixed":
            return None
        return float(_TYPICAL[self.distribution][1](**self._numbers))

    def given(self, values: Mapping[str, float]) -> Prior:
        """Return it with numbers in the place of parameters."""
        return Prior(self.distribution, **{**self.parameters, **values}) if values else self

    def draw(self, rng: np.random.Generator, size: Any = None) -> Any:
        """Draw from it.

        Parameters
        ----------
        rng : numpy.random.Generator
        size : int or tuple of int, optional

        Raises
        ------
        PriorError
            For a flat prior, which is not a distribution, and for LKJ, which needs a dimension.
        """
        if self.distribution not in _DRAWS:
            raise PriorError(f"{self} cannot be drawn from.")
        nested = {name: prior.draw(rng, size) for name, prior in self.nested.items()}
        return _DRAWS[self.distribution](rng, size, **{**self.parameters, **nested})


_DRAWS: Mapping[str, Callable[..., Any]] = {
    "Normal": lambda r, n, mu, sigma: r.normal(mu, sigma, n),
    "StudentT": lambda r, n, nu, mu, sigma: mu + sigma * r.standard_t(nu, n),
    "Cauchy": lambda r, n, alpha, beta: alpha + beta * r.standard_cauchy(n),
    "Laplace": lambda r, n, mu, b: r.laplace(mu, b, n),
    "Logistic": lambda r, n, mu, s: r.logistic(mu, s, n),
    "Uniform": lambda r, n, lower, upper: r.uniform(lower, upper, n),
    "TruncatedNormal": lambda r, n, mu, sigma, lower, upper: _truncated(r, n, mu, sigma, lower, upper),
    "Exponential": lambda r, n, lam: r.exponential(1.0 / lam, n),
    "HalfNormal": lambda r, n, sigma: np.abs(r.normal(0.0, sigma, n)),
    "HalfStudentT": lambda r, n, nu, sigma: np.abs(sigma * r.standard_t(nu, n)),
    "HalfCauchy": lambda r, n, beta: np.abs(beta * r.standard_cauchy(n)),
    "Gamma": lambda r, n, alpha, beta: r.gamma(alpha, 1.0 / beta, n),
    "InverseGamma": lambda r, n, alpha, beta: 1.0 / r.gamma(alpha, 1.0 / beta, n),
    "LogNormal": lambda r, n, mu, sigma: r.lognormal(mu, sigma, n),
    "Weibull": lambda r, n, alpha, beta: beta * r.weibull(alpha, n),
    "Beta": lambda r, n, alpha, beta: r.beta(alpha, beta, n),
    "Fixed": lambda r, n, value: np.full(() if n is None else n, value),
}

_SD_UNIFORM = 12.0**-0.5  # standard deviation of an interval of length one


def _sd_weibull(alpha: float) -> float:
    return math.sqrt(math.gamma(1.0 + 2.0 / alpha) - math.gamma(1.0 + 1.0 / alpha) ** 2)


def _inside(mu: float, sigma: float, lower: float, upper: float) -> float:
    """Return the mode of a truncated normal distribution, moved off a bound by half a standard deviation."""
    low, high = lower + 0.5 * sigma, upper - 0.5 * sigma
    return 0.5 * (lower + upper) if low > high else float(np.clip(mu, low, high))


# Typical value, and how far values lie from it.
_TYPICAL: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "Normal": (lambda mu, sigma: mu, lambda mu, sigma: sigma),
    "StudentT": (lambda nu, mu, sigma: mu, lambda nu, mu, sigma: sigma),
    "Cauchy": (lambda alpha, beta: alpha, lambda alpha, beta: beta),
    "Laplace": (lambda mu, b: mu, lambda mu, b: b * np.sqrt(2.0)),
    "Logistic": (lambda mu, s: mu, lambda mu, s: s * np.pi / np.sqrt(3.0)),
    "Uniform": (lambda lower, upper: 0.5 * (lower + upper), lambda lower, upper: (upper - lower) * _SD_UNIFORM),
    "TruncatedNormal": (_inside, lambda mu, sigma, lower, upper: min(sigma, (upper - lower) * _SD_UNIFORM)),
    "Exponential": (lambda lam: 1.0 / lam, lambda lam: 1.0 / lam),
    "HalfNormal": (lambda sigma: 0.8 * sigma, lambda sigma: sigma),
    "HalfStudentT": (lambda nu, sigma: 0.8 * sigma, lambda nu, sigma: sigma),
    "HalfCauchy": (lambda beta: beta, lambda beta: beta),
    "Gamma": (lambda alpha, beta: alpha / beta, lambda alpha, beta: np.sqrt(alpha) / beta),
    "InverseGamma": (lambda alpha, beta: beta / (alpha + 1.0), lambda alpha, beta: beta / (alpha + 1.0)),
    "LogNormal": (lambda mu, sigma: np.exp(mu), lambda mu, sigma: np.exp(mu) * np.expm1(min(sigma, 1.0))),
    "Weibull": (lambda alpha, beta: beta, lambda alpha, beta: beta * _sd_weibull(max(alpha, 0.1))),
    "Beta": (
        lambda alpha, beta: alpha / (alpha + beta),
        lambda alpha, beta: np.sqrt(alpha * beta / (alpha + beta + 1.0)) / (alpha + beta),
    ),
    "Fixed": (lambda value: value, lambda value: 0.0),
}

_POSITIVE = {"sigma", "nu", "lam", "b", "s", "eta"}


def _text(value: Any, form: str, inner: Callable[[Any], str]) -> str:
    return inner(value) if isinstance(value, Prior) else format(value, form)


def _number(distribution: str, name: str, value: Any) -> Any:
    if isinstance(value, Prior):
        return _nested(distribution, name, value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PriorError(f"{distribution}: {name} must be a number, not {value!r}.") from None
    if not np.isfinite(number) and not (distribution == "TruncatedNormal" and _ENDS.get(name) == number):
        raise PriorError(f"{distribution}: {name} must be finite, not {number}.")
    if _is_positive(distribution, name) and number <= 0:
        raise PriorError(f"{distribution}: {name} must be positive, not {number:g}.")
    return number


def _is_positive(distribution: str, name: str) -> bool:
    """Whether a parameter of a distribution must be positive."""
    shape_like = name in ("alpha", "beta") and not (distribution == "Cauchy" and name == "alpha")
    return name in _POSITIVE or shape_like


def _nested(distribution: str, name: str, prior: Prior) -> Prior:
    """Return the prior of a parameter of a prior, which must suit it."""
    inside = f"{distribution}: the prior {prior} of {name}"
    if name in ("value", "lower", "upper"):
        raise PriorError(f"{distribution}: {name} must be a number, not the prior {prior}.")
    if prior.nested:
        raise PriorError(f"{inside} has a prior itself: priors may be nested once.")
    allowed = ("positive",) if _is_positive(distribution, name) else ("positive", "real")
    if prior.support not in allowed:
        raise PriorError(f"{inside} has the support {prior.support}; allowed: {', '.join(allowed)}.")
    return prior


def _truncated(random: np.random.Generator, size: Any, mu: float, sigma: float, lower: float, upper: float) -> Any:
    """Draw by inversion, from the tail that the bounds lie in."""
    from scipy import special

    a, b = (lower - mu) / sigma, (upper - mu) / sigma
    sign = -1.0 if a > 0 else 1.0
    low, high = sorted((special.ndtr(sign * a), special.ndtr(sign * b)))
    return mu + sigma * sign * special.ndtri(random.uniform(low, high, size))
