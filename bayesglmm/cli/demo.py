"""A first look: a data set of the package, fitted and reported."""

from __future__ import annotations

from pathlib import Path

from bayesglmm.cli import show
from bayesglmm.datasets import load_dataset
from bayesglmm.model import Model

FORMULA, FAMILY, DATA = "cbind(incidence, size - incidence) ~ period + (1 | herd)", "binomial", "cbpp"


def run(folder: Path, nuts: bool) -> None:
    """Fit cbpp, print the answer, write fit and report.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    nuts : bool
        Fit by NUTS too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = load_dataset(DATA)
    show.say(data.attrs["dataset"]["title"], "")
    model = Model(FORMULA, data, family=FAMILY)
    with show.working("Fitting by laplace"):
        fit = model.fit("laplace", seed=1, progressbar=False)
    show.fit(fit, 0.95)
    others = {}
    if nuts:
        others["nuts"] = model.fit("nuts", seed=1)
    place = folder / "cbpp"
    fit.save(place.with_suffix(".nc"))
    with show.working("Writing the report"):
        fit.report(place.with_suffix(".html"), others=others)
    show.say(
        "",
        f"Written: {place}.nc, {place}.html. The same in one line:",
        f"  bayesglmm fit {DATA} {FORMULA!r} --family {FAMILY} --engine laplace --seed 1 --report cbpp.html",
    )
