"""What a formula says, before it meets data: frozen, comparable, printable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayesglmm.formula.syntax import Call, Name, Node, walk

type Interaction = tuple[Node, ...]
"""The factors of one term: ``(a,)`` for ``a``, ``(a, log(x))`` for ``a:log(x)``."""


KNOWN: Mapping[str, str] = {"known": "|", "diagknown": "||"}
"""Covariance words of ``(1 | gr(g, cov=K))``, with the bar that they are written with."""


@dataclass(frozen=True)
class FixedSpec:
    """A fixed-effect part after expansion of ``*``, ``/``, ``^``, ``%in%`` and removals.

    Attributes
    ----------
    intercept : bool
        Whether the constant is in.
    terms : tuple of Interaction
        In R's order: by degree, then as written; without duplicates.
    dot : bool
        Whether ``.`` (every column not named elsewhere) stands for further main effects.
    removed : tuple of Interaction
        Terms taken out with ``-`` behind a ``.``, for when the dot is expanded at bind time; empty without a dot.
    """

    intercept: bool = True
    terms: tuple[Interaction, ...] = ()
    dot: bool = False
    removed: tuple[Interaction, ...] = ()


@dataclass(frozen=True)
class GroupSpec:
    """One group term ``word(columns | factor)``.

    Attributes
    ----------
    text : str
        As written, in even spacing, for labels and messages: ``(1 + x | g)``.
    columns : FixedSpec
        The left side.
    factor : Interaction
        Grouping factor; several names mean their interaction. ``(1 | a/b)`` arrives as two specs.
    word : str
        Covariance word: ``us`` for the plain parenthesis, ``diag`` for ``||``, else as written.
    options : tuple of (str, Node)
        Keyword arguments of the word.
    position : int
        Offset of the term in its predictor's formula.
    by : Node or None
        Of ``(1 | gr(g, by=z))``: the factor whose levels each have a covariance of their own.
    """

    text: str
    columns: FixedSpec
    factor: Interaction
    word: str = "us"
    options: tuple[tuple[str, Node], ...] = ()
    position: int = field(default=0, compare=False)
    by: Node | None = None


@dataclass(frozen=True)
class ResponseSpec:
    """The left side: ``y``, ``cbind(s, f)``, ``y | trials(n) + cens(c)``.

    Attributes
    ----------
    text : str
        As written, in even spacing.
    value : Node
        What stands before the bar.
    additions : tuple of Call
        The calls after the bar (``trials``, ``cens``, ``trunc``, ``weights``).
    """

    text: str
    value: Node
    additions: tuple[Call, ...] = ()


@dataclass(frozen=True)
class PredictorSpec:
    """The right side of one formula.

    Attributes
    ----------
    text : str
        As written, in even spacing.
    fixed : FixedSpec
        The terms outside group terms. Which of its calls are special terms (``offset(...)``, ``s(x)``) is decided
        by the registry of terms when the formula meets data; the others become columns.
    groups : tuple of GroupSpec
        Group terms.
    formula : str
        The whole formula as typed; the positions of nodes are offsets into it, for carets.
    """

    text: str
    fixed: FixedSpec
    groups: tuple[GroupSpec, ...] = ()
    formula: str = field(default="", compare=False)


@dataclass(frozen=True)
class NonlinearSpec:
    """The expression that a nonlinear predictor is.

    Attributes
    ----------
    formula : str
        ``response ~ expression``, as typed; the positions of nodes are offsets into it.
    expression : Node
    parameters : tuple of str
        The names in it that have formulas of their own.
    start : mapping of str to float
        Where searches start, as far as the user said.
    """

    formula: str
    expression: Node
    parameters: tuple[str, ...]
    start: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FormulaSpec:
    """Every formula of a model.

    Attributes
    ----------
    text : str
        The main formula as written.
    response : ResponseSpec
    predictors : mapping of str to PredictorSpec
        Keyed by family parameter; the main formula has the key ``""`` (the family decides its name).
    nonlinear : NonlinearSpec or None
        The main predictor where it is an expression. Then its parameters have the first keys, and there is no ``""``.
    """

    text: str
    response: ResponseSpec
    predictors: Mapping[str, PredictorSpec]
    nonlinear: NonlinearSpec | None = None

    def names(self) -> frozenset[str]:
        """Return every name (column) that any part of the formula mentions."""
        nodes = (node for root in self._nodes() for node in walk(root))
        return frozenset(node.text for node in nodes if isinstance(node, Name))

    def _nodes(self) -> list[Node]:
        nodes: list[Node] = [self.response.value, *self.response.additions]
        if self.nonlinear is not None:
            nodes.append(self.nonlinear.expression)
        for predictor in self.predictors.values():
            nodes += [atom for term in predictor.fixed.terms for atom in term]
            for group in predictor.groups:
                nodes += [atom for term in group.columns.terms for atom in term]
                nodes += [*group.factor, *(value for _, value in group.options), *([group.by] if group.by else [])]
        return nodes
