"""Answers on a terminal: tables and panels. Names of users are text: none of them is markup here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bayesglmm.results.text import decimals, facts, fixed_point, sections

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.results import Fit

_PIPED = 120  # columns where nobody's window says how many there are
COLOURS = {"good": "green", "check": "yellow", "bad": "red"}


def console(stderr: bool = False) -> Console:
    """Return where to write: standard output, or standard error."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPED, highlight=False, emoji=False)


@contextmanager
def working(task: str) -> Iterator[None]:
    """Show on a terminal that something goes on, and since when."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    quiet = not sys.stderr.isatty()
    with Progress(*columns, console=console(stderr=True), transient=True, disable=quiet) as progress:
        progress.add_task(task, total=None)
        yield


def fit(found: Fit, prob: float) -> None:
    """Show a fit: what it is of, its tables, the verdict."""
    out = console()
    grid = Table.grid(padding=(0, 2))
    for name, text in facts(found):
        grid.add_row(Text(name, style="dim"), Text(text))
    out.print(grid)
    for section in sections(found, prob):
        out.print()
        out.print(table(section.title, section.header, section.rows, section.text_columns))
        if section.note:
            out.print(Text(section.note, style="dim"))
    out.print()
    verdict(found)


def verdict(found: Fit) -> None:
    """Show the verdict and what to do."""
    word = found.verdict.word
    console().print(Panel(Text(str(found.verdict)), title="Verdict", border_style=COLOURS[word], title_align="left"))


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> Table:
    """Return a table; columns from `text_columns` on are numbers."""
    made = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for j, name in enumerate(header):
        made.add_column(Text(name), justify="left" if j < text_columns else "right", no_wrap=j >= text_columns)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def frame(found: pd.DataFrame, title: str = "", most: int | None = None, index: bool = False) -> None:
    """Show a table of pandas, numbers with three significant digits of their column's typical size."""
    shown = found if most is None else found.head(most)
    if index:
        shown = shown.reset_index(names=str(shown.index.name or "row"))
    texts = [name for name in shown if not _is_number(shown[name])]
    ordered = [*texts, *(name for name in shown if name not in texts)]
    cells = [_cells(shown[name]) for name in ordered]
    rows = [list(row) for row in zip(*cells, strict=True)]
    out = console()
    out.print(table(title, list(map(str, ordered)), rows, len(texts)))
    if len(shown) < len(found):
        out.print(Text(f"... and {len(found) - len(shown):,} more rows", style="dim"))


def _is_number(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "iuf"


def _cells(column: pd.Series[Any]) -> list[str]:
    if column.dtype.kind != "f":
        return ["" if value is None else str(value) for value in column]
    sizes = column.abs()[column.notna() & (column != 0)]
    places = decimals(0.0, float(sizes.median())) if len(sizes) else 2
    return [fixed_point(float(value), places) if value == value else "" for value in column]


def say(*lines: str) -> None:
    """Show sentences."""
    console().print(Group(*(Text(line) for line in lines)))


def done(*lines: str) -> None:
    """Say on standard error what was written."""
    for line in lines:
        console(stderr=True).print(Text(line, style="dim"))
