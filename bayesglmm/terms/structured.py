"""The covariance word of a group term: which structure it means, its options, and the factor that it runs over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.covariances import COVARIANCES, Covariance, Setting
from bayesglmm.errors import FormulaError, UnknownNameError, did_you_mean
from bayesglmm.formula.spec import GroupSpec
from bayesglmm.formula.syntax import Name, Node, Number, String, Unary
from bayesglmm.terms.atoms import Atom
from bayesglmm.terms.base import Context
from bayesglmm.terms.coding import CodedTerm
from bayesglmm.terms.columns import Numeric, as_factor
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.linear import LinearPart
from bayesglmm.terms.names import caret

HOMOGENEOUS = "hom"


def covariance_of(spec: GroupSpec, width: int | None, context: Context) -> Covariance:
    """Return the structure that a word means; one plain column has no correlation.

    Parameters
    ----------
    spec : GroupSpec
    width : int or None
        Number of columns; None where it is not known yet.
    context : Context

    Raises
    ------
    UnknownNameError
        If there is no such word.
    """
    word = "diag" if spec.word == "us" and width == 1 else spec.word
    if word not in COVARIANCES or not COVARIANCES.get(word).in_formulas:
        words = [structure.name for structure in COVARIANCES if structure.in_formulas]
        message = f"Unknown covariance word `{word}` in `{spec.text}`. {did_you_mean(word, words)}"
        raise UnknownNameError(caret(message, context.formula, spec.position))
    structure, options = COVARIANCES.get(word), dict(spec.options)
    if HOMOGENEOUS not in options:
        return structure
    flag = Evaluator(context.columns, context.formula).flag(options[HOMOGENEOUS])
    name = structure.homogeneous if flag else structure.heterogeneous
    if not name:
        message = f"`{structure.name}` has one variant only: leave out `{HOMOGENEOUS}=`."
        raise FormulaError(message, context.formula, spec.position)
    return COVARIANCES.get(name)


def given_options(structure: Covariance, spec: GroupSpec, context: Context) -> dict[str, Any]:
    """Return the keyword arguments of a covariance word: numbers, texts, truth values, matrices passed by name.

    Raises
    ------
    FormulaError, UnknownNameError
        For keywords that the structure does not take and names of matrices that were not passed.
    """
    found = {}
    for name, node in spec.options:
        if name == HOMOGENEOUS:
            continue
        if name not in structure.keywords:
            known = [*structure.keywords, *([HOMOGENEOUS] if structure.heterogeneous else [])]
            takes = did_you_mean(name, known) if known else "It takes none."
            raise FormulaError(f"`{structure.name}` has no option `{name}`. {takes}", context.formula, spec.position)
        found[name] = _matrix(node, context) if name in structure.matrices else _option(node, context)
    return found


def _matrix(node: Node, context: Context) -> Any:
    if isinstance(node, Name) and node.text in context.matrices:
        return context.matrices[node.text]
    hint = f'pass it by name, bg.Model(..., cov={{"{node}": ...}}). '
    if context.matrices:
        hint += did_you_mean(str(node), context.matrices)
    raise UnknownNameError(caret(f"There is no matrix `{node}`: {hint.strip()}", context.formula, node.position))


def _option(node: Node, context: Context) -> Any:
    """Return an option of a covariance word: a number, a string, a truth value, or a column."""
    evaluator = Evaluator(context.columns, context.formula)
    match node:
        case Number():
            return node.value
        case Unary("-", Number() as number):
            return -number.value
        case String(text):
            return text
        case Name("TRUE" | "True" | "FALSE" | "False"):
            return evaluator.flag(node)
    value = evaluator.value(node)
    return value.floats if isinstance(value, Numeric) else np.array(value.levels, dtype=object)[value.codes]


def bind_index(spec: GroupSpec, context: Context, label: str) -> LinearPart:
    """Return the left side of a structure that is a process over the levels of one factor, in full coding.

    Numbers are a factor whose levels are the distinct values in their order. Levels of an ordered column that no row
    has stay: the process runs through them.

    Raises
    ------
    FormulaError
        For anything but ``0 + factor``, or a factor with one level.
    """
    columns = spec.columns
    if columns.intercept or len(columns.terms) != 1 or len(columns.terms[0]) != 1:
        group = ":".join(map(str, spec.factor))
        message = f"`{spec.word}` is a process over the levels of one factor: write {spec.word}(0 + time | {group})."
        raise FormulaError(message, context.formula, spec.position)
    node = columns.terms[0][0]
    evaluator = Evaluator(context.columns, context.formula)
    occurring, text = as_factor(evaluator.value(node), context.columns.n), str(node)
    factor = occurring if occurring.ordered else occurring.without_unused()[0]
    if len(factor.levels) < 2:
        message = f"`{text}` has one level ({', '.join(factor.levels)}): `{spec.word}` is a process over several."
        raise FormulaError(message, context.formula, spec.position)
    name = node.text if isinstance(node, Name) else text
    atom = Atom(node, context.formula, name, (), factor.levels, factor.contrast, False, False, evaluator.learned)
    return LinearPart(label, (atom,), (name,), (CodedTerm(0, (0,), (True,)),), False)


def index_of(left: LinearPart) -> Atom | None:
    """Return the factor whose levels the columns of a left side are one by one, if there is one."""
    runs = left.coded
    single = len(runs) == 1 and runs[0].source is not None and len(runs[0].atoms) == 1 and runs[0].full[0]
    atom = left.atoms[runs[0].atoms[0]] if single else None
    return atom if atom is not None and atom.is_factor and not left.dropped else None


def settle_structure(
    structure: Covariance,
    spec: GroupSpec,
    left: LinearPart,
    group: str,
    levels: tuple[str, ...],
    context: Context,
) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Let a structure meet the data; return the levels of its factor and what it needs besides.

    Parameters
    ----------
    structure : Covariance
    spec : GroupSpec
    left : LinearPart
    group : str
        The grouping factor.
    levels : tuple of str
        Its levels that occur.
    context : Context
    """
    given, index = given_options(structure, spec, context), index_of(left)
    terms = tuple(column.name for column in left.columns if column.name not in left.dropped)
    own = None if index is None else index.levels
    names = {name: str(node) for name, node in spec.options if name in structure.matrices}
    setting = Setting(spec.text, context.formula, spec.position, group, terms, own, levels, given, names)
    found = structure.levels(setting) or levels
    return found, structure.options(setting)
