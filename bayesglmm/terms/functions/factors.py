"""Functions that make or recode factors: ``factor``, ``ordered``, ``relevel``, ``C``, ``numFactor``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayesglmm.errors import did_you_mean
from bayesglmm.formula.syntax import Call, Name, Node
from bayesglmm.terms.columns import Factor, Value, as_factor, level_label
from bayesglmm.terms.contrasts import KINDS, Contrast
from bayesglmm.terms.functions.base import FUNCTIONS, Function

if TYPE_CHECKING:
    from bayesglmm.terms.evaluate import Evaluator


def _factor(evaluator: Evaluator, call: Call) -> Value:
    given = evaluator.match(call, ("x", "levels"))
    factor = _data(evaluator, given["x"])
    if "levels" not in given or evaluator.replays:
        return factor
    levels = evaluator.texts(given["levels"])
    missing = [level for level in factor.without_unused()[0].levels if level not in levels]
    if missing:
        evaluator.fail(f"`{call}` leaves out the level {', '.join(missing)}, which the data hold.", given["levels"])
    return factor.recoded(levels)


def _ordered(evaluator: Evaluator, call: Call) -> Value:
    factor = _factor(evaluator, call)
    return replace(factor, ordered=True) if isinstance(factor, Factor) else factor


def _relevel(evaluator: Evaluator, call: Call) -> Value:
    given = evaluator.match(call, ("x", "ref"), required=2)
    factor = _data(evaluator, given["x"])
    if evaluator.replays:
        return factor
    reference = evaluator.text(given["ref"])
    if reference not in factor.levels:
        hint = did_you_mean(reference, factor.levels)
        evaluator.fail(f"`{given['x']}` has no level {reference!r}. {hint}", given["ref"])
    return factor.recoded((reference, *(level for level in factor.levels if level != reference)))


def _coded(evaluator: Evaluator, call: Call) -> Value:
    """C(x), C(x, Sum), C(x, Treatment("b")), C(x, Treatment, "b"), C(x, contr.treatment(base = 2))."""
    given = evaluator.match(call, ("x", "contrast", "reference", "levels", "base"))
    factor = _data(evaluator, given["x"])
    if evaluator.replays:
        return factor
    if "levels" in given:
        factor = factor.recoded(evaluator.texts(given["levels"]))
    options: dict[str, Node] = {name: given[name] for name in given if name in ("reference", "base")}
    return replace(factor, contrast=_contrast(evaluator, call, given.get("contrast"), options))


def _contrast(evaluator: Evaluator, call: Call, node: Node | None, options: dict[str, Node]) -> Contrast:
    match node:
        case None:
            word = "Treatment"
        case Name(word):
            pass
        case Call(word):
            inner = evaluator.match(node, ("reference", "base", "ref"), required=0)
            options = options | {"reference" if k == "ref" else k: v for k, v in inner.items()}
        case _:
            evaluator.fail(f"`{node}` is no contrast. Known: Treatment, Sum, Helmert, Poly.", node)
    if word not in KINDS:
        evaluator.fail(f"Unknown contrast `{word}`. {did_you_mean(word, KINDS)}", node or call)
    kind = KINDS[word]
    if options and kind != "treatment":
        evaluator.fail(f"A reference level belongs to Treatment, not to {word}.", call)
    if "base" in options:
        return Contrast(kind, evaluator.whole(options["base"]) - 1)
    return Contrast(kind, evaluator.text(options["reference"]) if "reference" in options else None)


def _num_factor(evaluator: Evaluator, call: Call) -> Value:
    """GlmmTMB's numFactor(x, y): a factor whose levels are points, ``(1,2.5)``, sorted by x, then by y."""
    names = tuple(f"x{j + 1}" for j in range(max(len(call.args), 1)))
    points = [evaluator.floats(node) for node in evaluator.match(call, names, required=len(names)).values()]
    columns = np.column_stack([np.broadcast_to(values, (evaluator.columns.n,)) for values in points])
    distinct, codes = np.unique(columns, axis=0, return_inverse=True)
    levels = tuple(f"({','.join(level_label(value) for value in row)})" for row in distinct)
    return Factor(np.ravel(codes).astype(np.intp, copy=False), levels, ordered=False)


def _data(evaluator: Evaluator, node: Node) -> Factor:
    return as_factor(evaluator.value(node), evaluator.columns.n)


FUNCTIONS.register(Function("factor", _factor, aliases=("as.factor",), data_arguments=1))
FUNCTIONS.register(Function("ordered", _ordered, aliases=("as.ordered",), data_arguments=1))
FUNCTIONS.register(Function("relevel", _relevel, data_arguments=1))
FUNCTIONS.register(Function("C", _coded, data_arguments=1))
FUNCTIONS.register(Function("numFactor", _num_factor, aliases=("pos",)))
