"""The figure of docs/developer/calibration.md, from the ranks that the slow tests judge.

Run: python tests/statistical/sbc_figure.py [--jobs N] [--ranks FILE]

It takes ten minutes on one core; N processes change no number. With `--ranks` the ranks are kept in FILE, and read
from there if it exists.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sbc_studies import STUDIES, Ranks, run

from bayesglmm.plots._style import INK, NORMAL, PALE, clean, colour, new_figure

TARGET = Path(__file__).resolve().parents[2] / "docs" / "figures" / "calibration.png"
ENGINES = {"nuts": "NUTS", "laplace": "Laplace"}
PROB = 0.95


def draw(results: Sequence[Ranks]) -> Figure:
    """Return panels of ECDF differences: a row per study, a column per parameter, a colour per engine."""
    studies = list(dict.fromkeys(ranks.study.name for ranks in results))
    wide = max(ranks.table.shape[1] for ranks in results)
    figure = new_figure((2.1 * wide + 3.0, 2.5 * len(studies)))
    grid = {"width_ratios": [1.0] * wide + [1.4]}
    axes = figure.subplots(len(studies), wide + 1, sharex=True, sharey=True, squeeze=False, gridspec_kw=grid)
    for row, name in zip(axes, studies, strict=True):
        own = [ranks for ranks in results if ranks.study.name == name]
        labels = list(own[0].table)
        for ax, label in zip(row, labels, strict=False):
            for ranks in own:
                _panel(ax, ranks, label)
            ax.set_title(label, fontsize=NORMAL, color=INK)
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("rank / draws", fontsize=NORMAL, color=INK)
        for ax in row[len(labels) :]:
            ax.set_axis_off()
        row[0].set_ylabel(f"{own[0].study.title}\nECDF − uniform", fontsize=NORMAL, color=INK)
        _words(row[len(labels)], own)
    return figure


def _panel(ax: Any, ranks: Ranks, label: str) -> None:
    n, position = len(ranks.table), list(ENGINES).index(ranks.engine)
    band = ranks.band(PROB)
    x = np.concatenate([[0.0], band.expected, [1.0]])
    limits = [np.concatenate([[0.0], end / n - band.expected, [0.0]]) for end in (band.lower, band.upper)]
    counts = np.concatenate([[0.0], band.counts(ranks.table[label].to_numpy()) / n - band.expected, [0.0]])
    ax.axhline(0.0, color=PALE, linewidth=0.8, zorder=0)
    ax.fill_between(x, *limits, step="mid", color=colour(position), alpha=0.13, linewidth=0)
    line = "-" if band.contains(ranks.table[label].to_numpy()) else (0, (3, 1))
    ax.plot(x, counts, drawstyle="steps-mid", color=colour(position), linewidth=1.3, linestyle=line)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    clean(ax, ("left", "bottom"))


def _words(ax: Any, own: Sequence[Ranks]) -> None:
    """Say in an empty cell what the colours are, and what the verdicts said."""
    for number, ranks in enumerate(own):
        shares = ", ".join(f"{word} {share:.0%}" for word, share in ranks.shares.items() if share)
        text = f"{ENGINES[ranks.engine]}: {len(ranks.table)} data sets\nverdicts: {shares}"
        shade = colour(list(ENGINES).index(ranks.engine))
        place = (0.0, 0.85 - 0.3 * number)
        words = ax.text(*place, text, transform=ax.transAxes, fontsize=NORMAL, color=shade, va="top")
        words.set_in_layout(False)  # or the cell would grow with it


def collect(path: Path | None, jobs: int = 1) -> list[Ranks]:
    """Return the ranks of all studies and engines, from a file if there is one."""
    if path is not None and path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        return [
            Ranks(STUDIES[own["study"]], own["engine"], pd.DataFrame(own["ranks"]), own["verdicts"]) for own in kept
        ]
    results = [run(study, engine, n_jobs=jobs) for study in STUDIES.values() for engine in ENGINES]
    if path is not None:
        kept = [
            {
                "study": ranks.study.name,
                "engine": ranks.engine,
                "ranks": ranks.table.to_dict("list"),
                "verdicts": ranks.verdicts,
            }
            for ranks in results
        ]
        path.write_text(json.dumps(kept), encoding="utf-8")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=Path, help="file where the ranks are kept")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args()
    figure = draw(collect(given.ranks, given.jobs))
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main()
