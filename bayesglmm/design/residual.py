"""``residual="ar1(time | g)"``: the text and the data become a `ResidualBlock`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints, ResidualBlock, Response
from bayesglmm.errors import DataError, FormulaError, UnknownNameError, did_you_mean
from bayesglmm.families.base import Family
from bayesglmm.formula.parser import parse_expression
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Node, Number
from bayesglmm.residuals import RESIDUALS
from bayesglmm.residuals.base import in_order
from bayesglmm.terms import Columns, Factor
from bayesglmm.terms.columns import as_factor
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.names import caret, column_names

_EXAMPLE = 'Write for example residual="ar1(time | g)": the times within each level of g.'
ROW = "row"


@dataclass(frozen=True)
class ResidualSpec:
    """The text, read.

    Attributes
    ----------
    text : str
    structure : str
        Registered name.
    time : Node or None
        None where the order of the rows counts.
    factors : tuple of Node
        What the groups are the combinations of; empty where all rows are one group.
    """

    text: str
    structure: str
    time: Node | None
    factors: tuple[Node, ...]

    @property
    def names(self) -> dict[str, Name]:
        """The columns that it mentions."""
        nodes = [*self.factors] if self.time is None else [self.time, *self.factors]
        found: dict[str, Name] = {}
        for name in (name for node in nodes for name in column_names(node)):
            found.setdefault(name.text, name)
        return found


def read_residual(text: Any) -> ResidualSpec:
    """Read ``word(time | group)``.

    Parameters
    ----------
    text : str

    Raises
    ------
    FormulaError, UnknownNameError
        With a caret.
    """
    if not isinstance(text, str):
        raise FormulaError(f"residual= is a text, not a {type(text).__name__}. {_EXAMPLE}")
    node = parse_expression(text)
    if not isinstance(node, Call):
        raise FormulaError(f"residual= is one word with times and groups. {_EXAMPLE}", text, node.position)
    if node.function not in RESIDUALS:
        words = [structure.name for structure in RESIDUALS]
        message = f"There is no residual structure `{node.function}`. {did_you_mean(node.function, words)}"
        raise UnknownNameError(caret(message, text, node.position))
    inside = node.args[0] if len(node.args) == 1 and not node.kwargs else None
    if not isinstance(inside, Binary) or inside.operator != "|":
        raise FormulaError(f"`{node}` does not say which rows belong together. {_EXAMPLE}", text, node.position)
    time = None if isinstance(inside.left, Number) else inside.left
    factors = () if isinstance(inside.right, Number) else tuple(_factors(inside.right, text))
    return ResidualSpec(text, RESIDUALS.get(node.function).name, time, factors)


def _factors(node: Node, text: str) -> list[Node]:
    if isinstance(node, Group):
        return _factors(node.inner, text)
    if isinstance(node, Binary) and node.operator in (":", "/"):
        return [*_factors(node.left, text), *_factors(node.right, text)]
    if isinstance(node, Binary) and node.operator == "+":
        raise FormulaError("The groups of residuals are one factor, or combinations `a:b`.", text, node.position)
    return [node]


def bind_residual(spec: ResidualSpec, columns: Columns, family: Family, response: Response) -> ResidualBlock:
    """Return the groups and times of the rows.

    Parameters
    ----------
    spec : ResidualSpec
    columns : Columns
    family : Family
    response : Response

    Raises
    ------
    DataError
        If the family has no normal errors, the response is censored or truncated or has likelihood weights, two rows
        of a group have the same time, or the times do not suit the structure.
    """
    _require_normal(spec, family, response)
    structure = RESIDUALS.get(spec.structure)
    index, levels = _groups(spec, columns)
    group = ":".join(str(node) for node in spec.factors) or "1"
    time, times = _times(spec, columns)
    unit = ROW if spec.time is None else str(spec.time)
    if spec.time is None:
        time = _places(index)
        times = tuple(str(j + 1) for j in range(int(time.max()) + 1))
    block = ResidualBlock(spec.text, spec.structure, group, levels, index, time, unit, times)
    if structure.timed:
        _refuse_duplicates(block, columns)
    structure.check(block)
    if not len(structure.links(block)[0]):
        raise DataError(f"`{spec.text}`: every level of {group} has one row only, so that nothing is correlated.")
    return block


def _require_normal(spec: ResidualSpec, family: Family, response: Response) -> None:
    if not family.error_sd:
        raise DataError(
            f"residual={spec.text!r} correlates additive normal errors, and the family {family.name!r} has none. A "
            "correlated process in the linear predictor does what is meant, for every family: "
            f"{_as_effect(spec)} in the formula."
        )
    for name, what in (
        ("censoring", "a censored response (cens)"),
        ("lower", "a truncated response (trunc)"),
        ("upper", "a truncated response (trunc)"),
        ("likelihood_weights", "likelihood weights"),
    ):
        if getattr(response, name) is not None:
            raise DataError(f"residual={spec.text!r} cannot be combined with {what}: rows are then no single values.")


def _as_effect(spec: ResidualSpec) -> str:
    time = "time" if spec.time is None else str(spec.time)
    return f"{spec.structure}(0 + {time} | {':'.join(str(node) for node in spec.factors) or 'g'})"


def _groups(spec: ResidualSpec, columns: Columns) -> tuple[Ints, tuple[str, ...]]:
    evaluator = Evaluator(columns, spec.text)
    index, levels = np.zeros(columns.n, dtype=np.intp), ("1",)
    for j, node in enumerate(spec.factors):
        factor = as_factor(evaluator.value(node), columns.n)
        joined = index * len(factor.levels) + factor.codes
        names = [f"{a}:{b}" if j else b for a in levels for b in factor.levels]
        distinct, index = np.unique(joined, return_inverse=True)
        levels = tuple(names[code] for code in distinct)
    return index.astype(np.intp), levels


def _times(spec: ResidualSpec, columns: Columns) -> tuple[Floats, tuple[str, ...]]:
    """Return the times of the rows, and the names of the distinct ones in their order."""
    if spec.time is None:
        return np.zeros(columns.n), ()
    value = Evaluator(columns, spec.text).value(spec.time)
    factor = as_factor(value, columns.n)
    if isinstance(value, Factor):
        _refuse_order_of_text(factor, spec)
        return factor.codes.astype(float), factor.without_unused()[0].levels
    return np.array(np.broadcast_to(value.floats, (columns.n,)), dtype=float), factor.levels


def _refuse_order_of_text(factor: Factor, spec: ResidualSpec) -> None:
    try:
        numbers = [float(level) for level in factor.levels]
    except ValueError:
        return
    if sorted(numbers) not in (numbers, numbers[::-1]):
        shown = ", ".join(factor.levels[:6]) + (", ..." if len(factor.levels) > 6 else "")
        raise DataError(
            f"`{spec.text}` takes the levels of `{spec.time}` in the order {shown}, which is that of text. Make the "
            "column numeric, or order its categories."
        )


def _places(index: Ints) -> Floats:
    """Return the place of each row among those of its group, in the order of the data."""
    order = np.argsort(index, kind="stable")
    sizes = np.bincount(index)
    found = np.empty(len(index))
    found[order] = np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return found


def _refuse_duplicates(block: ResidualBlock, columns: Columns) -> None:
    order = in_order(block)
    one, two = order[:-1], order[1:]
    same = (block.index[one] == block.index[two]) & (block.time[one] == block.time[two])
    if same.any():
        j = int(np.argmax(same))
        level, rows = block.levels[block.index[one[j]]], columns.rows
        where = "" if block.group == "1" else f" of {block.group} {level}"
        raise DataError(
            f"`{block.label}`: rows {rows[one[j]]} and {rows[two[j]]}{where} have the same {block.unit} "
            f"({block.time[one[j]]:g}), {int(same.sum()):,} such pairs in all. The times within a group differ; "
            f"{block.structure}(1 | {block.group}) takes the rows in their order."
        )


def refuse_link(block: ResidualBlock | None, name: str) -> None:
    """Refuse a link that takes the mean off the scale on which errors are added.

    Raises
    ------
    DataError
    """
    if block is not None and name != "identity":
        raise DataError(f"residual={block.label!r} needs the identity link, not {name!r}.")
