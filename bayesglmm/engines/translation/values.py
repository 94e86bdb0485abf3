"""What values and expressions of a translated function are in LLVM's language, and what functions take and give."""

from __future__ import annotations

import ast
import builtins
import inspect
import itertools
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from bayesglmm.engines.translation.buffers import NotTranslatableError, Primitive

# Annotation -> type here. Buffers are pointers for LLVM, but what they hold is known here.
TYPES = {"int": "i64", "float": "double", "bool": "i1", "Ints": "ints", "Floats": "floats"}
ENTRIES = {"ints": "i64", "floats": "double"}
# Sums may be taken in another order than written, always the same one; infinities and NaN keep their meaning.
FAST = "reassoc nsz arcp contract"
# Functions of `math` -> symbols: LLVM's own, or those of the C library.
MATH: dict[Any, str] = {
    math.exp: "llvm.exp.f64", math.log: "llvm.log.f64", math.sqrt: "llvm.sqrt.f64", math.fabs: "llvm.fabs.f64",
    math.log1p: "log1p", math.lgamma: "lgamma",
}  # fmt: skip
_ARITHMETIC = {ast.Add: ("add nsw", "fadd"), ast.Sub: ("sub nsw", "fsub"), ast.Mult: ("mul nsw", "fmul")}
_COMPARISONS = {
    ast.Lt: ("slt", "olt"), ast.LtE: ("sle", "ole"), ast.Gt: ("sgt", "ogt"), ast.GtE: ("sge", "oge"),
    ast.Eq: ("eq", "oeq"), ast.NotEq: ("ne", "une"),
}  # fmt: skip


class Value(NamedTuple):
    type: str
    text: str


@dataclass(frozen=True)
class Signature:
    name: str
    takes: tuple[tuple[str, str], ...]  # names and types of the arguments
    gives: tuple[str, ...]

    @property
    def result(self) -> str:
        """The type that LLVM returns."""
        if len(self.gives) < 2:
            return self.gives[0] if self.gives else "void"
        return "{" + ", ".join(self.gives) + "}"


@cache
def _functions(path: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"), path)
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def definition(function: Callable[..., Any]) -> ast.FunctionDef:
    path = inspect.getfile(function)
    return _functions(path)[function.__name__]


@cache
def signature(function: Callable[..., Any]) -> Signature:
    node = definition(function)

    def kind(annotation: ast.expr | None) -> str:
        text = "" if annotation is None else ast.unparse(annotation)
        if text not in TYPES:
            raise NotTranslatableError(
                f"{inspect.getfile(function)}:{node.lineno}: {node.name} has the annotation {text!r}; "
                f"allowed are {', '.join(TYPES)}."
            )
        return TYPES[text]

    takes = tuple((each.arg, kind(each.annotation)) for each in node.args.args)
    gives: tuple[str, ...]
    if isinstance(node.returns, ast.Constant) and node.returns.value is None:
        gives = ()
    elif isinstance(node.returns, ast.Subscript) and isinstance(node.returns.slice, ast.Tuple):
        gives = tuple(map(kind, node.returns.slice.elts))
    else:
        gives = (kind(node.returns),)
    return Signature(f"{function.__module__}.{node.name}", takes, gives)


class Version(NamedTuple):
    """A function, and those of its integer arguments that are known when it is translated."""

    function: Callable[..., Any]
    known: tuple[tuple[str, Value], ...] = ()

    @property
    def name(self) -> str:
        """Its symbol."""
        inside = ",".join(f"{name}={value.text}" for name, value in self.known)
        return signature(self.function).name + (f"[{inside}]" if inside else "")


def llvm(kind: str) -> str:
    """Return LLVM's word for a type."""
    return "ptr" if kind in ENTRIES else kind


@dataclass
class Expressions:
    """Emits what the expressions of one function compute.

    Variables are places in memory, which LLVM turns to registers.

    Attributes
    ----------
    version : Version
    places : dict of str to Value
        Variables by name: of numbers the place, of buffers the pointer.
    known : dict of str to Value
        Arguments that are numbers.
    head, lines : list of str
        Reserved places, and instructions.
    called : list of Version
        Functions that it calls.
    """

    version: Version
    places: dict[str, Value] = field(default_factory=dict)
    known: dict[str, Value] = field(default_factory=dict)
    head: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    called: list[Version] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.function, self.numbers = self.version.function, itertools.count()

    def refuse(self, node: ast.AST, what: str) -> NoReturn:
        """Raise, with the place."""
        raise NotTranslatableError(f"{inspect.getfile(self.function)}:{getattr(node, 'lineno', 0)}: {what}")

    def emit(self, line: str) -> None:
        """Add an instruction."""
        self.lines.append(f"  {line}")

    def new(self, expression: str, kind: str) -> Value:
        """Emit an expression, and return its result."""
        name = self.name()
        self.emit(f"%{name} = {expression}")
        return Value(kind, f"%{name}")

    def name(self) -> str:
        """Return a name that nothing else has."""
        return f".{next(self.numbers)}"

    def begin(self, label: str) -> None:
        """Begin a basic block."""
        self.lines.append(f"{label}:")

    def reserve(self, kind: str) -> str:
        """Reserve a place for a number."""
        place = f"%{self.name()}"
        self.head.append(f"  {place} = alloca {kind}")
        return place

    # -- expressions

    def value(self, node: ast.expr) -> Value:
        """Emit an expression of one value."""
        compute = getattr(self, f"_{type(node).__name__}", None)
        if compute is None:
            self.refuse(node, f"{type(node).__name__} is not translated")
        found: Value = compute(node)
        return found

    def _Constant(self, node: ast.Constant) -> Value:
        return self.constant(node.value, node)

    def constant(self, value: Any, node: ast.AST) -> Value:
        """Return a number."""
        if isinstance(value, bool):
            return Value("i1", str(value).lower())
        if isinstance(value, int):
            return Value("i64", str(value))
        if isinstance(value, float):
            return Value("double", f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}")
        self.refuse(node, f"{value!r} is no number")

    def _Name(self, node: ast.Name) -> Value:
        if node.id in self.known:
            return self.known[node.id]
        if node.id not in self.places:
            return self.constant(self.outside(node), node)
        place = self.places[node.id]
        return place if place.type in ENTRIES else self.new(f"load {place.type}, ptr {place.text}", place.type)

    def _Attribute(self, node: ast.Attribute) -> Value:
        return self.constant(self.outside(node), node)

    def outside(self, node: ast.expr) -> Any:
        """Return what a name, or a name in a module, stands for outside the function."""
        if isinstance(node, ast.Name) and node.id in self.function.__globals__:
            return self.function.__globals__[node.id]
        if isinstance(node, ast.Attribute):
            module = self.outside(node.value)
            if isinstance(module, ModuleType) and hasattr(module, node.attr):
                return getattr(module, node.attr)
        if isinstance(node, ast.Name) and node.id in ("abs", "max", "min", "int", "float"):
            return getattr(builtins, node.id)
        self.refuse(node, f"{ast.unparse(node)} has no value yet")

    def _Subscript(self, node: ast.Subscript) -> Value:
        kind, place = self.entry(node)
        return self.new(f"load {kind}, ptr {place}", kind)

    def entry(self, node: ast.Subscript) -> tuple[str, str]:
        """Return type and place of an entry of a buffer."""
        buffer, at = self.value(node.value), self.value(node.slice)
        if buffer.type not in ENTRIES or at.type != "i64":
            self.refuse(node, "entries are those of buffers, by an integer")
        kind = ENTRIES[buffer.type]
        return kind, self.new(f"getelementptr inbounds {kind}, ptr {buffer.text}, i64 {at.text}", "").text

    def _BinOp(self, node: ast.BinOp) -> Value:
        if isinstance(node.op, ast.Pow):
            if not (isinstance(node.right, ast.Constant) and node.right.value == 2):
                self.refuse(node, "only squares are translated")
            base = self.value(node.left)
            return self.binary(node, ast.Mult(), base, base)
        return self.binary(node, node.op, self.value(node.left), self.value(node.right))

    def binary(self, node: ast.AST, operator: ast.operator, left: Value, right: Value) -> Value:
        """Emit an operation of two values."""
        if isinstance(operator, ast.Div):
            left, right = (self.converted(each, "double", node) for each in (left, right))
            return self.new(f"fdiv {FAST} double {left.text}, {right.text}", "double")
        if type(operator) not in _ARITHMETIC:
            self.refuse(node, f"{type(operator).__name__} is not translated")
        left, right = self.alike(node, left, right)
        of_integers, of_floats = _ARITHMETIC[type(operator)]
        word = of_integers if left.type == "i64" else f"{of_floats} {FAST}"
        return self.new(f"{word} {left.type} {left.text}, {right.text}", left.type)

    def alike(self, node: ast.AST, left: Value, right: Value) -> tuple[Value, Value]:
        """Return two numbers in the type that has both."""
        kind = "double" if "double" in (left.type, right.type) else "i64"
        return self.converted(left, kind, node), self.converted(right, kind, node)

    def converted(self, value: Value, kind: str, node: ast.AST) -> Value:
        """Return a value as another type: an integer may become a float, and nothing else anything."""
        if value.type == kind:
            return value
        if (value.type, kind) != ("i64", "double"):
            self.refuse(node, f"{value.type} where {kind} is needed")
        return self.new(f"sitofp i64 {value.text} to double", "double")

    def _UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return self.new(f"xor i1 {self.converted(value, 'i1', node).text}, true", "i1")
        if not isinstance(node.op, ast.USub) or value.type not in ("i64", "double"):
            self.refuse(node, f"{type(node.op).__name__} is not translated")
        if value.type == "i64":
            return self.new(f"sub nsw i64 0, {value.text}", "i64")
        return self.new(f"fneg {FAST} double {value.text}", "double")

    def _Compare(self, node: ast.Compare) -> Value:
        if len(node.ops) > 1 or type(node.ops[0]) not in _COMPARISONS:
            self.refuse(node, "comparisons are of two numbers")
        left, right = self.alike(node, self.value(node.left), self.value(node.comparators[0]))
        return self.compared(_COMPARISONS[type(node.ops[0])], left, right)

    def compared(self, words: tuple[str, str], left: Value, right: Value) -> Value:
        """Emit a comparison of two numbers of one type."""
        word = f"icmp {words[0]}" if left.type == "i64" else f"fcmp {words[1]}"
        return self.new(f"{word} {left.type} {left.text}, {right.text}", "i1")

    def _BoolOp(self, node: ast.BoolOp) -> Value:
        place, after = self.reserve("i1"), self.name()
        for each in node.values:
            value = self.converted(self.value(each), "i1", node)
            more = self.name()
            self.emit(f"store i1 {value.text}, ptr {place}")
            labels = (more, after) if isinstance(node.op, ast.And) else (after, more)
            self.emit(f"br i1 {value.text}, label %{labels[0]}, label %{labels[1]}")
            self.begin(more)
        self.emit(f"br label %{after}")
        self.begin(after)
        return self.new(f"load i1, ptr {place}", "i1")

    def _IfExp(self, node: ast.IfExp) -> Value:
        yes, no, after = self.name(), self.name(), self.name()
        self.emit(f"br i1 {self.converted(self.value(node.test), 'i1', node).text}, label %{yes}, label %{no}")
        outer, sides = self.lines, []
        for label, each in ((yes, node.body), (no, node.orelse)):  # what both become is known after both
            self.lines = []
            self.begin(label)
            sides.append((self.value(each), self.lines))
        kind = "double" if "double" in (sides[0][0].type, sides[1][0].type) else sides[0][0].type
        place = self.reserve(kind)
        for value, lines in sides:
            self.lines = lines
            self.emit(f"store {kind} {self.converted(value, kind, node).text}, ptr {place}")
            self.emit(f"br label %{after}")
            outer += lines
        self.lines = outer
        self.begin(after)
        return self.new(f"load {kind}, ptr {place}", kind)

    # -- calls

    def _Call(self, node: ast.Call) -> Value:
        values = self.call(node)
        if len(values) != 1:
            self.refuse(node, f"{ast.unparse(node.func)} gives {len(values)} values where one is needed")
        return values[0]

    def call(self, node: ast.Call) -> list[Value]:
        """Emit a call; return what it gives."""
        called, arguments = self.outside(node.func), [self.value(each) for each in node.args]
        if node.keywords:
            self.refuse(node, "arguments have no names")
        if isinstance(called, Primitive):
            return [self._primitive(called, arguments, node)]
        if callable(called) and inspect.isfunction(called):
            return self._function(called, arguments, node)
        number = len(arguments)
        if called in MATH and number == 1:
            value = self.converted(arguments[0], "double", node)
            return [self.new(f"call {FAST} double @{MATH[called]}(double {value.text})", "double")]
        if called is math.isfinite and number == 1:
            size = self.new(f"call double @llvm.fabs.f64(double {arguments[0].text})", "double")
            return [self.compared(("", "olt"), size, self.constant(math.inf, node))]
        if called is int and number == 1 and arguments[0].type == "double":
            return [self.new(f"fptosi double {arguments[0].text} to i64", "i64")]
        if called is float and number == 1:
            return [self.converted(arguments[0], "double", node)]
        if called is abs and number == 1 and arguments[0].type == "double":
            return [self.new(f"call {FAST} double @llvm.fabs.f64(double {arguments[0].text})", "double")]
        if called in (max, min) and number == 2:
            left, right = self.alike(node, *arguments)
            # As in Python, the first one stays unless the second one is larger.
            test = self.compared(("sgt", "ogt") if called is max else ("slt", "olt"), right, left)
            return [self.new(f"select i1 {test.text}, {left.type} {right.text}, {left.type} {left.text}", left.type)]
        self.refuse(node, f"{ast.unparse(node)}: this call is not translated")

    def _primitive(self, called: Primitive, arguments: list[Value], node: ast.AST) -> Value:
        if tuple(each.type for each in arguments) != called.takes:
            self.refuse(node, f"{called.name} takes {', '.join(called.takes)}")
        result, at = f"%{self.name()}", f"%{self.name()}"
        for line in called.lines:
            self.emit(line.format(*(each.text for each in arguments), at=at, result=result))
        return Value(called.gives, result)

    def _function(self, called: Callable[..., Any], arguments: list[Value], node: ast.AST) -> list[Value]:
        own = signature(called)
        if len(arguments) != len(own.takes):
            self.refuse(node, f"{own.name} takes {len(own.takes)} arguments")
        pairs = zip(arguments, own.takes, strict=True)
        values = [self.converted(value, kind, node) for value, (_, kind) in pairs]
        buffers = [value.text for value in values if value.type in ENTRIES]
        if len(set(buffers)) < len(buffers):
            self.refuse(node, "a buffer is given twice: LLVM is told that they are apart")
        named = [(name, value) for (name, _), value in zip(own.takes, values, strict=True)]
        known = tuple((name, value) for name, value in named if value.type == "i64" and value.text.isdigit())
        version = Version(called, known)
        self.called.append(version)
        given = ", ".join(f"{llvm(value.type)} {value.text}" for name, value in named if (name, value) not in known)
        text = f'call {own.result} @"{version.name}"({given})'
        if not own.gives:
            self.emit(text)
            return []
        whole = self.new(text, own.result)
        if len(own.gives) == 1:
            return [Value(own.gives[0], whole.text)]
        parts = (self.new(f"extractvalue {own.result} {whole.text}, {j}", kind) for j, kind in enumerate(own.gives))
        return list(parts)
