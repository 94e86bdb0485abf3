"""Nonlinear predictors: an expression of parameters and data columns, and a formula for each parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from bayesglmm.errors import FormulaError, SettingsError, did_you_mean
from bayesglmm.formula.expand import expand
from bayesglmm.formula.parser import parse_sides
from bayesglmm.formula.spec import NonlinearSpec, PredictorSpec
from bayesglmm.formula.syntax import Binary, Name, Node, walk

# Words that already mean something in labels and in the keys of priors=.
_TAKEN = ("fixed", "sd", "cor", "Intercept", "start", "pi")
_PLAIN = re.compile(r"[^\W\d_]\w*")


@dataclass(frozen=True)
class Nonlinear(Sequence[str]):
    """The formulas of a model with a nonlinear predictor; made by `nonlinear`, and a sequence of these formulas.

    Attributes
    ----------
    main : str
        ``response ~ expression``.
    parameters : mapping of str to str
        The formula of every parameter, from its ``~`` on.
    others : tuple of str
        Formulas of further family parameters.
    start : mapping of str to float
        Where searches start.
    """

    main: str
    parameters: Mapping[str, str]
    others: tuple[str, ...] = ()
    start: Mapping[str, float] = field(default_factory=dict)

    @property
    def formulas(self) -> tuple[str, ...]:
        """All formulas as one would write them on paper."""
        own = (f"{name} {text}" for name, text in self.parameters.items())
        return (self.main, *own, *self.others)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self.formulas[index]

    def __len__(self) -> int:
        return len(self.formulas)

    def __repr__(self) -> str:
        return f"nonlinear({'; '.join(self.formulas)})"


def nonlinear(
    formula: str, /, *others: str, start: Mapping[str, float] | None = None, **parameters: str
) -> Nonlinear:
    """Describe a model whose predictor is an expression of parameters, each with a formula of its own.

    The expression stands on the scale of the link, as the sum of terms does in a linear model (and as in brms with
    ``nl = TRUE``): for ``family="bernoulli"`` it is the log odds, for a gaussian response the mean.

    Parameters
    ----------
    formula : str
        ``"y ~ expression"``: arithmetic (``+ - * / ^``), numbers, columns of the data, parameters, and the functions
        exp, expm1, log, log2, log10, log1p, sqrt, inv_logit (plogis), logit (qlogis), tanh, sin, cos, atan and pnorm.
        To what is computed from data alone every function of formulas may be applied: ``scale(age)``. The text is
        parsed, never evaluated as Python.
    *others : str
        Formulas of further family parameters: ``"sigma ~ x"``.
    start : mapping of str to float, optional
        A typical value of each parameter, from which searches start; needed by maximum likelihood, and useful where
        the posterior has several modes. The centre of the priors otherwise.
    **parameters : str
        The formula of every parameter: ``theta0="~ 1"``, ``Asym="~ 1 + (1 | tree)"``, ``rate="~ s(x)"``.

    Returns
    -------
    Nonlinear
        The first argument of `Model`.

    Raises
    ------
    FormulaError, SettingsError
        For texts that are no formulas; with a caret. What needs the data is checked when `Model` has them.

    Notes
    -----
    Coefficients are called ``theta0.Intercept``, ``theta0.x``, ``sd[g, theta0.Intercept]`` and so on. They have no
    default priors, since only you know the scale of a parameter: give ``priors={"theta0": bg.Prior(...)}`` for the
    intercept (in ``"~ 0 + g"`` for all levels), ``"theta0.fixed"`` for the other population coefficients, or
    ``"theta0.x"`` for one of them.

    Examples
    --------
    >>> nonlinear("y ~ -theta0 * (theta1 - x)^2", theta0="~ 1", theta1="~ 1")
    nonlinear(y ~ -theta0 * (theta1 - x)^2; theta0 ~ 1; theta1 ~ 1)
    """
    example = 'bg.nonlinear("y ~ a * exp(-b * x)", a="~ 1", b="~ 1")'
    for text in (formula, *others):
        if not isinstance(text, str):
            raise FormulaError(f"A formula is a text, not {text!r}. Write for example {example}.")
    if not parameters:
        raise FormulaError(f"A nonlinear predictor needs parameters with formulas of their own: {example}.")
    for name in parameters:
        if name in _TAKEN or not _PLAIN.fullmatch(name) or "__" in name or name.endswith("_"):
            raise FormulaError(
                f"A parameter cannot be called {name!r}: names are letters, digits and single underscores, and "
                f"{', '.join(_TAKEN)} mean something else."
            )
    texts = {name: _right_side(name, text) for name, text in parameters.items()}
    return Nonlinear(formula, texts, others, _checked_start(start or {}, texts))


def _right_side(name: str, text: Any) -> str:
    if not isinstance(text, str):
        raise FormulaError(f'{name}= is a formula such as "~ 1" or "~ x + (1 | g)", not {text!r}.')
    sides = parse_sides(text if "~" in text else f"~ {text}")
    if sides.left is not None and str(sides.left) != name:
        raise FormulaError(
            f"The formula of the parameter {name!r} has {str(sides.left)!r} on its left side.",
            text,
            sides.left.position,
        )
    return text[sides.tilde :].strip() if "~" in text else f"~ {text.strip()}"


def _checked_start(start: Mapping[str, float], known: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for name, value in start.items():
        if name not in known:
            raise SettingsError(f"start={dict(start)!r}: there is no parameter {name!r}. {did_you_mean(name, known)}")
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            raise SettingsError(f"start: {name} must be a number, not {value!r}.") from None
        if not np.isfinite(found[name]):
            raise SettingsError(f"start: {name} must be finite, not {value!r}.")
    return found


def parse_parameters(given: Nonlinear) -> dict[str, PredictorSpec]:
    """Return the right side of every parameter of a nonlinear predictor."""
    found = {}
    for name, text in given.parameters.items():
        shown = f"{name} {text}"
        sides = parse_sides(shown)
        fixed, groups = expand(sides.right, shown)
        found[name] = PredictorSpec(str(sides.right), fixed, groups, shown)
    return found


def parse_expression_of(given: Nonlinear, right: Node, response: Node) -> NonlinearSpec:
    """Return the expression of a nonlinear predictor after the checks that need no data.

    Raises
    ------
    FormulaError
        For group terms, interactions and the dot inside the expression, the response on the right, and parameters
        that do not occur.
    """
    formula = given.main
    outcome = {node.text for node in walk(response) if isinstance(node, Name)}
    for node in walk(right):
        match node:
            case Binary("|" | "||"):
                message = "A group term belongs into the formula of a parameter, as in "
                message += f'{next(iter(given.parameters))}="~ 1 + (1 | g)"; here stands arithmetic.'
                raise FormulaError(message, formula, node.position)
            case Binary(":" | "%in%" as operator):
                message = f"`{operator}` makes terms of a linear formula; in an expression multiply with `*`."
                raise FormulaError(message, formula, node.position)
            case Name("."):
                raise FormulaError("`.` has no meaning in an expression; name the columns.", formula, node.position)
            case Name(text) if text in outcome and text not in given.parameters:
                raise FormulaError(f"`{text}` is the response and cannot explain itself.", formula, node.position)
            case Name(text) if text in outcome:
                message = f"`{text}` is the response; a parameter needs a name of its own."
                raise FormulaError(message, formula, node.position)
    used = {node.text for node in walk(right) if isinstance(node, Name)}
    for name, text in given.parameters.items():
        if name not in used:
            message = f"The parameter {name!r} has a formula, but `{formula}` does not use it."
            raise FormulaError(f"{message} {did_you_mean(name, used)}", f"{name} {text}", 0)
    return NonlinearSpec(formula, right, tuple(given.parameters), dict(given.start))
