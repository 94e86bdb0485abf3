"""Loops over sparse columns, compiled by numba: an elimination order, the pattern of L, L itself, and its inverse.

Imported only where a model needs them: numba takes half a second to load. What was compiled is kept on disk.

Matrices have m columns, of which the first s are eliminated column by column with sparse arithmetic; L keeps their
entries by columns, ``rows[start[j]:start[j + 1]]``, ascending, the diagonal first. The other m - s columns and the d
dense ones form the trailing block, a dense matrix of size t = m - s + d that LAPACK factorises.
"""

from __future__ import annotations

# numba infers types from what it is called with.
# mypy: disable-error-code="no-untyped-def"
import numpy as np
from numba import njit

# A pivot with as many neighbours, of those that are left, says that the rest will fill up.
_FULL = 0.6
_SMALL = 32  # but not where so few are left


@njit(cache=True)
def _compact(start, length, alive, lists, size):
    out = np.empty_like(lists)
    end = 0
    for i in range(size):
        if alive[i]:
            for p in range(length[i]):
                out[end + p] = lists[start[i] + p]
            start[i] = end
            end += length[i]
    return out, end


@njit(cache=True)
def _insert(i, d, head, after, before):
    after[i], before[i] = head[d], -1
    if head[d] >= 0:
        before[head[d]] = i
    head[d] = i


@njit(cache=True)
def _remove(i, d, head, after, before):
    if before[i] >= 0:
        after[before[i]] = after[i]
    else:
        head[d] = after[i]
    if after[i] >= 0:
        before[after[i]] = before[i]


@njit(cache=True)
def _new_element(pivot, end, lists, start, length, elements, alive, mark):
    """Write everything that the pivot meets, directly or within an element, to the end of the lists."""
    first = end
    mark[pivot] = pivot
    for p in range(start[pivot], start[pivot] + length[pivot]):
        e = lists[p]
        if p < start[pivot] + elements[pivot]:
            for q in range(start[e], start[e] + length[e]):
                i = lists[q]
                if mark[i] != pivot:
                    mark[i] = pivot
                    lists[end] = i
                    end += 1
            alive[e] = False
        elif mark[e] != pivot:
            mark[e] = pivot
            lists[end] = e
            end += 1
    start[pivot], length[pivot], elements[pivot] = first, end - first, 0
    return end


@njit(cache=True)
def _count_outside(pivot, lists, start, length, elements, alive, seen, outside):
    """Find how much of every element that the new one's variables meet lies outside it."""
    for p in range(start[pivot], start[pivot] + length[pivot]):
        i = lists[p]
        for q in range(start[i], start[i] + elements[i]):
            e = lists[q]
            if alive[e]:
                if seen[e] != pivot:
                    seen[e] = pivot
                    outside[e] = length[e]
                outside[e] -= 1


@njit(cache=True)
def _shorten(i, pivot, lists, start, length, elements, alive, mark, outside):
    """Drop from a variable's list what the new element covers, and add that; return what it meets besides."""
    to = start[i]
    far = 0
    for q in range(start[i], start[i] + elements[i]):
        e = lists[q]
        if alive[e] and outside[e] > 0:
            far += outside[e]
            lists[to] = e
            to += 1
        else:
            alive[e] = False
    count = 0
    for q in range(start[i] + elements[i], start[i] + length[i]):
        k = lists[q]
        if mark[k] != pivot:
            lists[to + count] = k
            count += 1
    # Room for the new element in front of the variables: at least one entry was dropped.
    if count > 0:
        lists[to + count] = lists[to]
    lists[to] = pivot
    elements[i] = to - start[i] + 1
    length[i] = elements[i] + count
    return far + count


@njit(cache=True)
def minimum_degree(pointer, neighbours, forced):
    """Return an elimination order and how many of its members were chosen before the rest fills up.

    Approximate minimum degree on the quotient graph (Amestoy, Davis and Duff 1996), without supervariables but with
    mass elimination.

    Parameters
    ----------
    pointer, neighbours : ndarray of int
        Symmetric graph without loops, by columns.
    forced : ndarray of bool, shape (m,)
        Columns that come first; they must not be adjacent to each other.
    """
    m = len(pointer) - 1
    end = len(neighbours)
    lists = np.empty(end + 2 * m + end // 2, np.int64)
    lists[:end] = neighbours
    # Of a variable: the elements, then the variables that it meets; of an element: its variables.
    start, length, elements = pointer[:m].astype(np.int64), np.diff(pointer).astype(np.int64), np.zeros(m, np.int64)
    degree, alive = length.copy(), np.ones(m, np.bool_)
    head, after, before = np.full(m + 1, -1, np.int64), np.full(m, -1, np.int64), np.full(m, -1, np.int64)
    mark, outside, seen = np.full(m, -1, np.int64), np.zeros(m, np.int64), np.full(m, -1, np.int64)
    order, is_chosen, chosen, least = np.empty(m, np.int64), np.zeros(m, np.bool_), 0, 0
    queue, done = np.flatnonzero(forced), 0
    for i in range(m):
        _insert(i, degree[i], head, after, before)
    while chosen < m:
        while done < len(queue) and is_chosen[queue[done]]:
            done += 1
        if done < len(queue):
            pivot = queue[done]
        else:
            while head[least] < 0:
                least += 1
            if least > _SMALL and least > _FULL * (m - chosen):
                break
            pivot = head[least]
        _remove(pivot, degree[pivot], head, after, before)
        if end + m - chosen > len(lists):
            lists, end = _compact(start, length, alive, lists, m)
        first = end
        end = _new_element(pivot, end, lists, start, length, elements, alive, mark)
        order[chosen], is_chosen[pivot] = pivot, True
        chosen += 1
        _count_outside(pivot, lists, start, length, elements, alive, seen, outside)
        kept = first
        for p in range(first, end):
            i = lists[p]
            _remove(i, degree[i], head, after, before)
            degree[i] = _shorten(i, pivot, lists, start, length, elements, alive, mark, outside)
            if degree[i] == 0:
                # It meets nothing but the new element: it may follow at once.
                alive[i], order[chosen], is_chosen[i] = False, i, True
                chosen += 1
            else:
                lists[kept] = i
                kept += 1
        end, length[pivot] = kept, kept - first
        for p in range(first, kept):
            i = lists[p]
            degree[i] = min(degree[i] + length[pivot] - 1, m - chosen - 1)
            _insert(i, degree[i], head, after, before)
            least = min(least, degree[i])
    order[chosen:] = np.flatnonzero(~is_chosen)
    return order, chosen


@njit(cache=True)
def elimination_tree(pointer, neighbours):
    """Return for every column the row of its first entry below the diagonal of L, -1 if there is none."""
    m = len(pointer) - 1
    parent, ancestor = np.full(m, -1, np.int64), np.full(m, -1, np.int64)
    for j in range(m):
        for p in range(pointer[j], pointer[j + 1]):
            i = neighbours[p]
            while i != -1 and i < j:
                above = ancestor[i]
                ancestor[i] = j
                if above == -1:
                    parent[i] = j
                i = above
    return parent


@njit(cache=True)
def column_counts(pointer, neighbours, parent, limit):
    """Return the number of entries of every column of L with its diagonal, for those before `limit`."""
    m = len(pointer) - 1
    counts, mark = np.ones(m, np.int64), np.full(m, -1, np.int64)
    for j in range(m):
        mark[j] = j
        for p in range(pointer[j], pointer[j + 1]):
            i = neighbours[p]
            while i < min(j, limit) and i != -1 and mark[i] != j:
                counts[i] += 1
                mark[i] = j
                i = parent[i]
    return counts


@njit(cache=True)
def symbolic(pointer, neighbours, parent, start, s):
    """Return the rows of the first s columns of L, ascending; `start` holds their cumulated counts."""
    m = len(pointer) - 1
    rows, filled, mark = np.empty(start[s], np.int32), start[:s].copy(), np.full(m, -1, np.int64)
    for j in range(m):
        mark[j] = j
        if j < s:
            rows[filled[j]] = j
            filled[j] += 1
        for p in range(pointer[j], pointer[j + 1]):
            i = neighbours[p]
            while i != -1 and i < j and i < s and mark[i] != j:
                rows[filled[i]] = j
                filled[i] += 1
                mark[i] = j
                i = parent[i]
    return rows


@njit(cache=True)
def factorise(start, rows, values, rim, m):
    """Replace the leading columns of H by those of L, in place, left-looking; return the first bad pivot or -1.

    Parameters
    ----------
    start, rows : ndarray of int
        Pattern of the s leading columns.
    values : ndarray
        Their entries.
    rim : ndarray, shape (s, d)
        Entries between them and the dense columns.
    m : int
    """
    s = len(start) - 1
    work = np.zeros(m)
    head, after, at = np.full(s, -1, np.int64), np.full(s, -1, np.int64), np.zeros(s, np.int64)
    d = rim.shape[1]
    for j in range(s):
        for p in range(start[j], start[j + 1]):
            work[rows[p]] = values[p]
        k = head[j]
        while k != -1:
            following, first = after[k], at[k]
            factor = values[first]
            for p in range(first, start[k + 1]):
                work[rows[p]] -= factor * values[p]
            for c in range(d):
                rim[j, c] -= factor * rim[k, c]
            at[k] = first + 1
            if first + 1 < start[k + 1] and rows[first + 1] < s:
                i = rows[first + 1]
                after[k], head[i] = head[i], k
            k = following
        pivot = work[j]
        if not pivot > 0.0 or not np.isfinite(pivot):
            return j
        root = np.sqrt(pivot)
        values[start[j]] = root
        for p in range(start[j] + 1, start[j + 1]):
            values[p] = work[rows[p]] / root
        for c in range(d):
            rim[j, c] /= root
        at[j] = start[j] + 1
        if at[j] < start[j + 1] and rows[at[j]] < s:
            i = rows[at[j]]
            after[j], head[i] = head[i], j
    return -1


@njit(cache=True)
def schur(start, rows, values, rim, trailing, m):
    """Take the leading columns' products off the trailing block, in place: its lower half, dense columns last."""
    s, d = len(start) - 1, rim.shape[1]
    for j in range(s):
        first, last = start[j], start[j + 1]
        while first < last and rows[first] < s:
            first += 1
        for p in range(first, last):
            i, factor = rows[p] - s, values[p]
            for q in range(first, p + 1):
                trailing[i, rows[q] - s] -= factor * values[q]
            for c in range(d):
                trailing[m - s + c, i] -= factor * rim[j, c]


@njit(cache=True)
def forward(start, rows, values, x):
    """Solve L x = b for the leading rows in place; the rest of x becomes what is left of it; x is (m, columns)."""
    for j in range(len(start) - 1):
        for c in range(x.shape[1]):
            x[j, c] /= values[start[j]]
        for p in range(start[j] + 1, start[j + 1]):
            for c in range(x.shape[1]):
                x[rows[p], c] -= values[p] * x[j, c]


@njit(cache=True)
def backward(start, rows, values, x):
    """Solve L' x = b for the leading rows in place, the others of x being solved."""
    for j in range(len(start) - 2, -1, -1):
        for p in range(start[j] + 1, start[j + 1]):
            for c in range(x.shape[1]):
                x[j, c] -= values[p] * x[rows[p], c]
        for c in range(x.shape[1]):
            x[j, c] /= values[start[j]]


@njit(cache=True)
def selected_inverse(start, rows, values, rim, trailing, m):
    """Return the entries of H^-1 on the pattern of L and between leading and dense columns.

    The recursion of Takahashi, Fagan and Chin (1973), from the last column to the first.

    Parameters
    ----------
    start, rows, values, rim, m
        As `factorise` leaves them.
    trailing : ndarray, shape (t, t)
        Inverse of the Schur complement.

    Returns
    -------
    inverse : ndarray, as `values`
    inverse_rim : ndarray, shape (s, d)
    """
    s, d = len(start) - 1, rim.shape[1]
    inverse, inverse_rim = np.empty_like(values), np.empty_like(rim)
    member, total, own = np.full(m, -1, np.int64), np.zeros(m), np.zeros(m)
    dense = m - s
    for j in range(s - 1, -1, -1):
        first, last = start[j] + 1, start[j + 1]
        for p in range(first, last):
            member[rows[p]], total[rows[p]], own[rows[p]] = j, 0.0, values[p]
        for c in range(d):
            inverse_rim[j, c] = 0.0
        for e in range(d):
            for c in range(d):
                inverse_rim[j, c] += rim[j, e] * trailing[dense + e, dense + c]
        for p in range(first, last):
            k, factor = rows[p], values[p]
            if k < s:
                total[k] += inverse[start[k]] * factor
                for q in range(start[k] + 1, start[k + 1]):
                    i = rows[q]
                    if member[i] == j:
                        total[i] += inverse[q] * factor
                        total[k] += inverse[q] * own[i]
                for c in range(d):
                    inverse_rim[j, c] += factor * inverse_rim[k, c]
                    total[k] += rim[j, c] * inverse_rim[k, c]
            else:
                column = trailing[k - s]
                total[k] += column[k - s] * factor
                for q in range(p + 1, last):
                    i = rows[q]
                    total[i] += column[i - s] * factor
                    total[k] += column[i - s] * values[q]
                for c in range(d):
                    inverse_rim[j, c] += factor * column[dense + c]
                    total[k] += rim[j, c] * column[dense + c]
        pivot, diagonal = values[start[j]], 0.0
        for p in range(first, last):
            inverse[p] = -total[rows[p]] / pivot
            diagonal += values[p] * inverse[p]
        for c in range(d):
            inverse_rim[j, c] = -inverse_rim[j, c] / pivot
            diagonal += rim[j, c] * inverse_rim[j, c]
        inverse[start[j]] = (1.0 / pivot - diagonal) / pivot
    return inverse, inverse_rim
