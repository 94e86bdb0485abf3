"""What a term is: formula words plus data in, blocks out.

Terms written as calls (``offset(...)``, ``s(...)``) form an open set: to add one, write one file in this folder that
ends with ``TERMS.register(...)``. Plain columns (`linear`) and group terms (`group`) are part of the grammar.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from bayesglmm.blocks import Block
from bayesglmm.formula.syntax import Call, Name, walk
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
    """

    columns: Columns
    formula: str
    intercept: bool = True
    notes: list[str] = field(default_factory=list)


class BoundTerm(ABC):
    """A term that has met data and keeps what it learned from them: new data give the same functions.

    Attributes
    ----------
    label : str
        Formula text of the term.
    width : int
        Number of dense columns that it will make, known before any is made: for the estimate of memory.
    """

    label: str
    width: int

    @abstractmethod
    def blocks(self, columns: Columns) -> tuple[Block, ...]:
        """Return the blocks for these rows: those of the model, or new ones."""


class Term(ABC):
    """A kind of term that is written as a call.

    Attributes
    ----------
    name : str
        The word before the parenthesis.
    aliases : tuple of str
        Other spellings.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()

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


TERMS: Registry[Term] = Registry("term", "bayesglmm.terms")
