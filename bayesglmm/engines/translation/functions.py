"""Plain Python functions over flat buffers, translated to the text of LLVM's language, which LLVM compiles.

Types are said by annotations, and there are few: `int` (64 bits), `float`, `bool`, and the buffers `Ints` and
`Floats`. There are assignments, `for ... in range(...)`, `while`, `if`, `return`, arithmetic, comparisons, entries of
buffers, those functions of `math` that `values.MATH` knows, and calls of other such functions. Anything else is
refused, with file and line. Where a call gives an integer as a number, as in `forward(a, C, v, 1, k)`, the function
is copied for it, and LLVM unrolls its loops.

A function means what it means in Python, but for this: integers wrap, a place in a buffer is not checked (nor counted
from the end), buffers of one call must not overlap, and sums may be taken in another order.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bayesglmm.engines.translation.values import (
    ENTRIES,
    MATH,
    Expressions,
    Value,
    Version,
    definition,
    llvm,
    signature,
)

__all__ = ["symbol", "translated"]


def symbol(function: Callable[..., Any]) -> str:
    """Return the name of a function in the translated module."""
    return signature(function).name


def translated(roots: Iterable[Callable[..., Any]]) -> tuple[str, frozenset[Callable[..., Any]]]:
    """Translate functions and all that they call.

    Parameters
    ----------
    roots : iterable of callable
        Plain functions with annotations, from files.

    Returns
    -------
    text : str
        A module of LLVM; it exports the roots as functions of C, each under its `symbol`.
    functions : frozenset of callable
        All that are in it.

    Raises
    ------
    NotTranslatableError
        If one of them has something that is not translated; the message has file and line.
    """
    exported = {Version(root) for root in roots}
    waiting, done, texts = list(exported), set(), []
    while waiting:
        version = waiting.pop()
        if version not in done:
            done.add(version)
            writer = _Function(version)
            texts.append(writer.text("" if version in exported else "internal "))
            waiting.extend(writer.called)
    declared = [f"declare double @{name}(double)" for name in sorted(MATH.values())]
    return "\n".join([*declared, *texts]), frozenset(version.function for version in done)


@dataclass
class _Function(Expressions):
    """Writes one function.

    Attributes
    ----------
    ended : bool
        Whether the basic block has its last instruction: what follows is not reached.
    """

    ended: bool = False

    def text(self, linkage: str) -> str:
        """Return the whole."""
        node, own = definition(self.function), signature(self.function)
        arguments, self.known = [], dict(self.version.known)
        for name, kind in own.takes:
            if name in self.known:
                continue
            arguments.append(f"{llvm(kind)} {'noalias ' if kind in ENTRIES else ''}%{name}")
            self._store(name, Value(kind, f"%{name}"), node)
        self.gives, self.result = own.gives, own.result
        self._block(node.body)
        if not self.ended:
            if own.gives:
                self.refuse(node, f"{node.name} may end without a return")
            self.emit("ret void")
        body = "\n".join([*self.head, *self.lines])
        return f'define {linkage}{own.result} @"{self.version.name}"({", ".join(arguments)}) {{\n{body}\n}}'

    def begin(self, label: str) -> None:
        """Begin a basic block."""
        super().begin(label)
        self.ended = False

    def _jump(self, label: str) -> None:
        if not self.ended:
            self.emit(f"br label %{label}")
        self.ended = True

    def _branch(self, test: ast.expr, yes: str, no: str) -> None:
        truth = self.converted(self.value(test), "i1", test)
        self.emit(f"br i1 {truth.text}, label %{yes}, label %{no}")
        self.ended = True

    def _block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if self.ended:
                self.refuse(statement, "it is never reached")
            write = getattr(self, f"_write_{type(statement).__name__}", None)
            if write is None:
                self.refuse(statement, f"{type(statement).__name__} is not translated")
            write(statement)

    def _write_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.call(node.value)
        elif not isinstance(node.value, ast.Constant):
            self.refuse(node, "an expression without effect")

    def _write_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if len(node.targets) > 1:
            self.refuse(node, "one assignment at a time")
        if not isinstance(target, ast.Tuple):
            self._assign(target, self.value(node.value))
            return
        if isinstance(node.value, ast.Tuple):
            values = [self.value(each) for each in node.value.elts]
        else:
            values = self.call(node.value) if isinstance(node.value, ast.Call) else []
        if len(values) != len(target.elts):
            self.refuse(node, "as many values as names are needed")
        for name, value in zip(target.elts, values, strict=True):
            self._assign(name, value)

    def _write_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Subscript):  # the place is computed once
            kind, place = self.entry(node.target)
            before = self.new(f"load {kind}, ptr {place}", kind)
            after = self.binary(node, node.op, before, self.value(node.value))
            self.emit(f"store {kind} {self.converted(after, kind, node).text}, ptr {place}")
        elif isinstance(node.target, ast.Name):
            before = self.value(ast.copy_location(ast.Name(node.target.id), node))
            self._assign(node.target, self.binary(node, node.op, before, self.value(node.value)))
        else:
            self.refuse(node, "only names and entries of buffers are assigned")

    def _write_If(self, node: ast.If) -> None:
        yes, no, after = self.name(), self.name(), self.name()
        self._branch(node.test, yes, no if node.orelse else after)
        self.begin(yes)
        self._block(node.body)
        ended = self.ended and bool(node.orelse)
        self._jump(after)
        if node.orelse:
            self.begin(no)
            self._block(node.orelse)
            ended = ended and self.ended
            self._jump(after)
        if not ended:
            self.begin(after)

    def _write_While(self, node: ast.While) -> None:
        if node.orelse:
            self.refuse(node, "a loop with else")
        test, body, after = self.name(), self.name(), self.name()
        self._jump(test)
        self.begin(test)
        self._branch(node.test, body, after)
        self.begin(body)
        self._block(node.body)
        self._jump(test)
        self.begin(after)

    def _write_For(self, node: ast.For) -> None:
        over = node.iter
        is_range = isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range"
        if not isinstance(over, ast.Call) or not is_range or len(over.args) > 2 or node.orelse:
            self.refuse(node, "loops are over range(stop) or range(start, stop)")
        bounds = [self.converted(self.value(each), "i64", node).text for each in over.args]
        start, stop = ("0", *bounds)[-2:]
        counter, test, body, after = self.reserve("i64"), self.name(), self.name(), self.name()
        self.emit(f"store i64 {start}, ptr {counter}")
        self._jump(test)
        self.begin(test)
        at = self.new(f"load i64, ptr {counter}", "i64")
        more = self.new(f"icmp slt i64 {at.text}, {stop}", "i1")
        self.emit(f"br i1 {more.text}, label %{body}, label %{after}")
        self.begin(body)
        self._assign(node.target, at)
        self._block(node.body)
        if not self.ended:
            self.emit(f"store i64 {self.new(f'add nsw i64 {at.text}, 1', 'i64').text}, ptr {counter}")
        self._jump(test)
        self.begin(after)

    def _write_Return(self, node: ast.Return) -> None:
        elements = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] if node.value else []
        values = [self.value(each) for each in elements]
        if len(values) != len(self.gives):
            self.refuse(node, f"{len(self.gives)} values are to be returned")
        values = [self.converted(value, kind, node) for value, kind in zip(values, self.gives, strict=True)]
        whole = values[0].text if values else ""
        if len(values) > 1:
            whole = "poison"
            for j, value in enumerate(values):
                whole = self.new(f"insertvalue {self.result} {whole}, {value.type} {value.text}, {j}", "").text
        self.emit(f"ret {self.result} {whole}")
        self.ended = True

    def _assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Subscript):
            kind, place = self.entry(target)
            self.emit(f"store {kind} {self.converted(value, kind, target).text}, ptr {place}")
        elif isinstance(target, ast.Name):
            self._store(target.id, value, target)
        else:
            self.refuse(target, "only names and entries of buffers are assigned")

    def _store(self, name: str, value: Value, node: ast.AST) -> None:
        if name in self.known:
            self.refuse(node, f"{name} is assigned, but a caller gives it as a number")
        if value.type in ENTRIES:
            if name in self.places:
                self.refuse(node, f"the buffer {name} is assigned a second time")
            self.places[name] = value
            return
        if name not in self.places:
            self.places[name] = Value(value.type, self.reserve(value.type))
        place = self.places[name]
        self.emit(f"store {place.type} {self.converted(value, place.type, node).text}, ptr {place.text}")
