"""The left side + data -> `Response`: the spellings of counts, proportions and categories, and the additions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayesglmm.blocks import Floats, Response
from bayesglmm.design.additions import censored, truncated
from bayesglmm.errors import DataError, FormulaError, UnknownNameError, did_you_mean
from bayesglmm.families.base import Family
from bayesglmm.formula import ResponseSpec
from bayesglmm.formula.syntax import Binary, Call, Node
from bayesglmm.terms.columns import Columns, Factor, Numeric, Value, as_factor
from bayesglmm.terms.evaluate import Evaluator

ADDITIONS = ("trials", "cens", "trunc", "weights", "mi")
PROPORTIONS = ("prop", "p", "proportion")
CATEGORICAL = ("ordinal", "nominal")


@dataclass(frozen=True, eq=False)
class ResponseCoder:
    """How the left side is coded; keeps the categories, so that new data are coded alike.

    Attributes
    ----------
    spec : ResponseSpec
    formula : str
        Text of the main formula, for carets.
    family : Family
    categories : tuple of str or None
        Levels learned from the data of the model; None before.
    """

    spec: ResponseSpec
    formula: str
    family: Family
    categories: tuple[str, ...] | None = None

    def code(
        self, columns: Columns, weights: Floats | None, likelihood_weights: Floats | None, notes: list[str]
    ) -> Response:
        """Return the response of these rows.

        Parameters
        ----------
        columns : Columns
        weights, likelihood_weights : ndarray, shape (n,), or None
            The arguments of the model, for these rows.
        notes : list of str
            Receives what readers should know.

        Raises
        ------
        FormulaError
            For spellings that mean nothing for the family.
        DataError
            For values that do not.
        """
        calls = self._additions()
        evaluator = Evaluator(columns, self.formula)
        if "weights" in calls:
            if likelihood_weights is not None:
                raise self._refused(
                    "`weights(...)` and `likelihood_weights=` mean the same: give one.", calls["weights"]
                )
            inner = evaluator.match(calls["weights"], ("x",))["x"]
            likelihood_weights = _whole_length(evaluator.floats(inner), columns.n)
        _check_weights("likelihood weights", likelihood_weights, columns)
        _check_weights("weights", weights, columns)
        response = self._value(evaluator, weights, calls.get("trials"), notes)
        response = replace(response, likelihood_weights=likelihood_weights, rows=columns.rows)
        if self.family.response != "binomial":
            response = replace(response, weights=self._precision_weights(weights, columns))
        if "cens" in calls:
            response = censored(response, calls["cens"], evaluator, self.family)
        if "trunc" in calls:
            response = truncated(response, calls["trunc"], evaluator, self.family)
        return response

    def trials(self, columns: Columns, weights: Floats | None) -> Floats | None:
        """Return the trials of new rows, whose successes need not be known; None if the columns are not there."""
        if self.family.response != "binomial":
            return None
        evaluator = Evaluator(columns, self.formula)
        call = self._additions().get("trials")
        try:
            match self.spec.value:
                case _ if call is not None:
                    trials = evaluator.floats(evaluator.match(call, ("n",))["n"])
                case Call("cbind", (successes, Binary("-", total, taken)), ()) if taken == successes:
                    trials = evaluator.floats(total)  # cbind(s, n - s): the successes need not be known
                case Call("cbind", (successes, failures), ()):
                    trials = evaluator.floats(successes) + evaluator.floats(failures)
                case Call(word, (_, total), ()) if word in PROPORTIONS:
                    trials = evaluator.floats(total)
                case _:
                    return weights
        except UnknownNameError:
            return None
        return _whole_length(trials, columns.n)

    # ------------------------------------------------------------------------------------------- spellings

    def _additions(self) -> dict[str, Call]:
        found = {call.function: call for call in self.spec.additions}
        for word, call in found.items():
            if word not in ADDITIONS:
                raise self._refused(f"Unknown addition `{word}(...)`. {did_you_mean(word, ADDITIONS)}", call)
        return found

    def _value(self, evaluator: Evaluator, weights: Floats | None, trials: Call | None, notes: list[str]) -> Response:
        node, kind = self.spec.value, self.family.response
        if kind == "nominal" and isinstance(node, Call) and node.function == "cbind":
            raise self._refused(
                f"`{node}` counts the observations in each category; family {self.family.name!r} takes one row per "
                "observation with the category. Make long data of it; `likelihood_weights=` can hold the counts.",
                node,
            )
        counts = self._counts(evaluator, trials)
        if counts is not None:
            if kind != "binomial":
                raise self._several_trials(trials or node)
            if weights is not None:
                raise DataError(
                    "`weights=` are the trials of proportions; here the trials are in the formula "
                    "already. To multiply log densities use `likelihood_weights=`."
                )
            return Response(self.spec.text, *self._checked_counts(*counts, evaluator.columns))
        value = evaluator.value(node)
        if kind in CATEGORICAL:
            return self._categories(value, evaluator.columns, notes)
        if kind == "binomial" and weights is not None:
            return self._proportions(value, weights, evaluator.columns)
        if kind in ("binary", "binomial"):
            response = self._binary(value, evaluator.columns, notes)
            ones = np.ones(evaluator.columns.n) if kind == "binomial" else None
            return replace(response, trials=ones)
        return Response(self.spec.text, self._numbers(value, evaluator.columns))

    def _counts(self, evaluator: Evaluator, trials: Call | None) -> tuple[Floats, Floats] | None:
        """Return successes and trials where the formula spells them out."""
        n = evaluator.columns.n
        match self.spec.value:
            case Call("cbind" | "prop" | "p" | "proportion" as word, args) as call:
                if trials is not None:
                    raise self._refused(f"`{word}(...)` has the trials already; leave out `trials(...)`.", trials)
                if len(args) != 2 or call.kwargs:
                    takes = "successes and failures" if word == "cbind" else "successes and trials"
                    raise self._refused(f"`{word}` takes two expressions: {takes}.", call)
                first, second = (_whole_length(evaluator.floats(arg), n) for arg in args)
                return first, first + second if word == "cbind" else second
            case node if trials is not None:
                total = evaluator.floats(evaluator.match(trials, ("n",))["n"])
                return _whole_length(evaluator.floats(node), n), _whole_length(total, n)
        return None

    def _several_trials(self, node: Node) -> FormulaError:
        name = self.family.name
        if isinstance(node, Call) and node.function == "cbind" and self.family.response != "binary":
            message = f"`{node}` is a binomial response (or two responses); family {name!r} takes one column."
        else:
            message = f"`{node}` counts successes among trials: use family='binomial', not {name!r}."
        return self._refused(message, node)

    def _checked_counts(self, y: Floats, trials: Floats, columns: Columns) -> tuple[Floats, Floats]:
        self._require(np.isfinite(y) & np.isfinite(trials), y, columns, "a finite number")
        self._require(trials >= 0, trials, columns, "at least 0 trials")
        self._require(np.abs(trials - np.round(trials)) < 1e-8, trials, columns, "a whole number of trials")
        self._require(y >= 0, y, columns, "at least 0 successes")
        self._require(np.abs(y - np.round(y)) < 1e-8, y, columns, "a whole number of successes")
        self._require(y <= trials, y, columns, "at most as many successes as trials")
        return np.round(y), np.round(trials)

    def _proportions(self, value: Value, trials: Floats, columns: Columns) -> Response:
        y = self._numbers(value, columns)
        hint = "; with `weights=` the response is a proportion (for counts write `s | trials(n)`)"
        self._require((y >= 0) & (y <= 1), y, columns, f"between 0 and 1{hint}")
        successes = y * trials
        near = np.abs(successes - np.round(successes)) < 1e-3
        self._require(near, successes, columns, "a whole number of successes: proportion times weight")
        return Response(self.spec.text, *self._checked_counts(np.round(successes), trials, columns))

    # ---------------------------------------------------------------------------------------------- values

    def _numbers(self, value: Value, columns: Columns) -> Floats:
        if isinstance(value, Factor):
            shown = ", ".join(value.without_unused()[0].levels[:5])
            others = "'bernoulli'" if len(value.levels) == 2 else "'cumulative' or 'categorical'"
            raise DataError(
                f"The response `{self.spec.text}` holds categories ({shown}); family {self.family.name!r} takes "
                f"numbers. For categories use family={others}."
            )
        y = _whole_length(value.floats, columns.n)
        self._require(np.isfinite(y), y, columns, "a finite number")
        return y

    def _binary(self, value: Value, columns: Columns, notes: list[str]) -> Response:
        name = self.spec.text
        if isinstance(value, Numeric):
            y = self._numbers(value, columns)
            hint = "0 or 1 (for other codes write factor(...); "
            hint += "for proportions give the trials by `weights=`, for counts write `s | trials(n)`)"
            self._require((y == 0) | (y == 1), y, columns, hint)
            return Response(name, y, categories=("0", "1"))
        factor = self._frozen(value.without_unused()[0] if not value.boolean else value)
        if len(factor.levels) > 2:
            shown = ", ".join(factor.levels[:10])
            raise DataError(
                f"The response `{name}` has {len(factor.levels)} levels ({shown}); "
                f"family {self.family.name!r} takes two. Use family='categorical' or 'cumulative', "
                "or compare: I(y == ...)."
            )
        if len(factor.levels) < 2:
            raise DataError(
                f"All values of the response `{name}` are {', '.join(factor.levels)}; two levels are needed."
            )
        if self.categories is None:
            notes.append(
                f"Response `{name}`: success is {factor.levels[1]!r} (second level), failure {factor.levels[0]!r}."
            )
        return Response(name, factor.codes.astype(np.float64), categories=factor.levels)

    def _categories(self, value: Value, columns: Columns, notes: list[str]) -> Response:
        name = self.spec.text
        if isinstance(value, Numeric):
            y = self._numbers(value, columns)
            self._require(y == np.round(y), y, columns, "a whole number, text or a category")
        factor, unused = as_factor(value, columns.n).without_unused()
        factor = self._frozen(factor)
        if len(factor.levels) < 2:
            raise DataError(
                f"All values of the response `{name}` are {', '.join(factor.levels)}; two categories are needed."
            )
        if self.categories is None:
            if unused:
                notes.append(f"Response `{name}`: category {', '.join(unused)} does not occur and is left out.")
            if self.family.response == "ordinal":
                notes.append(f"Response `{name}`: the order is {' < '.join(factor.levels)}.")
                if isinstance(value, Factor) and not value.ordered:
                    notes[-1] += " It was not marked as ordered; check it (pandas.Categorical(..., ordered=True))."
            else:
                notes.append(f"Response `{name}`: the reference category is {factor.levels[0]!r}.")
        return Response(name, factor.codes.astype(np.intp), categories=factor.levels)

    def _frozen(self, factor: Factor) -> Factor:
        if self.categories is None:
            return factor
        for level in factor.levels:
            if level not in self.categories:
                hint = did_you_mean(level, self.categories)
                raise DataError(
                    f"The response `{self.spec.text}` has the category {level!r}, unknown to the model. {hint}"
                )
        return factor.recoded(self.categories)

    def _precision_weights(self, weights: Floats | None, columns: Columns) -> Floats | None:
        if weights is None:
            return None
        if not self.family.takes_weights:
            raise DataError(
                f"`weights=` means precision weights (gaussian, student_t) or the trials of binomial proportions; "
                f"family {self.family.name!r} has neither. To multiply log densities use `likelihood_weights=`."
            )
        if np.any(weights == 0):
            row = columns.rows[int(np.argmin(weights))]
            raise DataError(
                f"`weights=` is 0 in row {row}: the variance there would be infinite. "
                "Drop such rows, or use `likelihood_weights=`."
            )
        return weights

    # -------------------------------------------------------------------------------------------- messages

    def _require(self, good: np.ndarray, values: Floats, columns: Columns, rule: str) -> None:
        if not good.all():
            i = int(np.argmin(good))
            count = int((~good).sum())
            raise DataError(
                f"Response `{self.spec.text}`: row {columns.rows[i]} has {values[i]:g}; needed is {rule}. "
                f"Rows concerned: {count:,}."
            )

    def _refused(self, message: str, node: Node) -> FormulaError:
        return FormulaError(message, self.formula, node.position)


def _whole_length(values: Floats, n: int) -> Floats:
    return np.array(np.broadcast_to(values, (n,)))


def _check_weights(what: str, weights: Floats | None, columns: Columns) -> None:
    if weights is None:
        return
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        i = int(np.argmax(bad))
        raise DataError(f"The {what} must be finite and not negative; row {columns.rows[i]} has {weights[i]:g}.")
