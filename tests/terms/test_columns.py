"""Columns: labels of levels, factors of numbers, recoding."""

import numpy as np
import pytest

from bayesglmm.terms import Factor, Numeric
from bayesglmm.terms.columns import as_factor, boolean_factor, level_label


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1, "1"),
        (1.0, "1"),
        (2.5, "2.5"),
        (True, "True"),
        (np.bool_(False), "False"),
        ("a b", "a b"),
        (np.int64(7), "7"),
        (np.float64(3), "3"),
        (np.float64(0.5), "0.5"),
        (-0.0, "0"),
    ],
)
def test_labels_of_levels(value, label):
    assert level_label(value) == label


def test_numbers_become_levels_in_their_order():
    factor = as_factor(Numeric(np.array([10, 9, 10])), 3)
    assert factor.levels == ("9", "10")
    assert factor.codes.tolist() == [1, 0, 1]


def test_a_constant_is_one_level():
    assert as_factor(Numeric(np.asarray(2.0)), 3).codes.tolist() == [0, 0, 0]


def test_unused_levels_leave_and_missing_stays_missing():
    factor, unused = Factor(np.array([2, -1, 0]), ("a", "b", "c")).without_unused()
    assert unused == ("b",)
    assert factor.codes.tolist() == [1, -1, 0]


def test_recoding_by_name():
    factor = Factor(np.array([0, 1, 2]), ("a", "b", "c")).recoded(("c", "a"))
    assert factor.codes.tolist() == [1, -1, 0]


def test_truth_values_have_both_levels():
    assert boolean_factor(np.array([True, True])).levels == ("False", "True")
