"""Coding matrices against the numbers that R 4.4 prints for contr.*, and against patsy."""

import numpy as np
import patsy
import pytest

from bayesglmm.errors import FormulaError
from bayesglmm.terms.contrasts import KINDS, Contrast

LEVELS = ("a", "b", "c", "d")


def test_treatment_leaves_out_the_reference():
    matrix, labels = Contrast().columns(("a", "b", "c"))
    assert labels == ("b", "c")
    np.testing.assert_array_equal(matrix, [[0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize(("reference", "labels"), [("b", ("a", "c")), (2, ("a", "b")), (None, ("b", "c"))])
def test_treatment_takes_the_reference_by_name_or_position(reference, labels):
    contrast = Contrast("treatment", reference)
    assert contrast.columns(("a", "b", "c"))[1] == labels


def test_sas_takes_the_last_level_as_reference():
    assert Contrast("SAS").columns(("a", "b", "c"))[1] == ("a", "b")


def test_unknown_reference_is_named_with_the_nearest_level():
    with pytest.raises(FormulaError, match=r"no level 'contrl'.*Did you mean 'control'"):
        Contrast("treatment", "contrl").base(("control", "dose"))


def test_reference_position_out_of_range():
    with pytest.raises(FormulaError, match="base = 5 is no position among the 2 levels"):
        Contrast("treatment", 4).base(("a", "b"))


def test_sum_is_rs():
    # > contr.sum(4)
    matrix, labels = Contrast("sum").columns(LEVELS)
    assert labels == ("1", "2", "3")
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]])


def test_helmert_is_rs():
    # > contr.helmert(4)
    matrix, labels = Contrast("helmert").columns(LEVELS)
    assert labels == ("1", "2", "3")
    np.testing.assert_array_equal(matrix, [[-1, -1, -1], [1, -1, -1], [0, 2, -1], [0, 0, 3]])


def test_poly_is_rs():
    # > contr.poly(4)
    matrix, labels = Contrast("poly").columns(LEVELS)
    assert labels == (".L", ".Q", ".C")
    expected = [
        [-0.6708204, 0.5, -0.2236068],
        [-0.2236068, -0.5, 0.6708204],
        [0.2236068, -0.5, -0.6708204],
        [0.6708204, 0.5, 0.2236068],
    ]
    np.testing.assert_allclose(matrix, expected, atol=1e-7)
    assert Contrast("poly").columns(tuple("abcdef"))[1] == (".L", ".Q", ".C", "^4", "^5")


@pytest.mark.parametrize(("kind", "peer"), [("sum", patsy.Sum), ("helmert", patsy.Helmert), ("poly", patsy.Poly)])
@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_codings_agree_with_patsy(kind, peer, count):
    levels = tuple(str(j) for j in range(count))
    matrix, labels = Contrast(kind).columns(levels)
    assert len(labels) == count - 1
    np.testing.assert_allclose(matrix, peer().code_without_intercept(list(levels)).matrix, atol=1e-12)


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_coding_spans_the_levels_beside_a_constant(kind, count):
    matrix, _ = Contrast(kind).columns(tuple(str(j) for j in range(count)))
    assert np.linalg.matrix_rank(np.column_stack([np.ones(count), matrix])) == count
