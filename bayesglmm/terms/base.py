"""What a term is: formula words plus data in, blocks out.

Terms written as calls (``offset(...)``, ``s(...)``) form an open set: to add one, write one file in this folder that
ends with ``TERMS.register(...)``. Plain columns (`linear`) and group terms (`group`) are part of the grammar.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bayesglmm.blocks import Block, FixedBlock, Floats, Ints
from bayesglmm.formula.syntax import Call, Name, Node, walk
from bayesglmm.registry import Registry
from bayesglmm.terms.columns import Columns


@dataclass(frozen=True, eq=False)
class Context:
    """What a term may look at when it meets data.

    Attributes
    ----------
    columns : Columns
        The rows of the model.
    formula : str
        Text of the whole formula, for carets.
    intercept : bool
        Whether the predictor holds a constant, so that a smooth has to leave it out.
    notes : list of str
        A term appends here what its reader should know.
    matrices : mapping of str to matrix
        What was passed beside the data, by name: adjacency of regions and the like.
    """

    columns: Columns
    formula: str
    intercept: bool = True
    notes: list[str] = field(default_factory=list)
    matrices: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Smooth:
    """One function of covariates that a term adds to the predictor: what its readers need to know of it.

    Attributes
    ----------
    label : str
        ``s(x)``, ``te(x, z)``, ``s(x):f[b]``: the name of its blocks.
    term : str
        Label of the term that it belongs to; differs from `label` where a factor gives each level its own.
    title : str
        The basis, in words.
    covariates : tuple of str
        What it is a function of, as in the formula: ``("lon", "lat")``, ``("log(x)",)``.
    names : tuple of str
        The columns of the data that these are computed from.
    points : ndarray, shape (n, d)
        Where it met data (for a level of a factor: the rows of that level).
    by : str or None
        What it is multiplied by, or the factor that tells curves apart.
    multipliers : tuple of str
        The columns of the data that a numeric `by` is computed from.
    level : str or None
        The level of the `by` factor that this one is for.
    factor : str or None
        The factor each level of which has a curve, with one common prior: the ``f`` of ``s(x, f, bs="fs")``.
    levels : tuple of str
        The levels of `factor`.
    columns : tuple of str
        Names of its fixed columns.
    units : ndarray, shape (M,)
        See `bases.MixedForm`; empty where nothing is penalised.
    rows : ndarray of int or None
        The rows of the model that it is for, where a factor tells curves apart; None for all.
    selectors : tuple of str
        The columns of the data that this factor is computed from.
    multiplier : ndarray, shape (n,), or None
        What a numeric `by` multiplies it by in the rows of the model; None for one.
    """

    label: str
    term: str
    title: str
    covariates: tuple[str, ...]
    names: tuple[str, ...]
    points: Floats
    by: str | None
    multipliers: tuple[str, ...]
    level: str | None
    factor: str | None
    levels: tuple[str, ...]
    columns: tuple[str, ...]
    units: Floats
    rows: Ints | None = None
    selectors: tuple[str, ...] = ()
    multiplier: Floats | None = None


class BoundTerm(ABC):
    """A term that has met data and keeps what it learned from them: new data give the same functions.

    Attributes
    ----------
    label : str
        Formula text of the term.
    width : int
        Number of dense columns that it will make, known before any is made: for the estimate of memory.
    order : int
        Terms with a lower one keep their columns where two say the same.
    smooths : tuple of Smooth
        The functions that it adds, if it is a smooth.
    """

    label: str
    width: int
    order: int = 0
    smooths: tuple[Smooth, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Columns of the data whose values it takes as categories, numbers among them."""
        return ()

    @abstractmethod
    def blocks(self, columns: Columns) -> tuple[Block, ...]:
        """Return the blocks for these rows: those of the model, or new ones."""

    def settled(
        self, others: FixedBlock, columns: Columns, notes: list[str]
    ) -> tuple[BoundTerm, tuple[FixedBlock, ...]]:
        """Return the term without those fixed columns that are combinations of `others`, and the fixed columns left.

        What is left out is said in `notes`.
        """
        return self, ()

    def remarks(self, columns: Columns) -> tuple[str, ...]:
        """Return what readers of a prediction for these rows should know, in sentences."""
        return ()

    def curve(self, label: str, columns: Columns) -> tuple[Block, ...]:
        """Return the blocks of one of `smooths` alone, at the covariates in these columns.

        A factor that tells curves apart (`by`) need not be among them; a numeric `by` that is not counts as 1.
        """
        raise NotImplementedError


class Term(ABC):
    """A kind of term that is written as a call.

    Attributes
    ----------
    name : str
        The word before the parenthesis.
    aliases : tuple of str
        Other spellings.
    interacts : bool
        Whether it may be multiplied by plain terms, ``mo(x):z``; then there is `bind_product`.
    known : bool
        Whether its values are given and nothing about it is learned: an offset.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    interacts: ClassVar[bool] = False
    known: ClassVar[bool] = False

    def columns(self, call: Call) -> Iterator[Name]:
        """Yield the names in the call that are columns; by default every name."""
        return (node for node in walk(call) if isinstance(node, Name))

    @abstractmethod
    def bind(self, call: Call, context: Context) -> BoundTerm:
        """Let the term meet the data.

        Raises
        ------
        FormulaError
            For arguments that mean nothing here.
        DataError
            For data that do not suit the term.
        """

    def bind_product(self, call: Call, others: Sequence[Node], label: str, context: Context) -> BoundTerm:
        """Let the product of the term and plain terms meet the data; errors as of `bind`.

        Parameters
        ----------
        call : Call
        others : sequence of Node
            What it is multiplied by.
        label : str
            Text of the whole.
        context : Context
        """
        raise NotImplementedError(f"The term {self.name} takes no part in interactions.")


TERMS: Registry[Term] = Registry("term", "bayesglmm.terms")
