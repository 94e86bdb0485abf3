"""The DataTree of a fit: layout, labels, attributes, and that ArviZ takes it."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

from bayesglmm.version import __version__


def test_groups_and_dims(binomial: Any) -> None:
    data = binomial.fit().data
    assert set(data.children) == {"posterior", "sample_stats", "observed_data", "constant_data"}
    posterior = data["posterior"]
    assert set(posterior.data_vars) == {"beta", "sd_g", "cor_g", "b_g", "sd_h", "b_h"}
    assert posterior["b_g"].dims == ("chain", "draw", "level_g", "term_g")
    assert posterior["column"].values.tolist() == ["Intercept", "x"]
    assert posterior["level_g"].values.tolist() == list("abcde")
    assert data["sample_stats"]["diverging"].dims == ("chain", "draw")
    assert data["observed_data"]["y"].dims == ("obs",)
    assert data["observed_data"]["obs"].values[3] == "row3"


def test_no_posterior_variable_has_the_rows(binomial: Any) -> None:
    n = len(binomial.problem.response.y)
    assert all(n not in v.shape and "obs" not in v.dims for v in binomial.fit().data["posterior"].data_vars.values())


def test_constant_data_rebuild_the_predictor(binomial: Any) -> None:
    fit = binomial.fit()
    held, posterior = fit.data["constant_data"], fit.data["posterior"].isel(chain=1, draw=3)
    assert np.array_equal(held["trials"].values, binomial.problem.response.trials)
    eta = held["X"].values @ posterior["beta"].values
    for k in ("g", "h"):
        effects = posterior[f"b_{k}"].values[held[f"index_{k}"].values]
        eta = eta + (held[f"Z_{k}"].values * effects).sum(axis=1)
    flat = {"draws": fit.data["posterior"].to_dataset().isel(chain=[1], draw=[3])}
    again = binomial.fit().__class__(fit.data.assign({"posterior": _tree(flat["draws"])}), fit.problem)
    assert np.allclose(again.fitted("link")["mean"].to_numpy(), eta, atol=1e-12)


def _tree(dataset: Any) -> Any:
    import xarray as xr

    return xr.DataTree(dataset)


def test_attributes_are_text_or_numbers_and_complete(gaussian: Any) -> None:
    attrs = gaussian.fit().data.attrs
    assert all(isinstance(value, str | float | int) for value in attrs.values())
    assert attrs["formula"] == "y ~ x + (1 + x | g)"
    assert attrs["family"] == "gaussian"
    assert json.loads(attrs["links"]) == {"mu": "identity"}
    assert json.loads(attrs["settings"])["draws"] == 250
    assert json.loads(attrs["seconds"]) == {"build": 0.25, "compile": 8.0, "sample": 4.25, "total": 12.5}
    assert attrs["seed"] == "1"
    priors = json.loads(attrs["priors"])
    assert priors["cor[g]"] == "LKJ(eta=2) [default]"
    assert json.loads(attrs["versions"])["bayesglmm"] == __version__  # also where it runs from its sources
    assert set(json.loads(attrs["versions"])) >= {"bayesglmm", "pymc", "pytensor", "arviz", "nutpie", "numpy"}
    assert attrs["created_at"].endswith("+00:00")


def test_categories_of_the_response_are_kept(bernoulli: Any) -> None:
    attrs = bernoulli.fit().data["observed_data"]["y"].attrs
    assert json.loads(attrs["categories"]) == ["no", "yes"]


def test_arrays_are_of_kinds_that_netcdf_stores(binomial: Any) -> None:
    for group in binomial.fit().data.children.values():
        for name, variable in {**group.data_vars, **group.coords}.items():
            assert variable.dtype.kind in "biuf" or all(isinstance(v, str) for v in variable.values), name
            assert "/" not in str(name)


def test_arviz_summarises_and_computes_loo(bernoulli: Any) -> None:
    import arviz as az

    fit = bernoulli.fit()
    group = fit.log_likelihood()
    assert group["y"].dims == ("chain", "draw", "obs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # draws that ignore the data have large Pareto k
        table = az.summary(fit.data, var_names=["beta", "sd_g"], round_to="none")
        loo = az.loo(fit.data)
    assert table.loc["beta[x]", "mean"] == pytest.approx(fit.fixed().loc["x", "mean"])
    assert np.isfinite(loo.elpd)


def test_notes_of_the_engine_are_kept(gaussian: Any) -> None:
    run = gaussian.run(notes=("Interrupted: 250 of 1000 draws.",))
    assert gaussian.fit(run).notes == ("Interrupted: 250 of 1000 draws.",)
