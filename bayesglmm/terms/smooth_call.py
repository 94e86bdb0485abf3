"""The words of a smooth, ``s(lon, lat, bs="tp", k=30, by=f)``: covariates and options, as mgcv takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from bayesglmm.errors import FormulaError, did_you_mean
from bayesglmm.formula.syntax import Call, Name, Node, Number, String, Unary
from bayesglmm.terms.base import Context
from bayesglmm.terms.names import column_names

_NOT_HERE = {
    "sp": 'hold the standard deviation instead: priors={"sd[s(x)]": bg.Prior("Fixed", value)}',
    "id": "every smooth has standard deviations of its own",
    "xt": "bases take their options through m= and k=",
    "pc": "smooths sum to zero over the data; other constraints are not offered",
    "np": "tensor products use mgcv's default coordinates (np=TRUE)",
    "mc": "every margin of ti() is constrained",
    "full": "t2() uses mgcv's default penalties (full=FALSE)",
    "ord": "t2() uses mgcv's default penalties",
}
_TRUE, _FALSE, _MISSING = ("TRUE", "T", "True"), ("FALSE", "F", "False"), ("NA", "NULL", "None")


@dataclass(frozen=True)
class SmoothCall:
    """The arguments of a smooth.

    Attributes
    ----------
    call : Call
    covariates : tuple of Node
        What it is a function of.
    by : Node or None
    bs : tuple of str
        Names of bases, with `places`; empty if not given.
    k : tuple of int
    m : tuple
        Numbers, or tuples of numbers from ``list(c(2, 1), 2)``.
    d : tuple of int
        Covariates of each margin.
    fx : bool
        Unpenalised.
    knots : tuple of float
    places : mapping of str to Node
        Where each argument stands, for carets.
    """

    call: Call
    covariates: tuple[Node, ...]
    by: Node | None
    bs: tuple[str, ...]
    k: tuple[int, ...]
    m: tuple[Any, ...]
    d: tuple[int, ...]
    fx: bool
    knots: tuple[float, ...]
    places: dict[str, Node]

    @property
    def label(self) -> str:
        """The smooth without its options: ``s(lon, lat)``."""
        return f"{self.call.function}({', '.join(map(str, self.covariates))})"

    def place(self, word: str) -> int:
        """Return the position of an argument, or of the call where it was not given."""
        return self.places[word].position if word in self.places else self.call.position


def data_names(call: Call) -> Iterator[Name]:
    """Yield the names in a smooth that are columns of the data: those of its covariates and of ``by=``."""
    by = [node for word, node in call.kwargs if word == "by"]
    for node in (*call.args, *by):
        if not (isinstance(node, Name) and node.text in _MISSING):
            yield from column_names(node)


def read_smooth(call: Call, context: Context, allowed: tuple[str, ...]) -> SmoothCall:
    """Read the arguments of a smooth.

    Parameters
    ----------
    call : Call
    context : Context
        For carets.
    allowed : tuple of str
        Which keywords this kind of smooth takes.

    Raises
    ------
    FormulaError
        For unknown keywords and values that mean nothing, with a caret.
    """
    places = dict(call.kwargs)
    for word, node in places.items():
        if word not in allowed:
            hint = f"{_NOT_HERE[word]}." if word in _NOT_HERE else did_you_mean(word, allowed)
            message = f"`{call.function}()` takes no argument `{word}`: {hint}"
            raise FormulaError(message, context.formula, node.position)
    if not call.args:
        message = f"`{call.function}()` lacks its covariate, as in `{call.function}(x)`."
        raise FormulaError(message, context.formula, call.position)
    texts = [str(node) for node in call.args]
    for position, node in enumerate(call.args):
        if texts[position] in texts[:position]:
            message = f"`{node}` is there twice: the covariates of a smooth differ."
            raise FormulaError(message, context.formula, node.position)
        if next(column_names(node), None) is None:
            hint = f" The number of basis functions is k={node}." if isinstance(node, Number) else ""
            message = f"`{node}` holds no column of the data.{hint}"
            raise FormulaError(message, context.formula, node.position)
    read = _Reader(context.formula)
    by = places.get("by")
    return SmoothCall(
        call,
        call.args,
        None if isinstance(by, Name) and by.text in _MISSING else by,
        read.texts(places.get("bs"), "bs"),
        tuple(read.whole(value, "k") for value in read.numbers(places.get("k"), "k")),
        read.orders(places.get("m")),
        tuple(read.whole(value, "d") for value in read.numbers(places.get("d"), "d")),
        read.flag(places.get("fx")),
        tuple(number for number, _ in read.numbers(places.get("knots"), "knots")),
        places,
    )


@dataclass(frozen=True)
class _Reader:
    formula: str

    def fail(self, message: str, node: Node) -> NoReturn:
        raise FormulaError(message, self.formula, node.position)

    def items(self, node: Node | None) -> tuple[Node, ...]:
        """Return the elements of ``c(...)``, or the one thing."""
        match node:
            case None:
                return ()
            case Name(text) if text in _MISSING:
                return ()
            case Call("c", args, ()):
                return args
        return (node,)

    def texts(self, node: Node | None, word: str) -> tuple[str, ...]:
        found = []
        for item in self.items(node):
            if not isinstance(item, String):
                self.fail(f'`{word}=` takes text in quotes, as in {word}="cr" or {word}=c("cr", "ps").', item)
            found.append(item.text)
        return tuple(found)

    def numbers(self, node: Node | None, word: str) -> tuple[tuple[float, Node], ...]:
        return tuple((self.number(item, word), item) for item in self.items(node))

    def number(self, node: Node, word: str) -> float:
        match node:
            case Number():
                return node.value
            case Unary("-", Number() as number):
                return -number.value
        self.fail(f"`{word}=` takes numbers, not `{node}`.", node)

    def whole(self, value: tuple[float, Node], word: str) -> int:
        number, node = value
        if number != int(number) or number < 1:
            self.fail(f"`{word}=` takes whole numbers from 1 on, not {number:g}.", node)
        return int(number)

    def orders(self, node: Node | None) -> tuple[Any, ...]:
        """Return ``m=``: numbers, or with ``list(...)`` a tuple of them per margin."""
        if isinstance(node, Call) and node.function == "list":
            return tuple(tuple(number for number, _ in self.numbers(item, "m")) for item in node.args)
        return tuple(number for number, _ in self.numbers(node, "m"))

    def flag(self, node: Node | None) -> bool:
        match node:
            case None:
                return False
            case Name(text) if text in (*_TRUE, *_FALSE):
                return text in _TRUE
        self.fail(f"`fx=` is TRUE or FALSE, not `{node}`.", node)
