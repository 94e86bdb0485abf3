"""Section on the fit of the model: simulated responses beside the observed, residuals."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np

from bayesglmm import plots
from bayesglmm.reporting.figures import picture
from bayesglmm.reporting.markup import Content, Html, html, table, tag
from bayesglmm.reporting.section import Section, Subject, attempt, heading, minus

_SIMULATED = 400
_MOST = 20_000_000  # simulated responses in all
_RESIDUALS = 100_000  # rows; of more the figure is a blot, and a test finds any model wrong


def predictive(subject: Subject) -> Section:
    """Simulated responses against the observed ones, and residuals."""
    said = (
        "Data sets that the fitted model simulates, for the rows used and their own groups, beside the observed one. "
        "If the model fits, the observed data look like one of them."
    )
    body: list[Content] = [tag("p", said), attempt(lambda: _simulated(subject))]
    if subject.fit.problem.response.y.shape[0] <= _RESIDUALS:
        body += [heading("Residuals"), attempt(lambda: _residuals(subject))]
    return Section("predictive", "Predictive checks", html(body))


def _simulated(subject: Subject) -> Html:
    fit = copy(subject.fit)
    fit.data = fit.data.copy()  # the report leaves the fit as it was
    rows = fit.problem.response.y.shape[0]
    total = fit.draws.sizes["chain"] * fit.draws.sizes["draw"]
    tree = fit.posterior_predictive(seed=0, draws=int(min(_SIMULATED, total, max(20, _MOST // rows))))
    simulated = np.asarray(tree["y"].values, dtype=float).reshape(-1, rows)
    observed = np.asarray(fit.data["observed_data"]["y"].values, dtype=float)
    alt = "Distribution of the observed responses over those of simulated data sets."
    made: list[Content] = []
    if not fit.problem.response.categories:
        found = list(_statistics(observed, simulated))
        alt += " " + "; ".join(f"{row[0]}: observed {row[1]}, simulated {row[2]} to {row[3]}" for row in found) + "."
        header = ["statistic", "observed", "simulated, 5%", "simulated, 95%", "share simulated ≥ observed"]
        note = "A share near 0 or 1 says that the model does not reproduce this side of the data."
        made.append(table("Statistics of the responses", header, found, 1, note))
    drawn = picture(plots.ppc(fit), alt, "Observed and simulated responses.", "predictive check")
    return html([drawn, *made])


def _statistics(observed: Any, simulated: Any) -> Iterator[list[str]]:
    functions: dict[str, Any] = {
        "mean": lambda y: y.mean(axis=-1),
        "standard deviation": lambda y: y.std(axis=-1),
        "smallest": lambda y: y.min(axis=-1),
        "largest": lambda y: y.max(axis=-1),
    }
    if (observed == 0).any() or (simulated == 0).mean() > 0.001:
        functions["share of zeros"] = lambda y: (y == 0).mean(axis=-1)
    for name, function in functions.items():
        seen, drawn = float(function(observed)), function(simulated)
        low, high = np.quantile(drawn, [0.05, 0.95])
        yield [name, *minus(f"{v:.4g}" for v in (seen, low, high)), f"{float((drawn >= seen).mean()):.2f}"]


def _residuals(subject: Subject) -> Html:
    """Return randomised-quantile residuals, and what tests say of them."""
    found = subject.fit.check_residuals(seed=0)
    rows = [
        [row["check"], *(_short(row[name]) for name in ("value", "expected", "p")), row["verdict"], row["meaning"]]
        for row in found.to_dict("records")
    ]
    alt = "Quantiles of the residuals against those of a right model, and residuals over the predictions. "
    alt += " ".join(row[-1] for row in rows)
    caption = "Randomised-quantile residuals: uniform where the model is right, whatever the family."
    drawn = picture(plots.residuals(subject.fit, seed=0), alt, caption, "residuals")
    cells = [[row[0], row[4], row[5], *row[1:4]] for row in rows]
    header = ["check", "verdict", "meaning", "value", "expected", "p"]
    return html([drawn, table("Tests of the residuals", header, cells, 3)])


def _short(value: float) -> str:
    return minus([f"{value:.3g}"])[0] if np.isfinite(value) else ""
