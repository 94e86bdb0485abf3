"""One small fitted model for all tests of engines and of what comes after them: compiling it is the slow part."""

from __future__ import annotations

import pytest

import bayesglmm as bg


@pytest.fixture(scope="module")
def cbpp_model() -> bg.Model:
    data = bg.load_dataset("cbpp")
    return bg.Model("incidence | trials(size) ~ period + (1 | herd)", data, family="binomial")
