"""Columns made by hand, and short ways to terms."""

import numpy as np
import pytest

from bayesglmm.formula.parser import parse_expression
from bayesglmm.terms import Columns, Factor, Numeric
from bayesglmm.terms.columns import as_factor, boolean_factor
from bayesglmm.terms.evaluate import Evaluator


def columns(**values):
    """Make columns of lists: numbers stay numbers, text and truth values become factors."""
    made = {}
    for name, given in values.items():
        array = np.asarray(given)
        if array.dtype == bool:
            made[name] = boolean_factor(array)
        elif array.dtype.kind in "iuf":
            made[name] = Numeric(array)
        else:
            made[name] = as_factor(Numeric(array), len(array))
    n = len(next(iter(values.values())))
    return Columns(n, made, np.arange(n))


@pytest.fixture
def make():
    return columns


@pytest.fixture
def evaluate():
    def run(text, data, state=None):
        return Evaluator(data, f"y ~ {text}", state).value(parse_expression(text))

    return run


@pytest.fixture
def numbers(evaluate):
    def run(text, data):
        value = evaluate(text, data)
        assert isinstance(value, Numeric)
        return value.floats

    return run


@pytest.fixture
def levels(evaluate):
    def run(text, data):
        value = evaluate(text, data)
        assert isinstance(value, Factor)
        return value.levels

    return run
