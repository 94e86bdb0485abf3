"""Fits after saving and loading: the same answers, to the last bit, without fitting; here and in another process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from storage_cases import CASES, SLOW, answers, fitted, rows, same, sampled

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, DataError, StorageError, UnknownNameError
from bayesglmm.storage import Record, read, write


def there_and_back(fit: Any, path: Path) -> Any:
    fit.save(path)
    return bg.load(path)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]
)
def test_every_answer_is_the_one_before_saving(name: str, tmp_path: Path) -> None:
    fit = fitted(name)
    loaded = there_and_back(fit, tmp_path / "fit.zarr")
    assert fit.data.identical(loaded.data)
    before, after = answers(fit), answers(loaded)
    for question, answer in before.items():
        assert same(answer, after[question]), question
    assert type(loaded) is type(fit)
    assert repr(loaded.model) == repr(fit.model)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_draws_of_nuts(suffix: str, tmp_path: Path) -> None:
    nuts_fit = sampled()
    loaded = there_and_back(nuts_fit, tmp_path / f"fit{suffix}")
    assert nuts_fit.data.identical(loaded.data)
    assert loaded.data["sample_stats"]["diverging"].dtype == bool
    before, after = answers(nuts_fit), answers(loaded)
    assert all(same(answer, after[question]) for question, answer in before.items())


QUESTIONS = """
import hashlib, json, sys
import pandas as pd
import bayesglmm as bg
new = pd.read_pickle(sys.argv[1])
for path in sys.argv[2:]:
    fit = bg.load(path)
    tables = [fit.summary(), fit.ranef(), fit.predict(), fit.predict(new, groups="new", seed=1), fit.diagnose()]
    numbers = b"".join(table.select_dtypes("number").to_numpy().tobytes() for table in tables)
    print(json.dumps([hashlib.sha256(numbers).hexdigest(), str(fit.verdict), repr(fit)]))
"""


def test_another_process_in_another_folder_answers_to_the_last_bit(tmp_path: Path) -> None:
    new = rows().dropna().head(5)
    new.to_pickle(tmp_path / "new.pickle")
    paths, expected = [], []
    for name, suffix in (("smooths", ".nc"), ("likelihood", ".zarr")):
        fit = fitted(name)
        fit.save(tmp_path / f"{name}{suffix}")
        (tmp_path / f"moved {name}").mkdir()
        paths.append((tmp_path / f"{name}{suffix}").rename(tmp_path / f"moved {name}" / f"other{suffix}"))
        tables = [fit.summary(), fit.ranef(), fit.predict(), fit.predict(new, groups="new", seed=1), fit.diagnose()]
        numbers = b"".join(table.select_dtypes("number").to_numpy().tobytes() for table in tables)
        expected.append([hashlib.sha256(numbers).hexdigest(), str(fit.verdict), repr(fit)])
    command = [sys.executable, "-c", QUESTIONS, str(tmp_path / "new.pickle"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected


def test_likelihood_fits_answer_what_needs_the_objective(tmp_path: Path) -> None:
    fit = fitted("likelihood")
    loaded = there_and_back(fit, tmp_path / "fit.nc")
    assert (loaded.loglik, loaded.aic, loaded.bic) == (fit.loglik, fit.aic, fit.bic)
    assert same(fit.profile("sd[g, Intercept]").table, loaded.profile("sd[g, Intercept]").table)
    assert same(fit.drop_terms(), loaded.drop_terms())
    assert same(fit.bootstrap(2, seed=1).table, loaded.bootstrap(2, seed=1).table)
    assert loaded.point.identical(fit.point)


def test_draws_around_estimates_are_stored_although_nobody_has_read_them(tmp_path: Path) -> None:
    fit = bg.Model("y ~ x + (1 | g)", rows()).fit("laplace", objective="ml", seed=3, draws=40, chains=2)
    assert "asymptotic" not in fit.data.children
    loaded = there_and_back(fit, tmp_path / "fit.zarr")
    assert loaded.draws.identical(fit.draws)


def test_a_loaded_fit_can_be_saved_again_and_its_model_fitted_again(tmp_path: Path) -> None:
    fit = fitted("sigma")
    loaded = there_and_back(there_and_back(fit, tmp_path / "a.nc"), tmp_path / "b.zarr")
    assert same(fit.summary(), loaded.summary())
    again = loaded.model.fit("laplace", seed=3, draws=60, chains=2)
    assert same(fit.summary(), again.summary())


def test_rowwise_groups_that_were_added_are_kept(tmp_path: Path) -> None:
    fit = bg.Model("y ~ x", rows()).fit("laplace", seed=3, draws=30, chains=2)
    fit.log_likelihood()
    fit.posterior_predictive(seed=1)
    loaded = there_and_back(fit, tmp_path / "fit.nc")
    assert fit.data["log_likelihood"].identical(loaded.data["log_likelihood"])
    assert fit.data["posterior_predictive"].identical(loaded.data["posterior_predictive"])


# ------------------------------------------------------------------------------------------------- without data


def test_without_data_the_file_holds_none_and_asks_for_them(tmp_path: Path) -> None:
    fit, frame = fitted("smooths"), rows()
    fit.save(tmp_path / "fit.zarr", data=False)
    fit.save(tmp_path / "fit.nc", data=False)
    raw = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    columns = frame[["x", "t", "z", "y"]].dropna().to_numpy()
    assert not [value for value in columns.ravel() if value.tobytes() in raw or repr(float(value)).encode() in raw]
    assert fit.model.design.response.y[:3].tobytes() not in raw
    with pytest.raises(StorageError, match=r"saved without its data: bg\.load\(path, data=\.\.\.\).*'y', 't'"):
        bg.load(tmp_path / "fit.nc")
    loaded = bg.load(tmp_path / "fit.nc", data=frame)
    assert same(fit.predict(), loaded.predict())
    assert fit.data["posterior"].identical(loaded.data["posterior"])
    assert same(answers(fit)["outcome"], answers(loaded)["outcome"])


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.assign(t=d["t"] + 1e-9),
        lambda d: d.iloc[::-1],
        lambda d: d.iloc[:-1],
        lambda d: d.assign(f=d["f"].cat.reorder_categories(["high", "mid", "low"])),
        lambda d: d.drop(columns="z"),
    ],
)
def test_without_data_others_are_refused(change: Any, tmp_path: Path) -> None:
    fitted("smooths").save(tmp_path / "fit.zarr", data=False)
    with pytest.raises(DataError, match=r"not the data that the fit was made from|lack the column 'z'"):
        bg.load(tmp_path / "fit.zarr", data=change(rows()))


def test_without_data_the_same_numbers_in_other_types_are_accepted(tmp_path: Path) -> None:
    fitted("likelihood").save(tmp_path / "fit.zarr", data=False)
    other = rows().reset_index(drop=True).sample(frac=1.0, axis="columns", random_state=1)
    other["g"] = other["g"].astype("category")
    other["count"] = other["count"].astype("float32")
    assert same(bg.load(tmp_path / "fit.zarr", data=other).summary(), fitted("likelihood").summary())


def test_without_data_weights_have_to_be_a_column(tmp_path: Path) -> None:
    frame = rows()
    fit = bg.Model("y ~ x", frame, weights=frame["w"].to_numpy()).fit("laplace", seed=1, draws=20)
    assert same(there_and_back(fit, tmp_path / "fit.zarr").predict(), fit.predict())
    with pytest.raises(StorageError, match="make them a column"):
        fit.save(tmp_path / "private.zarr", data=False)


# ------------------------------------------------------------------------- what terms learned, priors, own links


@pytest.mark.parametrize("name", ["smooths", pytest.param("tensor", marks=pytest.mark.slow)])
def test_another_linear_algebra_library_changes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eigenvectors in another order make another basis; the coefficients in the file belong to that of the file."""
    fit = fitted(name)
    fit.save(tmp_path / "fit.zarr")
    fit.save(tmp_path / "private.zarr", data=False)
    module = sys.modules["bayesglmm.bases.mixed_form"]
    scaled = module._scaled  # type: ignore[attr-defined]

    def turned(*arguments: Any) -> Any:
        random, weights, units = scaled(*arguments)
        return random[:, ::-1], weights[:, ::-1], units

    monkeypatch.setattr(module, "_scaled", turned)
    fresh = bg.Model(fit.model.formula, rows()).design
    assert not np.allclose(fresh.predictors["mu"].random[-1].X, fit.design.predictors["mu"].random[-1].X)
    loaded = bg.load(tmp_path / "fit.zarr")
    before, after = answers(fit), answers(loaded)
    for question, answer in before.items():
        assert same(answer, after[question]), question
    with pytest.raises(StorageError, match="not those of the fit, and the file was saved with data=False"):
        bg.load(tmp_path / "private.zarr", data=rows())


def test_priors_of_the_fit_are_kept_although_the_data_would_give_others(tmp_path: Path) -> None:
    frame = rows()
    model = bg.Model("y ~ x + (1 | g)", frame).with_response(frame.assign(y=10.0 * frame["y"]))
    loaded = there_and_back(model.fit("laplace", seed=1, draws=20), tmp_path / "fit.zarr")
    assert repr(loaded.model) == repr(model)
    fresh = bg.Model("y ~ x + (1 | g)", frame.assign(y=10.0 * frame["y"]))
    assert repr(fresh) != repr(model)


class Stretched(bg.Link):
    """mu = tanh(eta / scale), not registered."""

    name = "stretched"
    domain = "real"

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def link(self, mu: Any, xp: Any) -> Any:
        return mu

    def inverse(self, eta: Any, xp: Any) -> Any:
        return eta * self.scale


def test_own_links_are_asked_for_and_compared(tmp_path: Path) -> None:
    fit = bg.Model("y ~ x", rows(), link=Stretched(2.0)).fit("laplace", seed=1, draws=20)
    fit.save(tmp_path / "fit.zarr")
    with pytest.raises(UnknownNameError, match=r"link 'stretched', which is not known here.*bg\.load\(path, link="):
        bg.load(tmp_path / "fit.zarr")
    with pytest.raises(StorageError, match="link of 'mu' is not that of the fit"):
        bg.load(tmp_path / "fit.zarr", link=Stretched(3.0))
    assert same(bg.load(tmp_path / "fit.zarr", link=Stretched(2.0)).predict(), fit.predict())


def test_own_families_are_asked_for(tmp_path: Path) -> None:
    class Own(type(bg.FAMILIES.get("gaussian"))):  # type: ignore[misc]
        name = "own"

    fit = bg.Model("y ~ x", rows(), family=Own()).fit("laplace", seed=1, draws=20)
    fit.save(tmp_path / "fit.zarr")
    with pytest.raises(UnknownNameError, match=r"family 'own', which is not known here"):
        bg.load(tmp_path / "fit.zarr")
    with pytest.raises(StorageError, match="has the family 'own', not 'gaussian'"):
        bg.load(tmp_path / "fit.zarr", family="gaussian")
    assert same(bg.load(tmp_path / "fit.zarr", family=Own()).predict(), fit.predict())


# ------------------------------------------------------------------------------------------------- messages


def changed(path: Path, **entries: Any) -> Path:
    found = read(path)
    return write(path.with_stem("changed"), Record({**found.document, **entries}, found.variables))


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    fitted("likelihood").save(tmp_path / "fit.zarr")
    with pytest.raises(StorageError, match=r"format 2, written by a newer version.*reads up to 1\. Upgrade"):
        bg.load(changed(tmp_path / "fit.zarr", format_version=2))
    with pytest.raises(StorageError, match="does not hold a fit"):
        bg.load(changed(tmp_path / "fit.zarr", format="something else"))


def test_draws_of_another_model_are_refused(tmp_path: Path) -> None:
    fit = fitted("likelihood")
    fit.save(tmp_path / "fit.zarr")
    found = read(tmp_path / "fit.zarr")
    model = {**found.document["model"], "formula": "count ~ x + (1 | g)"}
    with pytest.raises(StorageError, match=r"learned does not fit the model|no prior for|another model"):
        bg.load(changed(tmp_path / "fit.zarr", model=model))


def test_a_fit_without_its_model_cannot_be_saved(tmp_path: Path) -> None:
    fit = fitted("likelihood")
    bare = type(fit).from_tree(fit.data, fit.problem, fit.design)
    with pytest.raises(BayesglmmError, match="does not hold its model"):
        bare.save(tmp_path / "fit.nc")


def test_other_programs_can_read_both_formats(tmp_path: Path) -> None:
    import xarray as xr

    fit = fitted("restricted")
    fit.save(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as tree:
        assert tree.attrs["formula"] == "y ~ x + (1 + x | g)"
        np.testing.assert_array_equal(tree["asymptotic/b_g"].values, fit.data["asymptotic/b_g"].values)
        assert tree["asymptotic"]["level_g"].values.tolist() == fit.data["asymptotic"]["level_g"].values.tolist()
    zarr = pytest.importorskip("zarr")
    fit.save(tmp_path / "fit.zarr")
    group = zarr.open_group(tmp_path / "fit.zarr", mode="r")
    np.testing.assert_array_equal(group["asymptotic/b_g"][:], fit.data["asymptotic/b_g"].values)
    assert group["asymptotic/level_g"][:].tolist() == fit.data["asymptotic"]["level_g"].values.tolist()
