"""Rows in messages, one row as scalars, counts per category."""

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.design.frame import as_frame
from bayesglmm.errors import DataError, FormulaError, SettingsError


def test_families_and_the_design_name_the_same_row():
    data = pd.DataFrame({"y": [0.0, np.nan, 1.5, 2.0], "x": [1.0, 2.0, 3.0, 5.0]}, index=["r1", "r2", "r10", "r4"])
    with pytest.raises(DataError, match=r"row r10 is 1\.5"):
        bg.Model("y ~ x", data, "poisson")
    with pytest.raises(DataError, match=r"row r10 has 1\.5"):
        bg.Model("y | trials(x) ~ x", data, "binomial")


def test_scalars_are_one_row():
    assert as_frame({"x": 1.0, "f": "a"}).to_dict("list") == {"x": [1.0], "f": ["a"]}
    assert len(as_frame({"x": [1.0, 2.0], "f": "a"})) == 2


def test_counts_per_category_are_explained():
    data = pd.DataFrame({"a": [1, 2], "b": [1, 2], "c": [3, 2], "x": [0.0, 1.0]})
    with pytest.raises(FormulaError, match="one row per observation with the category"):
        bg.Model("cbind(a, b, c) ~ x", data, "multinomial")


@pytest.mark.parametrize("link", ["sqrt", "cauchit", "log"])
def test_the_softmax_takes_no_other_link(link):
    data = pd.DataFrame({"y": list("abcabc"), "x": np.arange(6.0)})
    with pytest.raises(SettingsError, match=f"'{link}' does not suit mu of family 'categorical'.*Use identity"):
        bg.Model("y ~ x", data, "categorical", link=link)
