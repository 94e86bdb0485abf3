"""BLAS threads: one while a small model is fitted, the user's number before and after."""

from __future__ import annotations

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info, threadpool_limits

import bayesglmm as bg
from bayesglmm.engines.threads import suitable_threads


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def problem(levels: int) -> object:
    g, h = (np.arange(3 * levels) // 3).astype(str), np.arange(3 * levels).astype(str)
    data = pd.DataFrame({"y": np.arange(3.0 * levels), "g": g, "h": np.roll(h, 1)})
    return bg.Model("y ~ 1 + (1 | g) + (1 | h)", data).problem


def test_one_thread_for_small_models_only() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with suitable_threads(problem(10)):
            assert blas_threads() == {1}
        assert blas_threads() == before
        with suitable_threads(problem(2001)):
            assert blas_threads() == before


def test_the_number_comes_back_after_an_error() -> None:
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        try:
            with suitable_threads(problem(10)):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert blas_threads() == before
