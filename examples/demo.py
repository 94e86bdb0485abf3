"""Two real data sets, from formula to figures: what `make demo` runs.

cbpp: does a cattle disease become rarer over time, and do herds differ? Contraception: which women in Bangladesh
used contraception in 1988, and how much do districts differ? Each is fitted by Markov chain Monte Carlo (nuts) and by
Laplace's approximation, and the two are compared. Answers are printed; figures go to demo-output/.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bayesglmm as bg

OUTPUT = Path("demo-output")
ENGINES: Mapping[str, Mapping[str, Any]] = {
    "nuts": {"progressbar": False},
    "laplace": {},
}
MODELS = {
    "cbpp": ("cbind(incidence, size - incidence) ~ period + (1 | herd)", "binomial"),
    "Contraception": ("use ~ age*ch + I(age^2) + urban + (urban | district)", "bernoulli"),
}
stages: dict[str, float] = {}
written: list[Path] = []


def main() -> None:
    """Fit both data sets by every engine, and say at the end what was written and how long each stage took."""
    OUTPUT.mkdir(exist_ok=True)
    for name, (formula, family) in MODELS.items():
        data = bg.load_dataset(name)
        heading(f"{name}: {data.attrs['dataset']['title']}")
        model = bg.Model(formula, data, family=family)
        print(model, flush=True)
        with stage(f"{name}, prior predictive"):
            save(name, "prior predictive", bg.plots.prior_predictive(model.prior_predictive(seed=1)))
        fits = {}
        for engine, settings in ENGINES.items():
            print(f"\nFitting by {engine} ...", flush=True)
            with stage(f"{name}, {engine}"):
                fits[engine] = model.fit(engine, seed=1, **settings)
            print(f"\n{fits[engine]}", flush=True)
        with stage(f"{name}, figures"):
            draw(name, fits["nuts"])
        with stage(f"{name}, comparison"):
            compare(name, fits)
    report()


def draw(label: str, fit: Any) -> None:
    """Draw what one looks at after a fit."""
    save(label, "traces", bg.plots.trace_panel(fit))
    save(label, "odds ratios", bg.plots.forest(fit, transform="exp"))
    save(label, "group effects", bg.plots.caterpillar(fit))
    for term in fit.ranef()["term"].unique():
        save(label, f"shrinkage {term}", bg.plots.shrinkage(fit, term=term))
    save(label, "posterior predictive", bg.plots.posterior_predictive(fit))


def compare(name: str, fits: Mapping[str, Any]) -> None:
    """Set the engines side by side: numbers, verdicts, times, densities."""
    comparison = bg.compare_engines(fits)
    heading(f"{name}: {' and '.join(fits)} compared")
    print(comparison)
    for engine, fit in fits.items():
        print(f"\nVerdict on {engine}: {fit.verdict}", flush=True)
    save(name, "engines", bg.plots.compare_engines(comparison))
    save(name, "laplace quality", bg.plots.laplace_quality(fits["laplace"]))


def save(label: str, kind: str, figure: Any) -> None:
    """Write a figure under a name that every file system takes."""
    path = OUTPUT / (re.sub(r"\W+", "-", f"{label} {kind}").strip("-") + ".png")
    figure.savefig(path, dpi=120)
    written.append(path)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Take the time."""
    start = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - start


def heading(text: str) -> None:
    """Print a line that one finds again."""
    print(f"\n{text}\n{'=' * len(text)}")


def report() -> None:
    """Print what was written and how long it took."""
    heading(f"{len(written)} figures")
    print("\n".join(map(str, written)))
    heading("Seconds")
    for name, seconds in (*stages.items(), ("total", sum(stages.values()))):
        print(f"{name:<32}{seconds:6.1f}")


if __name__ == "__main__":
    main()
