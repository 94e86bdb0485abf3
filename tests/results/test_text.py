"""What ``print(fit)`` and a notebook show, letter by letter, for pinned draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bayesglmm.results.text import decimals, fixed_point

EXPECTED = """\
Formula: y ~ x + (1 + x | g) + (1 | h)
         sigma ~ x + (1 + x || g)
Family:  gaussian(identity), sigma: log
Engine:  nuts, 4 chains of 250 draws, seed 1
Seconds: 12.5 (build 0.2, compile 8.0, sample 4.2)
Rows:    40
Groups:  g (5), h (3)
"""


def test_the_whole_text(gaussian: Any) -> None:
    draws = gaussian.draws()
    draws["beta"] = draws["beta"] * np.array([100.0, 0.004])
    text = repr(gaussian.fit(gaussian.run(draws=draws)))
    assert text == GOLDEN


GOLDEN = """\
Formula: y ~ x + (1 + x | g)
Family:  gaussian(identity)
Engine:  nuts, 4 chains of 250 draws, seed 1
Seconds: 12.5 (build 0.2, compile 8.0, sample 4.2)
Rows:    40
Groups:  g (5)

Population effects
              mean       sd  lower 95%  upper 95%  ESS  R-hat
Intercept   1       48        -90         98       903  1.005
x          -0.0002   0.0020    -0.0042     0.0040  903  1.005

Group effects: standard deviations and correlations
group       term          mean    sd  lower 95%  upper 95%  ESS  R-hat
g      sd   Intercept     0.76  0.15       0.51       1.10  916  0.999
       sd   x             0.75  0.15       0.51       1.11  913  1.002
       cor  Intercept, x  0.28  0.18      -0.11       0.58  669  1.004

Other parameters
       mean    sd  lower 95%  upper 95%   ESS  R-hat
sigma  0.75  0.15       0.51       1.06  1030  0.998

Verdict: good: the chains agree and hold enough independent draws; the numbers can be used."""


def test_the_heading_of_a_distributional_model(two_predictors: Any) -> None:
    text = repr(two_predictors.fit())
    assert text.startswith(EXPECTED)
    assert "sigma.x " in text


def test_nothing_shows_numpys_own_spelling(binomial: Any, bernoulli: Any) -> None:
    for case in (binomial, bernoulli):
        fit = case.fit()
        for shown in (repr(fit), fit._repr_html_(), fit.diagnose().to_string()):
            assert "np." not in shown
            assert "float64" not in shown


def test_a_bad_fit_says_why_and_what_to_do(gaussian: Any) -> None:
    diverging = np.ones((4, 250), dtype=bool)
    fit = gaussian.fit(gaussian.run(stats={"diverging": diverging}, notes=("A note.",)))
    text = repr(fit)
    assert "Verdict: bad: do not use these numbers yet.\n  - 1000 of 1000 draws are divergent." in text
    assert "  > Use model.fit(target_accept=0.95)" in text
    assert "Note:    A note." in text


def test_long_notes_hang_below_their_heading(gaussian: Any) -> None:
    note = ", ".join(f"u[g, {level}] 0.70" for level in range(30))
    lines = repr(gaussian.fit(gaussian.run(notes=(note, "Another.")))).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Note:    u[g, 0]"))
    end = lines.index("         Another.")
    shown = [line[9:] for line in lines[start:end]]
    assert len(shown) > 2
    assert " ".join(shown) == note
    assert max(map(len, lines[start:end])) <= 110


def test_html_escapes_what_it_shows(problem: Any, gaussian: Any) -> None:
    fit = type(gaussian)(gaussian.problem, "y ~ I(x < 3)").fit()
    html = fit._repr_html_()
    assert "I(x &lt; 3)" in html
    assert html.count("<table>") == html.count("</table>") == 4


@pytest.mark.parametrize(
    ("spread", "value", "places"),
    [(0.0012, 0.0061, 4), (0.2, -1.4, 2), (1234.0, 5000.0, 0), (0.0, 0.5, 4), (0.0, 0.0, 2), (1e-30, 1.0, 10)],
)
def test_decimals_follow_the_spread(spread: float, value: float, places: int) -> None:
    assert decimals(spread, value) == places


def test_there_is_no_negative_zero() -> None:
    assert fixed_point(-0.001, 2) == "0.00"
    assert fixed_point(-0.01, 2) == "-0.01"
