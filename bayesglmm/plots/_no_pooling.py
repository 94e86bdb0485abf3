"""What each group would say alone: one-parameter maximum likelihood per group, for the shrinkage plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.blocks import Floats
from bayesglmm.graph.elementwise import Elementwise, RowDerivatives
from bayesglmm.graph.evaluate import Evaluator
from bayesglmm.graph.problem import BlockParts, Problem

STEPS = 50
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class NoPooling:
    """Estimates of one coefficient, group by group.

    Attributes
    ----------
    deviation : ndarray, shape (J,)
        From the population coefficient; nan where the group's rows say nothing about it.
    corrected : ndarray of bool, shape (J,)
        Where the estimate itself is infinite and the corrected one is given.
    size : ndarray, shape (J,)
        Rows that bear on the coefficient, or their trials.
    """

    deviation: Floats
    corrected: Any
    size: Floats


def no_pooling(problem: Problem, means: Mapping[str, Floats], block: BlockParts, column: int) -> NoPooling:
    """Estimate one varying coefficient for each group from the group's own rows.

    Everything else stays at its posterior mean and enters as an offset.

    Parameters
    ----------
    problem : Problem
    means : mapping of str to ndarray
        Posterior means of all variables.
    block : BlockParts
    column : int
        Of the block.
    """
    rows = _Rows(problem, means, block, column)
    estimate, converged = _maximise(rows)
    informed = rows.size > 0
    infinite = informed & ~converged
    if infinite.any():
        estimate = np.where(infinite, _corrected(rows), estimate)
    return NoPooling(np.where(informed, estimate, np.nan), infinite & np.isfinite(estimate), rows.size)


class _Rows:
    """The log-likelihood as a function of one coefficient per group.

    Parameters
    ----------
    As of `no_pooling`.
    """

    def __init__(self, problem: Problem, means: Mapping[str, Floats], block: BlockParts, column: int) -> None:
        evaluator = Evaluator(problem)
        draws = {name: np.asarray(values)[None] for name, values in means.items()}
        etas = evaluator.predictors(draws, evaluator.arrays())
        self.etas = [np.array(etas[part.names.parameter][0]) for part in problem.predictors]
        self.predictor = next(p for p, part in enumerate(problem.predictors) if block in part.blocks)
        own = block.block
        self.known = own.index >= 0
        self.index = np.where(self.known, own.index, 0)
        self.x = np.where(self.known, own.X[:, column], 0.0)
        self.J = len(own.levels)
        self.base = self.etas[self.predictor] - self.x * means[block.names.b][self.index, column]
        self.phi = {name: means[name] for name in problem.dispersions}
        trials = problem.response.trials
        self.size = self.sums(np.where(self.x != 0, 1.0 if trials is None else trials, 0.0))
        self._elementwise = Elementwise(problem)

    def sums(self, values: Floats) -> Floats:
        """Return sums over the rows of each group, shape (J,)."""
        return np.bincount(self.index, np.where(self.known, values, 0.0), minlength=self.J)

    def at(self, coefficient: Floats, order: int) -> RowDerivatives:
        """Return the rows' log-likelihoods and derivatives, for coefficients of shape (J,)."""
        etas = list(self.etas)
        etas[self.predictor] = self.base + self.x * coefficient[self.index]
        with np.errstate(all="ignore"):
            return self._elementwise(etas, self.phi, order)

    def loglik(self, coefficient: Floats) -> Floats:
        """Return the log-likelihood of each group."""
        return np.nan_to_num(self.sums(self.at(coefficient, 0).value), nan=-np.inf)

    def derivatives(self, coefficient: Floats) -> tuple[Floats, Floats]:
        """Return score and information of each group."""
        rows, p = self.at(coefficient, 1), self.predictor
        assert rows.d1 is not None
        assert rows.d2 is not None
        return self.sums(rows.d1[p] * self.x), -self.sums(rows.d2[p, p] * self.x**2)


def _maximise(rows: _Rows) -> tuple[Floats, Any]:
    """Return the estimates by Newton's method with step halving, and which of them converged.

    Where a group's counts are all zero, or its proportion is 0 or 1, the likelihood rises for ever, the steps
    never end, and the group does not converge.
    """
    a = np.zeros(rows.J)
    step = np.full(rows.J, np.inf)
    value = rows.loglik(a)
    for _ in range(STEPS):
        score, information = rows.derivatives(a)
        step = _divide(score, np.abs(information))
        for _ in range(12):
            new = rows.loglik(a + step)
            worse = new < value - 1e-9 * (1 + np.abs(value))
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        a, value = a + step, np.maximum(new, value)
        if (np.abs(step) <= TOLERANCE * (1 + np.abs(a))).all():
            break
    return a, np.abs(step) <= TOLERANCE * (1 + np.abs(a))


def _corrected(rows: _Rows) -> Floats:
    """Return estimates under a log-F(1, 1) penalty (Greenland and Mansournia 2015); nan where Newton finds none.

    The penalty is the log-likelihood of half a success and half a failure at the population coefficient: for many
    rows it gives the continuity correction of the textbooks, y + 1/2, and for few it never ends on the wrong side of
    the population, as y + 1/2 does where less than half a count was expected.
    """
    per_row = np.sqrt(_divide(rows.sums(rows.x**2), rows.sums(np.where(rows.x != 0, 1.0, 0.0))))
    a = np.zeros(rows.J)
    step = np.full(rows.J, np.inf)
    for _ in range(2 * STEPS):
        score, information = rows.derivatives(a)
        share = special.expit(a * per_row)
        score = score + per_row * (0.5 - share)
        information = information + per_row**2 * share * (1.0 - share)
        step = np.clip(_divide(score, np.abs(information)), -1.0, 1.0)
        a = a + step
        if (np.abs(step) <= TOLERANCE).all():
            break
    return np.where(np.abs(step) <= TOLERANCE, a, np.nan)


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    """Return the quotients, zero where there is nothing to divide by."""
    fine = np.abs(denominator) > 1e-300
    return np.where(fine, numerator / np.where(fine, denominator, 1.0), 0.0)
