"""The latent Gaussian model as rows on a fixed pattern: what stays the same while theta moves is computed once."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentPart, LatentView
from bayesglmm.graph.problem import BlockParts
from bayesglmm.graph.residual import Whitening
from bayesglmm.linalg import DenseColumns, GroupColumns, Pattern, PriorPrecision, Rows, symmetric
from bayesglmm.linalg.pattern import SMALLEST_CORNER
from bayesglmm.linalg.rows import unknown_to_zero

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Block:
    """One random block in x: where it is, and the columns that Lambda mixes; one for each level that a row has."""

    part: BlockParts
    latent: LatentPart
    start: int
    Z: Floats  # (k, n)
    group: int | None  # position among the pattern's groups; None where one level makes it dense, unless coupled
    dense: int | None


@dataclass(frozen=True, eq=False)
class LatentPrior:
    """log N(x; m, Q^-1) at one theta.

    Attributes
    ----------
    Q : PriorPrecision
    constant : float
        Its value at m, over the directions in which Q is not zero.
    mean : ndarray, shape (size,)
    at : ndarray of int
        Where the dense columns lie in x.
    coupled : tuple of (int, sparse array)
        For every block in precision form: where it starts in x, and its precision.
    """

    Q: PriorPrecision
    constant: float
    mean: Floats
    at: Any
    coupled: tuple[tuple[int, Any], ...] = ()

    def times(self, x: Floats) -> Floats:
        """Return Q (x - m)."""
        deviation = x - self.mean
        if not len(self.at) and not self.coupled:
            return deviation
        out = deviation.copy()
        out[self.at] = self.Q.dense @ deviation[self.at]
        for start, Q in self.coupled:
            own = slice(start, start + Q.shape[0])
            out[own] = Q @ deviation[own]
        return out


class Structure:
    """A, Q and m of one model for every theta.

    Parameters
    ----------
    view : LatentView
    outer : bool
        Leave the population coefficients out of x: they are then arguments beside theta, as in maximum likelihood.
    flat : bool
        Ignore the priors of the population coefficients.
    smallest : int
        See `Pattern`.
    chain : sequence of sequence of int, optional
        The blocks whose levels are eliminated one by one, however few these are, as positions in ``problem.blocks``:
        by factor, finest first. All others are then in the border.

    Attributes
    ----------
    inner : ndarray of int
        Positions, in the view's x, of what is integrated out here.
    coefficients : ndarray of int
        Positions, in the view's x, of what is not.
    pattern : Pattern
    given : bool
        Whether what is eliminated was given.
    still : LatentPrior
        What of the prior does not depend on theta: all of it if every block is spherical.
    """

    def __init__(
        self,
        view: LatentView,
        outer: bool = False,
        flat: bool = False,
        smallest: int = SMALLEST_CORNER,
        chain: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.view, self.outer, self.flat = view, outer, flat
        self.given = chain is not None
        problem = view.problem
        self.predictors = len(problem.predictors)
        self.n = problem.predictors[0].predictor.n
        fixed = np.zeros(view.size, dtype=bool)
        for part in view.parts:
            fixed[part.slice] = part.role == "fixed"
        left_out = fixed if outer else np.zeros_like(fixed)
        self.inner, self.coefficients = np.flatnonzero(~left_out), np.flatnonzero(left_out)
        self.X = tuple(view.columns(part) for part in problem.predictors)
        apart = {id(problem.blocks[b]) for members in chain or () for b in members}
        self.blocks, dense, self._dense_X, groups = self._lay_out(left_out, apart)
        self.coupled = tuple(block for block in self.blocks if block.latent.role == "precision")
        couplings = {
            block.group: block.part.covariance.couplings(block.part.block)
            for block in self.coupled
            if block.group is not None
        }
        by_block = {id(block.part): block.group for block in self.blocks if block.group is not None}
        own = None if chain is None else [[by_block[id(problem.blocks[b])] for b in members] for members in chain]
        self.pattern = Pattern(self.n, len(self.inner), self.predictors, dense, groups, smallest, couplings, own)
        self.pattern.check_memory()
        self._require_nested()
        mean = np.zeros(view.size) if flat else view.mean
        self.mean, self.start = mean[self.inner], view.start[self.inner]
        self.still = self._still_prior()

    def _require_nested(self) -> None:
        """Refuse correlated residuals that couple coefficients beyond the pattern.

        Raises
        ------
        SettingsError
        """
        residual = self.view.problem.residual
        if residual is None:
            return
        own = residual.block
        first = np.zeros(len(own.levels), dtype=np.intp)
        first[own.index[::-1]] = np.arange(self.n)[::-1]
        for block in self.blocks:
            if block.latent.predictor > 0:
                raise SettingsError(
                    f"`{block.part.block.label}` in the formula of {residual.sd} makes the correlated residuals "
                    f"`{own.label}` depend on group effects, which Laplace's approximation cannot integrate out "
                    f'exactly: use model.fit("nuts"), or let {residual.sd} have fixed effects only.'
                )
            group = None if block.group is None else self.pattern.groups[block.group]
            if group is not None and np.any(group.index != group.index[first[own.index]]):
                # A process in precision form has effects of its own for every time of a level.
                process = block.part.block.latent == "precision" and len(block.part.block.terms) > 1
                why = (
                    "it has another one at every time. Correlated residuals and a process are hard to tell apart: "
                    "leave out one of them, or use"
                    if process
                    else f"{own.group} has to be the same as its grouping factor, or nested in it. Use"
                )
                raise SettingsError(
                    f"The correlated residuals `{own.label}` relate rows with different effects of "
                    f"`{block.part.block.label}`, which Laplace's approximation does not take: {why} "
                    'model.fit("nuts").'
                )

    def _lay_out(
        self, left_out: Any, apart: Container[int]
    ) -> tuple[tuple[Block, ...], list[DenseColumns], list[Floats | None], list[GroupColumns]]:
        """Sort the parts of x into dense columns and groups; dense blocks have None where X would be."""
        view, problem = self.view, self.view.problem
        shift = np.cumsum(left_out) - left_out
        own = {block.names.u: block for block in problem.blocks}
        blocks: list[Block] = []
        dense: list[DenseColumns] = []
        dense_X: list[Floats | None] = []
        groups: list[GroupColumns] = []
        for part in view.parts:
            start = int(part.slice.start - shift[part.slice.start]) if part.slice.stop > part.slice.start else 0
            width = part.slice.stop - part.slice.start
            if part.role == "fixed":
                if not self.outer:
                    predictor = problem.predictors[part.predictor]
                    dense.append(DenseColumns(start, width, part.predictor))
                    dense_X.append(view.free_columns(predictor))
                continue
            block = own[part.name].block
            for index, Z in _rows_of(block):
                if len(block.levels) == 1 and part.role == "spherical" and id(own[part.name]) not in apart:
                    blocks.append(Block(own[part.name], part, start, Z, None, len(dense)))
                    dense.append(DenseColumns(start, width, part.predictor))
                    dense_X.append(None)
                    continue
                blocks.append(Block(own[part.name], part, start, Z, len(groups), None))
                levels = width // len(Z)
                columns = GroupColumns(start, levels, len(Z), index, part.predictor, block.group)
                groups.append(columns)
        return tuple(blocks), dense, dense_X, groups

    def _still_prior(self) -> LatentPrior:
        """Return what of the prior does not depend on theta: all of it if every block is spherical."""
        pattern, at = self.pattern, self.pattern.border[: self.pattern.dense_width]
        if self.flat:
            smooth = np.zeros(pattern.size)
            for block in self.blocks:
                smooth[block.start : block.start + block.latent.slice.stop - block.latent.slice.start] = 1.0
            Q = np.diag(smooth[at])
        else:
            Q = self.view.still_precision[self.inner[at]][:, self.inner[at]].toarray()
        constant = 0.0 if self.flat or self.outer else self.view.fixed_constant
        sizes = {block.start: int(np.prod(block.latent.shape)) for block in self.blocks}
        constant -= 0.5 * _LOG_2PI * sum(sizes.values())
        return LatentPrior(PriorPrecision(np.asarray(Q, dtype=float)), constant, self.mean, at)

    @property
    def moved_offset(self) -> bool:
        """Whether theta moves eta at fixed x: whether population coefficients are part of it."""
        names = [part.names.beta for part in self.view.problem.predictors if part.beta is not None]
        return any(self.view.problem.roles.get(name) == "theta" for name in names)

    def prior(self, natural: Mapping[str, Any], whitening: Whitening | None = None) -> LatentPrior:
        """Return the prior of x for theta's natural values; log |T~| is part of its constant."""
        found = self._prior(natural)
        return found if whitening is None else replace(found, constant=found.constant + whitening.log_det)

    def _prior(self, natural: Mapping[str, Any]) -> LatentPrior:
        if not self.coupled:
            return self.still
        still, constant = self.still, self.still.constant
        entries: dict[int, Floats] = {}
        matrices = []
        for block in self.coupled:
            assert block.group is not None
            found, log_det = self.view.block_precision(block.part, natural)
            entries[block.group] = found
            constant += 0.5 * log_det
            matrices.append((block.start, self.coupled_matrix(block, found)))
        Q = PriorPrecision(still.Q.dense, entries)
        return LatentPrior(Q, constant, still.mean, still.at, tuple(matrices))

    def coupled_matrix(self, block: Block, entries: Floats) -> Any:
        """Return the sparse symmetric matrix with such entries at the couplings of a block in precision form."""
        assert block.group is not None
        return symmetric(entries, *self.pattern.couplings[block.group], int(np.prod(block.latent.shape)))

    # with theta -----------------------------------------------------------------------------------------------------

    def rows(self, factors: Sequence[Floats], whitening: Whitening | None = None) -> Rows:
        """Return A for the given Lambda of every block (in the order of ``problem.blocks``), whitened if so asked."""
        values = self._block_values(factors)
        dense = [values[b].T if X is None else X for X, b in zip(self._dense_X, self._dense_blocks(), strict=True)]
        groups = [values[b] for b, block in enumerate(self.blocks) if block.group is not None]
        found = Rows(self.pattern, dense, groups)
        return found if whitening is None else found.mixed(whitening.matrix)

    def _dense_blocks(self) -> list[int]:
        found = {block.dense: b for b, block in enumerate(self.blocks) if block.dense is not None}
        return [found.get(d, -1) for d in range(len(self._dense_X))]

    def _block_values(self, factors: Sequence[Floats]) -> list[Floats]:
        order = {id(part): Lambda for part, Lambda in zip(self.view.problem.blocks, factors, strict=True)}
        return [
            block.Z * order[id(block.part)][0, 0] if len(block.Z) == 1 else order[id(block.part)].T @ block.Z
            for block in self.blocks
        ]

    def offset(self, natural: Mapping[str, Any], coefficients: Floats, whitening: Whitening | None = None) -> Floats:
        """Return the part of eta that x does not move, shape (P, n); of the whitened rows, if so asked.

        Parameters
        ----------
        natural : mapping
            Of theta, for population coefficients that are part of it.
        coefficients : ndarray
            Values at `self.coefficients`.
        whitening : Whitening, optional
        """
        out = np.zeros((self.predictors, self.pattern.n))
        full = np.zeros(self.view.size)
        full[self.coefficients] = coefficients
        fixed = {part.predictor: part for part in self.view.parts if part.role == "fixed"}
        for p, predictor in enumerate(self.view.problem.predictors):
            if predictor.predictor.offset is not None:
                out[p] += predictor.predictor.offset
            if predictor.beta is None:
                continue
            beta = np.array(predictor.beta.constant, dtype=float)
            if self.view.problem.roles.get(predictor.names.beta) == "theta":
                beta[predictor.beta.free] += natural[predictor.names.beta]
            elif self.outer and p in fixed:
                beta[predictor.beta.free] += full[fixed[p].slice]
            if np.any(beta):
                out[p] += self.X[p] @ beta
        if whitening is not None:
            out[0] = whitening.predictor(out[0])
        return out

    def full(self, x: Floats, coefficients: Floats) -> Floats:
        """Return the view's x from what is integrated out and what is not."""
        if not self.outer:
            return x
        out = np.empty(self.view.size)
        out[self.inner], out[self.coefficients] = x, coefficients
        return out

    def carried(self, x: Floats, before: Sequence[Floats], after: Sequence[Floats]) -> Floats:
        """Return the x at other Lambdas under which the effects b = Lambda u stay as they are.

        The data hold b where it is: from theta to theta it moves less than u does.

        Parameters
        ----------
        x : ndarray, shape (size,)
            Of what is integrated out.
        before, after : sequence of ndarray
            Lambda of every block, in the order of ``problem.blocks``.
        """
        order = {id(part): position for position, part in enumerate(self.view.problem.blocks)}
        out = x.copy()
        for block in self.blocks:
            if block.latent.role == "precision":
                continue
            one, two = (Lambdas[order[id(block.part)]] for Lambdas in (before, after))
            own = slice(block.start, block.start + int(np.prod(block.latent.shape)))
            try:
                moved = np.linalg.solve(two, one @ x[own].reshape(-1, len(one)).T)
            except np.linalg.LinAlgError:  # a standard deviation of zero
                continue
            if np.all(np.isfinite(moved)):
                out[own] = moved.T.ravel()
        return out

    # derivatives in Lambda -----------------------------------------------------------------------------------------

    def contract(self, b: int, rows: Floats, x: Floats) -> Floats:
        """Return sum_i rows_i Z_i x_{g(i)}', shape (k, k): the derivative of rows' A x in Lambda of block b."""
        block = self.blocks[b]
        own = self.pattern.groups[block.group] if block.group is not None else None
        weighted = block.Z * rows
        k = len(block.Z)
        if own is None:
            return np.outer(weighted.sum(axis=1), x[block.start : block.start + k])
        levels = x[own.columns]
        sums = np.stack([np.bincount(own.index, row, own.levels) for row in weighted])
        return np.asarray(sums @ levels)

    def scatter(self, b: int, rows: Floats, Lambda: Floats) -> Floats:
        """Return dA' rows for dLambda = Lambda of block b, shape (size,)."""
        block = self.blocks[b]
        out = np.zeros(self.pattern.size)
        own = self.pattern.groups[block.group] if block.group is not None else None
        weighted = (Lambda.T @ block.Z) * rows
        if own is None:
            out[block.start : block.start + len(weighted)] = weighted.sum(axis=1)
            return out
        for j, row in enumerate(weighted):
            out[own.columns[:, j]] += np.bincount(own.index, row, own.levels)
        return out

    def effect(self, b: int, x: Floats, Lambda: Floats) -> Floats:
        """Return dA x for dLambda = Lambda of block b, shape (n,)."""
        block = self.blocks[b]
        values = Lambda.T @ block.Z
        if block.group is None:
            return np.asarray(x[block.start : block.start + len(values)] @ values)
        own = self.pattern.groups[block.group]
        return np.asarray(np.einsum("jn,nj->n", values, x[own.columns][own.index]))


def _rows_of(block: RandomBlock) -> list[tuple[Any, Floats]]:
    """Return, for each membership, which level a row has, and its values in the columns of that level, shape (k, n).

    In precision form nothing mixes the columns of a level. Where a row has but one of them, every coefficient is then
    a level of its own, so that rows do not couple those that they do not have.
    """
    if block.latent == "precision" and block.column is not None:
        index, k = np.asarray(block.index), len(block.terms)
        own = np.where(index < 0, -1, index * k + block.column)
        return [unknown_to_zero(own, np.ones((1, len(own))))]
    return [unknown_to_zero(index, np.ascontiguousarray(X.T, dtype=float)) for index, X in block.memberships]
