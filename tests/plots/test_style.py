"""Numbers as text, names as they are, and figures that load late and stay out of pyplot."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import bayesglmm.plots as plots
from bayesglmm.plots._axes import ratio_ticks, row_labels
from bayesglmm.plots._style import figure_of, new_figure, number, shortened, wrapped


def test_matplotlib_is_imported_with_the_first_figure() -> None:
    code = (
        "import sys, bayesglmm.plots; print('matplotlib' in sys.modules);"
        "bayesglmm.plots.forest; print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_names_of_other_packages_lead_to_the_figure() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'trace'\. Use bg\.plots\.trace_panel\(\)"):
        getattr(plots, "trace")  # noqa: B009
    with pytest.raises(AttributeError, match=r"Figures: acceptance, .*trace_panel"):
        getattr(plots, "nothing_of_the_kind")  # noqa: B009
    assert not set(plots._ELSEWHERE) & set(plots.__all__)
    assert set(plots._ELSEWHERE.values()) <= set(plots.__all__)


def test_every_name_is_a_function_also_after_its_file_was_imported() -> None:
    import bayesglmm.plots.intervals
    import bayesglmm.plots.traces  # noqa: F401

    assert {name for name in plots.__all__ if not callable(getattr(plots, name))} == set()
    assert set(plots.__all__) <= set(dir(plots))
    with pytest.raises(AttributeError, match="no attribute 'forrest'"):
        plots.forrest  # noqa: B018


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [(251.34, 28.5, "251.3"), (0.0331, 0.0254, "0.0331"), (-1.234, 2.0, "−1.23"), (-0.0001, 2.0, "0.00"),
     (12345.6, 900.0, "12346"), (3e8, 1e8, "3e+08"), (2.0, 0.0, "2.00")],
)  # fmt: skip
def test_numbers_are_as_precise_as_their_interval(value: float, width: float, text: str) -> None:
    assert number(value, width) == text


def test_long_names_are_cut_in_the_middle_and_wrapped_at_spaces() -> None:
    assert shortened("a" * 10 + "b" * 10, 9) == "aaaa…bbbb"
    assert shortened("short", 9) == "short"
    assert wrapped("cor[district, Intercept, urban[Y]]", 18).split("\n") == [
        "cor[district,",
        "Intercept,",
        "urban[Y]]",
    ]


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.1), (0.2, 5.0), (1e-4, 1e6), (1.02, 1.31)])
def test_ratio_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = ratio_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert ((ticks >= low) & (ticks <= high)).all()


def test_dollar_signs_in_names_are_no_mathematics() -> None:
    figure = new_figure((3, 2))
    ax = figure.subplots()
    row_labels(ax, np.arange(2.0), ["$a$", "costs $5"])
    figure.savefig(io.BytesIO(), format="png")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["$a$", "costs $5"]
    assert not any(tick.get_parse_math() for tick in ax.get_yticklabels())


def test_notebooks_show_the_figure() -> None:
    figure: Any = new_figure((2, 1))
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_figure_of_an_axes_in_a_subfigure() -> None:
    figure = Figure()
    parts: Any = figure.subfigures(1, 2)
    assert figure_of(parts[0].subplots()) is figure
