"""Simulation-based calibration of NUTS and Laplace: ranks of all parameters are uniform, or the verdict warned.

`docs/developer/calibration.md` shows the figure of the same ranks.
"""

from __future__ import annotations

import pytest
from sbc_studies import STUDIES, run


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_nuts_is_calibrated(name: str) -> None:
    ranks = run(STUDIES[name], "nuts")
    assert ranks.outside() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_laplace_is_calibrated_or_says_that_it_is_not(name: str) -> None:
    ranks = run(STUDIES[name], "laplace")
    assert ranks.outside() == [] or ranks.shares["good"] < 0.5
