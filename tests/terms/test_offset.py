"""Offsets."""

import numpy as np
import pytest

from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula.parser import parse_expression
from bayesglmm.terms import TERMS, Context


def bind(text, data):
    return TERMS.get("offset").bind(parse_expression(text), Context(data, f"y ~ {text}"))


def test_values_and_label(make):
    data = make(t=[1.0, 2.0, 4.0])
    (block,) = bind("offset(log(t))", data).blocks(data)
    assert block.label == "offset(log(t))"
    np.testing.assert_allclose(block.values, np.log([1, 2, 4]))


def test_new_rows_bring_their_own_values(make):
    bound = bind("offset(log(t))", make(t=[1.0, 2.0]))
    (block,) = bound.blocks(make(t=[8.0]))
    np.testing.assert_allclose(block.values, np.log([8]))


def test_a_number_is_an_offset_for_every_row(make):
    data = make(t=[1.0, 2.0])
    np.testing.assert_array_equal(bind("offset(3)", data).blocks(data)[0].values, [3, 3])


@pytest.mark.parametrize("text", ["offset()", "offset(t, t)", "offset(t, scale=2)"])
def test_one_expression(make, text):
    with pytest.raises(FormulaError, match="`offset` takes one expression"):
        bind(text, make(t=[1.0, 2.0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("offset(f)", "one column of numbers"),
        ("offset(log(f))", "holds categories"),
        ("offset(log(t))", "not finite"),
    ],
)
def test_needs_finite_numbers(make, text, message):
    with pytest.raises(DataError, match=message):
        bind(text, make(t=[0.0, 2.0], f=["a", "b"]))
