"""Fits of tables that are read piece by piece: the answers of memory, and refusals of what needs every row."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import DataError, SettingsError, StorageError
from bayesglmm.results.fit import Fit
from bayesglmm.results.likelihood import LikelihoodFit
from bayesglmm.results.rows_elsewhere import NEEDS_ROWS

pytest.importorskip("pyarrow")

# Sums over rows in another order, and what Newton's method makes of it.
CLOSE = {"rtol": 1e-6, "atol": 1e-7}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    group, x = rng.integers(0, 80, 1200), rng.normal(1.0, 2.0, 1200)
    data = pd.DataFrame({"g": group, "x": x, "f": rng.choice(["a", "b"], 1200)})
    data["y"] = 1.0 + 0.3 * x + (data.f == "b") + rng.normal(0.0, 0.6, 80)[group] + rng.normal(size=1200)
    return data


@pytest.fixture(scope="module")
def folder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("table")
    for number in range(3):
        frame.iloc[number * 400 : (number + 1) * 400].to_parquet(path / f"{number}.parquet", index=False)
    return str(path)


@pytest.fixture(scope="module", params=["posterior", "ml"])
def fits(request: pytest.FixtureRequest, frame: pd.DataFrame, folder: str) -> tuple[Fit, Fit]:
    """The fit of the folder, and the fit of the frame."""
    formula = "y ~ x + f + (1 | g)"
    how: dict[str, Any] = {"objective": request.param, "seed": 1, "draws": 250, "progressbar": False}
    there, here = (bg.Model(formula, data).fit("laplace", **how) for data in (folder, frame))
    return there, here


def test_answers_are_those_of_memory(fits: tuple[Fit, Fit], frame: pd.DataFrame) -> None:
    there, here = fits
    new = frame.iloc[[0, 7, 900]].assign(g=[3, 900, 5])
    for ask in (
        lambda fit: fit.summary(),
        lambda fit: fit.varcorr(),
        lambda fit: fit.ranef(),
        lambda fit: fit.coef(),
        lambda fit: fit.predict(new, groups="new", seed=2),
        lambda fit: fit.predictions(new=new.iloc[[0]], seed=2),
    ):
        pd.testing.assert_frame_equal(pd.DataFrame(ask(there)), pd.DataFrame(ask(here)), **CLOSE)
    assert there.verdict.word == here.verdict.word
    assert "Rows:    1200" in repr(there)
    assert set(there.data.children).isdisjoint({"observed_data", "constant_data"})


def test_a_saved_fit_answers_without_the_table(fits: tuple[Fit, Fit], frame: pd.DataFrame, tmp_path: Path) -> None:
    there, _ = fits
    there.save(tmp_path / "fit.nc")
    loaded = bg.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(loaded.summary(), there.summary())
    new = frame.iloc[[0, 7]]
    pd.testing.assert_frame_equal(loaded.predict(new, seed=3), there.predict(new, seed=3))
    assert repr(loaded) == repr(there)
    assert repr(loaded.model) == repr(there.model)
    with pytest.raises(SettingsError, match="not in the file"):
        loaded.model.fit("laplace")  # type: ignore[union-attr]
    with pytest.raises(DataError, match="every row"):
        loaded.residuals()
    with pytest.raises(StorageError, match="data=True"):
        there.save(tmp_path / "other.nc", data=False)


@pytest.mark.parametrize("name", sorted(NEEDS_ROWS))
def test_what_needs_every_row_is_refused(name: str, fits: tuple[Fit, Fit]) -> None:
    there, _ = fits
    method = getattr(there, name)
    required = [
        own
        for own in inspect.signature(method).parameters.values()
        if own.default is inspect.Parameter.empty and own.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    with pytest.raises(DataError, match=rf"fit\.{name}\(\) looks at every row.*read_parquet"):
        method(*["x"] * len(required))


def test_every_method_is_known_to_need_rows_or_not() -> None:
    without = {
        *(
            "checks",
            "coef",
            "components",
            "confint",
            "data",
            "diagnose",
            "draws",
            "evidence",
            "fixed",
            "flat",
            "from_run",
        ),
        *(
            "from_run",
            "from_tree",
            "hypothesis",
            "khat",
            "kind",
            "log_evidence",
            "loglik",
            "aic",
            "bic",
            "model",
            "notes",
        ),
        *("parameters", "point", "ranef", "save", "seconds", "summary", "update", "varcorr", "verdict"),
    }
    for kind in (Fit, LikelihoodFit):
        public = {name for name in dir(kind) if not name.startswith("_")}
        assert public - without - set(NEEDS_ROWS) == set(), (
            "does it look at rows? see bayesglmm.results.rows_elsewhere"
        )


def test_what_is_known_before_a_fit(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.assign(z=frame.x + 0.001 * frame.y, few=frame.g % 3).to_parquet(tmp_path / "a.parquet")
    found = bg.Model("y ~ x + z + (1 | few)", tmp_path).check()
    assert sorted(found["check"]) == ["aliasing", "few levels"]
    with pytest.raises(DataError, match="Dropping a term"):
        bg.Model("y ~ x + f + (1 | g)", tmp_path).without("x")
