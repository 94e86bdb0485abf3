"""The commands: options, help, and the few lines that each is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bayesglmm.cli.reading import load_fits, priors_of, read_table, settings_of, write_table

if TYPE_CHECKING:
    from bayesglmm.results import Fit

DOUBTED = 3
_DATA = click.option("--data", metavar="TABLE", help="The data, for fits that were saved without them.")
_PROB = click.option(
    "--prob", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True,
    help="Probability of the intervals.",
)  # fmt: skip


@click.command()
@click.argument("data")
@click.argument("formula", nargs=-1, required=True)
@click.option("--family", default="gaussian", show_default=True, help="Response distribution.")
@click.option("--link", help="Link of the main parameter; the family's own by default.")
@click.option(
    "--engine", default="nuts", show_default=True, help="nuts (exact, slower), laplace (seconds), ep, metropolis."
)
@click.option(
    "--prior", "priors", multiple=True, metavar="KEY=PRIOR", help='"fixed=Normal(0, 2.5)"; repeat. Or "flat".'
)
@click.option("--weights", metavar="COLUMN", help="Precision weights, or trials of proportions.")
@click.option("--likelihood-weights", metavar="COLUMN", help="Multiply the log-likelihood of each row.")
@click.option("--residual", metavar="TERM", help='Correlated residuals of gaussian models: "ar1(time | g)".')
@click.option("--draws", type=int, help="Draws per chain.")
@click.option("--tune", type=int, help="Tuning draws per chain.")
@click.option("--chains", type=int, help="Chains.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any setting of the engine; repeat.")
@click.option("--seed", type=int, help="The same seed gives the same numbers.")
@_PROB
@click.option("--out", metavar="FILE", help="Save the fit: .nc or .zarr.")
@click.option("--report", "page", metavar="FILE", help="Write a report: .html.")
@click.option("--strict", is_flag=True, help='Exit with code 3 unless the verdict is "good".')
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def fit(data: str, formula: tuple[str, ...], out: str | None, page: str | None, **given: Any) -> int:
    """Fit a model to a table and print the answer.

    DATA is a file (.csv, .tsv, .parquet) or the name of a data set. Further formulas model further parameters of the
    family: "y ~ x + (1 | g)" "sigma ~ z".

    \b
    bayesglmm fit cbpp "cbind(incidence, size - incidence) ~ period + (1 | herd)" --family binomial --seed 1
    bayesglmm fit data.csv "y ~ x + (1 | g)" --engine laplace --prior "fixed=Normal(0, 2.5)" --out fit.nc
    bayesglmm fit data.csv "y ~ x" --engine laplace --set objective=ml
    """  # noqa: D301
    from bayesglmm.cli import show
    from bayesglmm.engines import ENGINES
    from bayesglmm.model import Model

    _check_places(out, page)
    names = ("draws", "tune", "chains")
    settings = {name: given[name] for name in names if given[name] is not None} | settings_of(given["settings"])
    model = Model(
        formula[0] if len(formula) == 1 else list(formula),
        read_table(data),
        given["family"],
        link=given["link"],
        priors=priors_of(given["priors"]),
        weights=given["weights"],
        likelihood_weights=given["likelihood_weights"],
        residual=given["residual"],
    )
    engine = ENGINES.get(given["engine"])
    own_bar = engine.streams and not given["quiet"]  # it draws chains as they run, which says more
    settings.setdefault("progressbar", own_bar)
    if own_bar or given["quiet"]:
        found = model.fit(engine.name, seed=given["seed"], **settings)
    else:
        with show.working(f"Fitting by {engine.name}"):
            found = model.fit(engine.name, seed=given["seed"], **settings)
    if not given["quiet"]:
        show.fit(found, given["prob"])
    said = []
    if out is not None:
        found.save(out)
        said.append(f"Saved: {out}")
    if page is not None:
        said.append(_report(found, page, {}, None, given["prob"]))
    if not given["quiet"]:
        show.done(*said)
    return DOUBTED if given["strict"] and found.verdict.word != "good" else 0


def _check_places(out: str | None, page: str | None) -> None:
    """Refuse files that could not be written, before anything is computed."""
    for name, place, suffixes in (("--out", out, (".nc", ".zarr")), ("--report", page, (".html", ".htm"))):
        if place is None:
            continue
        if Path(place).suffix.lower() not in suffixes:
            raise click.BadParameter(f"{place!r} must end in {' or '.join(suffixes)}.", param_hint=name)
        if not Path(place).absolute().parent.is_dir():
            raise click.BadParameter(f"there is no folder {str(Path(place).parent)!r}.", param_hint=name)


def _report(found: Fit, page: str, others: dict[str, Fit], title: str | None, prob: float) -> str:
    """Write a report and return what to say of it."""
    from bayesglmm.cli import show

    with show.working("Writing the report"):
        found.report(page, others=others, title=title, prob=prob)
    return f"Report: {page}"


@click.command()
@click.argument("saved", metavar="FIT")
@click.argument("new", required=False)
@click.option(
    "--groups", default="these", show_default=True,
    help='"these", "typical", "new", "average", "these or new"; or for one factor, herd=new.',
)  # fmt: skip
@click.option("--scale", type=click.Choice(["response", "link", "outcome"]), default="response", show_default=True)
@click.option("--offset", type=float, help="Instead of the offsets of the formula: 0 predicts per unit of exposure.")
@_PROB
@click.option("--seed", type=int, help="For new groups and outcomes.")
@click.option("--out", metavar="FILE", help="Write the table: .csv, .tsv, .parquet, or - for standard output.")
@_DATA
def predict(saved: str, new: str | None, groups: str, out: str | None, data: str | None, **given: Any) -> None:
    """Predict from a saved fit, for the rows it used or for those of a table NEW.

    \b
    bayesglmm predict fit.nc
    bayesglmm predict fit.nc new.csv --groups typical --out predictions.csv
    """  # noqa: D301
    from bayesglmm.cli import show

    found = next(iter(load_fits([saved], data).values()))
    name, equals, word = groups.partition("=")
    chosen: Any = {name: word} if equals else groups
    table = found.predict(
        None if new is None else read_table(new),
        groups=chosen,
        scale=given["scale"],
        prob=given["prob"],
        seed=given["seed"],
        offset=given["offset"],
    )
    note = str(table.attrs.get("note", ""))
    plain = table.reset_index(names=str(table.index.name or "row"))
    if out is None:
        show.frame(plain, most=40)
        show.say("", note)
        return
    write_table(plain, out)
    if out != "-":
        show.done(f"{note} Written: {out}")


METHODS = ("auto", "engines", "loo", "kfold", "evidence", "likelihood-ratio")


@click.command()
@click.argument("saved", metavar="FIT...", nargs=-1, required=True)
@click.option(
    "--method", type=click.Choice(METHODS), default="auto", show_default=True,
    help="auto: engines for fits of one model, likelihood-ratio for maximum likelihood, else loo.",
)  # fmt: skip
@_PROB
@click.option("--seed", type=int, help="For folds and refits.")
@_DATA
def compare(saved: tuple[str, ...], method: str, prob: float, seed: int | None, data: str | None) -> None:
    """Compare saved fits: one model by several engines, or several models of the same data.

    \b
    bayesglmm compare nuts.nc laplace.nc
    bayesglmm compare small.nc large.nc --method loo
    """  # noqa: D301
    from bayesglmm.cli import comparing, show

    if len(saved) < 2:
        raise click.UsageError("compare needs at least two fits.")
    fits = load_fits(saved, data)
    chosen = comparing.method_for(fits) if method == "auto" else method
    with show.working(f"Comparing by {chosen}"):
        answer = comparing.ANSWERS[chosen](fits, chosen, prob, seed)
    answer()


@click.command()
@click.argument("saved", metavar="FIT")
@click.option("--out", metavar="FILE", help="The page; by default the name of the fit with .html.")
@click.option("--also", multiple=True, metavar="NAME=FIT", help="A fit of the same model by another engine; repeat.")
@click.option("--title", help="Title of the page.")
@_PROB
@_DATA
def report(
    saved: str, out: str | None, also: tuple[str, ...], title: str | None, prob: float, data: str | None
) -> None:
    """Write a report of a saved fit: one HTML page.

    \b
    bayesglmm report fit.nc --out report.html --also laplace=laplace.nc
    """  # noqa: D301
    from bayesglmm.cli import show

    page = out or str(Path(saved).with_suffix(".html"))
    _check_places(None, page)
    found = next(iter(load_fits([saved], data).values()))
    show.done(_report(found, page, load_fits(also, data), title, prob))


@click.command()
@click.argument("name", required=False)
@click.option("--out", metavar="FILE", help="Write the data set to a file: .csv, .tsv, .parquet, or -.")
def datasets(name: str | None, out: str | None) -> None:
    """List the data sets, or describe one and write it to a file.

    \b
    bayesglmm datasets
    bayesglmm datasets cbpp --out cbpp.csv
    """  # noqa: D301
    import pandas as pd

    from bayesglmm.cli import show
    from bayesglmm.datasets import list_datasets, load_dataset

    if name is None:
        show.frame(list_datasets()[["name", "rows", "columns", "title", "available"]])
        return
    found = load_dataset(name)
    if out is not None:
        write_table(found, out)
        return
    about = found.attrs["dataset"]
    columns = pd.DataFrame({"column": list(about["columns"]), "meaning": list(about["columns"].values())})
    show.say(about["title"], about["description"], f"Source: {about['source']}", f"Licence: {about['licence']}", "")
    show.frame(columns)
    show.say("")
    show.frame(found, "First rows", most=6)


@click.command()
@click.option("--folder", default="bayesglmm-demo", show_default=True, help="Where to write fits and report.")
@click.option("--nuts/--no-nuts", default=False, help="Fit by NUTS too, and compare; takes half a minute.")
def demo(folder: str, nuts: bool) -> None:
    """Fit a data set, print the answer, write a report: to see what the program does.

    The longer tour with two data sets and all figures is examples/demo.py of the sources (make demo).
    """
    from bayesglmm.cli.demo import run

    run(Path(folder), nuts)


@click.command()
@click.option("--quick", is_flag=True, help="Do not compile a sampler.")
def doctor(quick: bool) -> int:
    """Check this installation: versions, linear algebra, and how long compiling and fitting take."""
    from bayesglmm.checkup import doctor as examine
    from bayesglmm.cli import show

    with show.working("Examining"):
        found = examine(nuts=not quick)
    show.frame(found.table)
    show.say("", *found.sentences)
    return 0 if found.works else 1


COMMANDS = (fit, predict, compare, report, datasets, demo, doctor)
