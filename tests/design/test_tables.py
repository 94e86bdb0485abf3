"""Tables of polars and pyarrow give the same models, bit for bit, as the pandas frame with the same meaning."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.design.frame import as_frame, convert
from bayesglmm.errors import DataError

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

FORMULA = "y ~ x + f + b + d + s(z, k=5) + offset(o) + (1 + x | g)"


def frame():
    r = np.random.default_rng(3)
    n = 60
    return pd.DataFrame(
        {
            "y": r.normal(size=n),
            "x": np.where(np.arange(n) == 7, np.nan, r.normal(size=n)),
            "z": r.uniform(size=n),
            "o": r.uniform(size=n),
            "f": pd.Categorical(r.choice(["low", "high", "mid"], n), ["low", "mid", "high"], ordered=True),
            "b": pd.array([None if i == 9 else bool(i % 3) for i in range(n)], dtype="boolean"),
            "d": [float(i % 7) / 4 for i in range(n)],
            "g": [f"g{i % 6}" for i in range(n)],
            "day": pd.date_range("2024-01-01", periods=n),
        }
    )


def polars_of(d):
    columns = {name: d[name].to_numpy() for name in ("y", "z", "o")}
    columns |= {"x": pl.Series(d["x"].to_numpy(), nan_to_null=True)}
    columns |= {"f": pl.Series(d["f"].tolist(), dtype=pl.Enum(["low", "mid", "high"]))}
    columns |= {"b": pl.Series([None if pd.isna(v) else bool(v) for v in d["b"]])}
    columns |= {"d": pl.Series([Decimal(str(v)) for v in d["d"]], dtype=pl.Decimal(10, 2))}
    columns |= {"g": pl.Series(d["g"].tolist(), dtype=pl.Categorical), "day": d["day"].to_numpy()}
    return pl.DataFrame(columns)


TABLES = {
    "polars": polars_of,
    "lazy": lambda d: polars_of(d).lazy(),
    "pyarrow": lambda d: polars_of(d).to_arrow(),
    "pandas over arrow": lambda d: polars_of(d).to_arrow().to_pandas(types_mapper=pd.ArrowDtype),
    "series of polars": lambda d: {name: polars_of(d)[name] for name in d.columns},
}


@pytest.fixture(scope="module")
def reference():
    model = bg.Model(FORMULA, frame())
    return model, model.fit("laplace", draws=200, seed=1)


@pytest.mark.parametrize("table", TABLES)
def test_designs_are_equal_bit_for_bit(reference, table):
    model = bg.Model(FORMULA, TABLES[table](frame()))
    own, other = model.design, reference[0].design
    assert own.rows.used == other.rows.used == 58
    assert own.rows.missing == other.rows.missing
    assert own.predictors["mu"].columns == other.predictors["mu"].columns
    assert np.array_equal(own.predictors["mu"].X, other.predictors["mu"].X)
    assert np.array_equal(own.response.y, other.response.y)
    assert [block.levels for block in own.predictors["mu"].random] == [
        block.levels for block in other.predictors["mu"].random
    ]
    assert repr(model) == repr(reference[0])


def test_fits_and_predictions_are_equal_bit_for_bit(reference):
    fit = bg.Model(FORMULA, polars_of(frame())).fit("laplace", draws=200, seed=1)
    assert fit.draws.equals(reference[1].draws)
    new = frame().dropna().iloc[5:9]
    expected = reference[1].predict(new, groups="new", seed=2)
    for table in TABLES.values():
        found = fit.predict(table(new), groups="new", seed=2)
        assert np.array_equal(found.to_numpy(), expected.to_numpy())
        assert list(found.index) == [0, 1, 2, 3] or isinstance(table(new), pd.DataFrame)


def test_a_fit_saved_without_data_takes_them_from_polars(reference, tmp_path):
    reference[1].save(tmp_path / "fit.nc", data=False)
    assert bg.load(tmp_path / "fit.nc", data=polars_of(frame())).draws.equals(reference[1].draws)
    with pytest.raises(DataError, match="fingerprint"):
        bg.load(tmp_path / "fit.nc", data=polars_of(frame().assign(y=0.0)))


def test_weights_and_candidates_of_polars():
    d = frame()[["y", "z"]]
    w = np.linspace(0.5, 2.0, len(d))
    own = bg.Model("y ~ z", pl.DataFrame(d.to_dict("list")), likelihood_weights=pl.Series(w))
    assert np.array_equal(own.design.response.likelihood_weights, w)
    model, candidates = bg.Model("y ~ 1", d), d[["z"]].assign(w=w)
    found = bg.scan(model, pl.DataFrame(candidates.to_dict("list")))
    pd.testing.assert_frame_equal(found, bg.scan(model, candidates))
    assert found["candidate"].tolist() == ["z", "w"]


def columns_of(values, dtype=None):
    return as_frame(pl.DataFrame({"v": pl.Series(values, dtype=dtype)}))["v"]


def test_what_columns_become():
    assert convert("v", columns_of([1, None, 3])).value.values.tolist()[::2] == [1.0, 3.0]
    nan_and_null = convert("v", columns_of([1.0, float("nan"), None]))
    assert nan_and_null.missing.tolist() == [False, True, True]
    assert convert("v", columns_of([2**63 + 1, 5], pl.UInt64)).value.values.tolist() == [2**63 + 1, 5]
    # Categorical has no order that anybody declared: levels stand as those of text.
    assert convert("v", columns_of(["b", None, "a"], pl.Categorical)).value.levels == ("a", "b")
    enum = convert("v", columns_of(["b", None, "a"], pl.Enum(["b", "a", "c"]))).value
    assert (enum.levels, enum.codes.tolist(), enum.ordered) == (("b", "a", "c"), [0, -1, 1], True)
    truth = convert("v", columns_of([True, None, False])).value
    assert truth.boolean
    assert truth.codes.tolist() == [1, -1, 0]
    assert convert("v", columns_of([None, None])).missing.all()


def test_null_and_nan_of_nullable_columns_are_both_missing():
    arrow = pd.Series(pa.array([1.0, float("nan"), None]), dtype=pd.ArrowDtype(pa.float64()))
    assert convert("v", arrow).missing.tolist() == [False, True, True]


def test_objects_of_pandas():
    decimals = pd.Series([Decimal("1.5"), None, Decimal("2")], dtype=object)
    assert convert("v", decimals).value.values[[0, 2]].tolist() == [1.5, 2.0]
    assert convert("v", pd.Series([True, None, False], dtype=object)).value.boolean


class Plain:
    pass


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([datetime.date(2024, 1, 2)] * 2, None, "datetime64"),
        ([datetime.datetime(2024, 1, 2)] * 2, None, "datetime64"),
        ([datetime.time(3)] * 2, None, "time values"),
        ([datetime.timedelta(3)] * 2, None, "timedelta64"),
        ([[1], [2]], None, "cannot be levels"),
        ([{"a": 1}, {"a": 2}], None, "cannot be levels"),
        ([b"a", b"b"], None, "bytes values"),
        ([Plain(), Plain()], pl.Object, "no text"),
    ],
)
def test_columns_that_are_refused_only_where_they_are_used(values, dtype, message):
    d = pl.DataFrame({"y": [0.5, 1.0], "v": pl.Series(values, dtype=dtype)})
    bg.Model("y ~ 1", d)
    with pytest.raises(DataError, match=f"'v' holds.*{message}"):
        bg.Model("y ~ v", d)


def test_what_is_no_table():
    with pytest.raises(DataError, match=r"pandas or polars.*not int"):
        bg.Model("y ~ x", 5)
    with pytest.raises(DataError, match="not Series"):
        bg.Model("y ~ x", pl.Series([1.0]))
    with pytest.raises(DataError, match="no rows"):
        bg.Model("y ~ x", pl.DataFrame({"y": [], "x": []}))
