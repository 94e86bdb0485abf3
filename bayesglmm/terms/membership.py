"""Multi-membership, ``(1 + x | mm(g1, g2, weights=cbind(w1, w2)))``: rows that belong to several levels of a factor.

A pupil who changed school belongs to both: the effect is the weighted mean of those of the schools (Hill and
Goldstein 1998; Browne, Goldstein and Rasbash 2001). Spelled as in brms; ``mmc(x1, x2)`` is a covariate that differs
by membership.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints, RandomBlock
from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula.spec import FixedSpec, GroupSpec
from bayesglmm.formula.syntax import Call, Name, Node
from bayesglmm.terms.atoms import Atom
from bayesglmm.terms.base import Context
from bayesglmm.terms.columns import Columns, Factor, Numeric, as_factor
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.group import GroupPart, NewLevels, bind_factor
from bayesglmm.terms.linear import LinearPart, bind_linear
from bayesglmm.terms.names import caret
from bayesglmm.terms.structured import covariance_of, settle_structure

MEMBERSHIP = "mm"
COVARIATE = "mmc"


@dataclass(frozen=True, eq=False)
class Weights:
    """How strongly a row belongs to its levels.

    Attributes
    ----------
    nodes : tuple of Node
        One per membership; none for equal weights.
    scale : bool
        Whether the weights of a row are divided by their sum.
    formula : str
        For carets.
    """

    nodes: tuple[Node, ...]
    scale: bool
    formula: str

    def values(self, columns: Columns, members: int) -> Floats:
        """Return the weights of each row, shape (n, members).

        Raises
        ------
        DataError
            For weights that are not finite, or that are negative or all zero where they are to sum to one.
        """
        if not self.nodes:
            return np.full((columns.n, members), 1.0 / members if self.scale else 1.0)
        evaluator = Evaluator(columns, self.formula)
        found = np.stack([np.broadcast_to(evaluator.floats(node), (columns.n,)) for node in self.nodes], axis=1)
        good = np.isfinite(found).all(axis=1)
        if self.scale:
            good &= (found >= 0.0).all(axis=1) & (found.sum(axis=1) > 0.0)
        if not good.all():
            i = int(np.argmin(good))
            shown = ", ".join(f"{value:g}" for value in found[i])
            rule = "at least 0, and one of a row above 0 (scale=FALSE takes them as they are)"
            message = f"The weights of memberships in row {columns.rows[i]} are {shown}; "
            message += f"they must be {rule if self.scale else 'finite'}."
            raise DataError(caret(message, self.formula, self.nodes[0].position))
        return found / found.sum(axis=1, keepdims=True) if self.scale else found


@dataclass(frozen=True, eq=False, kw_only=True)
class MembershipPart(GroupPart):
    """A multi-membership term that has met data.

    `factors` has one factor per membership, all with the same levels.

    Attributes
    ----------
    weights : Weights
    lefts : tuple of LinearPart
        The varying columns by membership; one where they are the same for all.
    """

    weights: Weights
    lefts: tuple[LinearPart, ...]

    def block(self, columns: Columns, known: bool = True) -> RandomBlock:
        """Return the block for these rows, as `GroupPart.block`; not known, a row belongs to one level wholly."""
        X = [left.block(columns).X for left in self.lefts]
        terms = tuple(column.name for column in self.left.columns if column.name not in self.left.dropped)
        if not known:
            index: Ints = np.full(columns.n, -1, dtype=np.intp)
            return self._made(terms, index, np.mean(X, axis=0))
        weights = self.weights.values(columns, self.members)
        own = X * self.members if len(X) == 1 else X
        shares = np.stack([x * weights[:, [m]] for m, x in enumerate(own)], axis=2)
        total = np.sum(np.abs(weights), axis=1, keepdims=True)
        whole = X[0] if len(X) == 1 else shares.sum(axis=2) / np.where(total > 0.0, total, 1.0)
        return self._made(terms, _told_apart(*self._codes(columns)), whole, shares=shares)

    @property
    def factor_key(self) -> frozenset[str]:
        """What tells its grouping factor from others: ``mm(a, b)`` is not ``a:b``."""
        return frozenset({MEMBERSHIP}) | super().factor_key

    @property
    def members(self) -> int:
        """Levels that a row belongs to."""
        return len(self.factors)

    def new_levels(self, columns: Columns) -> NewLevels:
        """Return the levels of these rows that the model does not know."""
        codes, factors = self._codes(columns)
        names = np.stack([_names(factor) for factor in factors], axis=1)
        new = np.full(codes.shape, -1, dtype=np.intp)
        unknown = codes < 0
        levels = tuple(dict.fromkeys(names[unknown].tolist()))
        place = {level: i for i, level in enumerate(levels)}
        new[unknown] = [place[name] for name in names[unknown]]
        return NewLevels(self.label, self.group, levels, new)

    def _codes(self, columns: Columns) -> tuple[Ints, list[Factor]]:
        """Return the level of every membership, shape (n, members), -1 where it is unknown; and the factors."""
        factors = [as_factor(atom.evaluate(columns), columns.n) for atom in self.factors]
        return np.stack([factor.recoded(self.levels).codes for factor in factors], axis=1), factors


def _names(factor: Factor) -> Any:
    return np.array(factor.levels, dtype=object)[factor.codes]


def _told_apart(codes: Ints, factors: Sequence[Factor]) -> Ints:
    """Return codes in which different unknown levels of one row have different negative numbers."""
    rows = np.flatnonzero((codes < 0).sum(axis=1) > 1)
    if not rows.size:
        return codes
    codes, names = codes.copy(), np.stack([_names(factor) for factor in factors], axis=1)
    for i in rows:
        unknown = np.flatnonzero(codes[i] < 0)
        place = {name: -1 - j for j, name in enumerate(dict.fromkeys(names[i, unknown].tolist()))}
        codes[i, unknown] = [place[name] for name in names[i, unknown]]
    return codes


def bind_membership(spec: GroupSpec, context: Context, label: str) -> MembershipPart:
    """Let a multi-membership term meet the data.

    Parameters
    ----------
    spec : GroupSpec
        With a factor ``mm(...)``.
    context : Context
    label : str
        Formula text for the block.

    Raises
    ------
    FormulaError
        For arguments that mean nothing here, interactions with other factors, and structures whose levels depend on
        each other.
    DataError
        For weights that cannot be ones, and a factor with one level.
    """
    call = next(node for node in spec.factor if isinstance(node, Call) and node.function == MEMBERSHIP)
    if len(spec.factor) > 1:
        message = f"`{call}` stands alone behind the bar; for an interaction make columns of the combinations."
        raise FormulaError(message, context.formula, call.position)
    structure = covariance_of(spec, None, context)
    if structure.indexed or structure.latent != "spherical" or structure.new_levels:
        message = f"`{spec.word}` cannot be combined with `mm(...)`: write (1 + x | mm(...)) or (1 + x || mm(...))."
        raise FormulaError(message, context.formula, spec.position)
    weights = _weights(call, context)
    factors = _common_levels(call, context)
    lefts = _lefts(spec, len(factors), context, label)
    structure, levels = covariance_of(spec, lefts[0].width, context), factors[0].levels
    group = f"{MEMBERSHIP}({', '.join(atom.label for atom in factors)})"
    if len(levels) < 2:
        message = f"The grouping factor `{group}` has one level ({', '.join(levels)}): a group with one level says "
        raise DataError(caret(message + "nothing about variation between groups.", context.formula, call.position))
    _, options = settle_structure(structure, spec, lefts[0], group, levels, context)
    return MembershipPart(
        label,
        group,
        lefts[0],
        factors,
        None,
        levels,
        structure.name,
        structure.latent,
        options,
        weights=weights,
        lefts=lefts,
    )


def _weights(call: Call, context: Context) -> Weights:
    """Return what ``weights=`` and ``scale=`` say."""
    nodes: tuple[Node, ...] = ()
    scale = True
    for name, value in call.kwargs:
        if name == "scale":
            scale = Evaluator(context.columns, context.formula).flag(value)
        elif name == "weights":
            if not isinstance(value, Call) or value.function != "cbind" or len(value.args) != len(call.args):
                message = f"`weights=` holds one column per membership: cbind(...) of {len(call.args)} columns."
                raise FormulaError(message, context.formula, value.position)
            nodes = value.args
        else:
            message = f"`mm(...)` has no option `{name}`; it takes `weights=cbind(w1, w2)` and `scale=FALSE`."
            raise FormulaError(message, context.formula, value.position)
    if len(call.args) < 2:
        message = "`mm(...)` takes two grouping factors or more, mm(g1, g2): the levels that a row belongs to."
        raise FormulaError(message, context.formula, call.position)
    found = Weights(nodes, scale, context.formula)
    found.values(context.columns, len(call.args))
    return found


def _common_levels(call: Call, context: Context) -> tuple[Atom, ...]:
    """Return one factor per membership, with the levels of all of them that occur."""
    atoms = [bind_factor(node, context)[0] for node in call.args]
    levels = {level for atom in atoms for level in atom.levels}
    evaluator = Evaluator(context.columns, context.formula)
    values = [evaluator.value(node) for node in call.args]
    if all(isinstance(value, Numeric) for value in values):
        ordered = sorted(levels, key=float)
    else:
        declared = [as_factor(value, context.columns.n).levels for value in values]
        same = all(own == declared[0] for own in declared)
        ordered = [level for level in declared[0] if level in levels] if same else sorted(levels)
    return tuple(replace(atom, levels=tuple(ordered)) for atom in atoms)


def _lefts(spec: GroupSpec, members: int, context: Context, label: str) -> tuple[LinearPart, ...]:
    """Return the varying columns, by membership where ``mmc(...)`` tells them apart."""
    nodes = [node for term in spec.columns.terms for node in term]
    calls = [node for node in nodes if isinstance(node, Call) and node.function == COVARIATE]
    if not calls:
        return (bind_linear(spec.columns, context, label),)
    for call in calls:
        if len(call.args) != members or call.kwargs:
            message = f"`{call}` needs one column per membership: {members}."
            raise FormulaError(message, context.formula, call.position)
    found = []
    for m in range(members):
        own = bind_linear(_with_member(spec.columns, m), context, label)
        names: dict[Node, str] = {call.args[m]: str(call) for call in calls}
        if any(atom.node in names and atom.is_factor for atom in own.atoms):
            message = "`mmc(...)` takes numeric columns."
            raise FormulaError(message, context.formula, calls[0].position)
        atoms = tuple(replace(atom, label=names.get(atom.node, atom.label)) for atom in own.atoms)
        labels = {atom.node: atom.label for atom in atoms}
        kept = [term for term in _with_member(spec.columns, m).terms if term != (Name("Intercept"),)]
        terms = tuple(":".join(labels[node] for node in term) for term in kept)
        found.append(replace(own, atoms=atoms, terms=terms))
    return tuple(found)


def _with_member(columns: FixedSpec, m: int) -> FixedSpec:
    """Return a left side in which each ``mmc(...)`` is its argument for membership m."""
    terms = tuple(
        tuple(node.args[m] if isinstance(node, Call) and node.function == COVARIATE else node for node in term)
        for term in columns.terms
    )
    return replace(columns, terms=terms)
