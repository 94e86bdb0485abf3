"""From formula and data frame to a design: rows, names, spellings, dots, parameters."""

import pickle

import numpy as np
import pandas as pd
import pytest

from bayesglmm.errors import BayesglmmError, DataError, FormulaError, UnknownNameError


@pytest.fixture
def frame():
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "y": rng.normal(size=12),
            "x": rng.normal(size=12),
            "z": rng.normal(size=12),
            "f": ["b", "a", "c"] * 4,
            "g": [1, 2, 3, 4] * 3,
            "t": rng.gamma(2.0, size=12),
        }
    )


def test_the_parts_of_a_design(design, frame):
    d = design("y ~ x + f + offset(log(t)) + (1 + x | g)", frame)
    mu = d.predictors["mu"]
    assert mu.columns == ("Intercept", "x", "f[b]", "f[c]")
    assert mu.column_terms == ("Intercept", "x", "f", "f")
    assert mu.intercept == 0
    np.testing.assert_allclose(mu.offset, np.log(frame["t"]))
    assert [b.label for b in mu.random] == ["(1 + x | g)"]
    assert d.groups == {"g": 4}
    assert d.n == d.rows.used == 12
    assert d.coding == (("f", ("a", "b", "c"), "treatment", "a"),)
    assert list(d.data.columns) == ["y", "x", "f", "t", "g"]
    np.testing.assert_array_equal(d.response.y, frame["y"])


def test_a_mapping_serves_as_data(design):
    d = design("y ~ x", {"y": [1.0, 2.0, 4.0], "x": np.array([0, 1, 3])})
    assert d.predictors["mu"].X.tolist() == [[1, 0], [1, 1], [1, 3]]


@pytest.mark.parametrize("data", [None, [1, 2], np.zeros((2, 2)), "data.csv"])
def test_other_data_are_refused(design, data):
    with pytest.raises(DataError, match=r"The data are a table .*or a mapping"):
        design("y ~ x", data)


def test_no_rows(design):
    with pytest.raises(DataError, match="The data have no rows"):
        design("y ~ x", pd.DataFrame({"y": [], "x": []}))


def test_columns_of_unequal_length(design):
    with pytest.raises(DataError, match="cannot be made into a table"):
        design("y ~ x", {"y": [1.0, 2.0], "x": [1.0]})


def test_names_with_dots_spaces_and_signs(design):
    data = {"Sepal.Length": [1.0, 2.0, 4.0], "my var": [0.0, 1.0, 0.0], "a:b|c": [1.0, 5.0, 2.0]}
    d = design("`Sepal.Length` ~ `my var`", data)
    assert d.predictors["mu"].columns == ("Intercept", "my var")
    d = design("`a:b|c` ~ Sepal.Length + log(`Sepal.Length`)", data)
    assert d.predictors["mu"].columns == ("Intercept", "Sepal.Length", "log(Sepal.Length)")


def test_columns_of_a_frame_need_not_have_text_as_names(design):
    d = design("`0` ~ `1`", pd.DataFrame([[1.0, 2.0], [3.0, 5.0], [2.0, 9.0]]))
    assert d.predictors["mu"].columns == ("Intercept", "1")


# ------------------------------------------------------------------------------------------------ missing values


def test_rows_with_missing_values_are_dropped_and_counted(design, frame):
    frame.loc[[0, 3], "x"] = np.nan
    frame.loc[[3, 5], "f"] = None
    frame.loc[7, "z"] = np.nan  # not used
    d = design("y ~ x + f + (1 | g)", frame)
    assert (d.rows.given, d.rows.used, d.rows.dropped) == (12, 9, 3)
    assert d.rows.missing == {"x": 2, "f": 2}
    assert d.rows.positions.tolist() == [1, 2, 4, 6, 7, 8, 9, 10, 11]
    assert "3 of 12 rows dropped: missing values in x (2), f (2)." in d.notes
    assert len(d.data) == 12


def test_labels_of_rows_are_those_of_the_index(design, frame):
    frame.index = [f"row{i}" for i in range(12)]
    frame.loc["row2", "y"] = np.nan
    assert design("y ~ x", frame).rows.labels[:3].tolist() == ["row0", "row1", "row3"]
    frame.loc["row4", "x"] = -1.0
    frame["t"] = frame["x"].abs()
    frame.loc["row4", "t"] = -1.0
    with pytest.raises(DataError, match=r"`log\(t\)` is not finite in 1 row \(first: row row4"):
        design("y ~ log(t)", frame)


def test_no_row_is_left(design):
    with pytest.raises(DataError, match=r"No rows are left.*missing values in y \(1\), x \(2\)"):
        design("y ~ x", {"y": [1.0, 2.0, np.nan], "x": [np.nan, np.nan, 1.0]})


def test_missing_in_nullable_columns(design):
    data = pd.DataFrame(
        {
            "y": [1.0, 2.0, 4.0, 3.0, 9.0],
            "i": pd.array([1, 2, None, 4, 5], dtype="Int64"),
            "b": pd.array([True, False, True, None, True], dtype="boolean"),
        }
    )
    d = design("y ~ i + b", data)
    assert d.rows.missing == {"i": 1, "b": 1}
    assert d.predictors["mu"].columns == ("Intercept", "i", "b[True]")
    assert d.predictors["mu"].X.tolist() == [[1, 1, 1], [1, 2, 0], [1, 5, 1]]


def test_levels_that_only_dropped_rows_had_are_gone(design):
    data = {"y": [1.0, 2.0, 3.0, np.nan, 5.0], "f": pd.Categorical(["b", "a", "b", "c", "a"], ["c", "b", "a"])}
    d = design("y ~ f", data)
    assert d.predictors["mu"].columns == ("Intercept", "f[a]")
    assert "`f`: level c does not occur and is left out." in d.notes


# ------------------------------------------------------------------------------------------------ order of levels


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (["b", "a", "c"], ("a", "b", "c")),
        (pd.Categorical(["b", "a", "c"], ["c", "a", "b"]), ("c", "a", "b")),
        (pd.Categorical([10, 9, 8]), ("8", "9", "10")),
        (np.array(["10", "9", "8"], dtype=object), ("10", "8", "9")),
        (pd.cut(pd.Series([1, 5, 9]), [0, 3, 6, 10]), ("(0, 3]", "(3, 6]", "(6, 10]")),
        (pd.array(["u", "v", "w"], dtype="string"), ("u", "v", "w")),
    ],
)
def test_order_of_levels(design, values, levels):
    d = design("y ~ 0 + f", {"y": np.arange(9.0), "f": list(values) * 3 if isinstance(values, list) else rep(values)})
    assert d.coding[0].levels == levels


def rep(values):
    return pd.concat([pd.Series(values)] * 3, ignore_index=True)


def test_ordered_factors_are_noted(design):
    data = {"y": np.arange(4.0), "f": pd.Categorical(["lo", "hi", "mid", "hi"], ["lo", "mid", "hi"], ordered=True)}
    d = design("y ~ f", data)
    assert d.predictors["mu"].columns == ("Intercept", "f[mid]", "f[hi]")
    assert any("`f` is ordered" in note and "C(f, Poly)" in note for note in d.notes)
    assert not any("is ordered" in note for note in design("y ~ C(f, Poly)", data).notes)


def test_numbers_stay_numbers_and_truth_values_are_factors(design):
    d = design("y ~ n + b", {"y": np.arange(4.0), "n": [0, 1, 1, 0], "b": [True, True, False, False]})
    assert d.predictors["mu"].columns == ("Intercept", "n", "b[True]")


def test_columns_of_objects(design):
    data = {"y": np.arange(4.0), "n": np.array([1, 2.5, 3, 9], dtype=object)}
    assert design("y ~ n", data).predictors["mu"].columns == ("Intercept", "n")
    with pytest.raises(DataError, match="'n' holds values that cannot be levels"):
        design("y ~ n", {"y": np.arange(2.0), "n": pd.Series([[1], [2]])})
    with pytest.raises(DataError, match="different values that are both called '1'"):
        design("y ~ n", {"y": np.arange(3.0), "n": pd.Series([1, "1", "2"], dtype=object)})


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (pd.date_range("2024-01-01", periods=3), "datetime64"),
        (pd.to_timedelta([1, 2, 3], unit="D"), "timedelta64"),
        (np.array([1j, 2, 3]), "complex numbers"),
    ],
)
def test_columns_that_are_neither_numbers_nor_categories(design, values, what):
    with pytest.raises(DataError, match=f"Column 'd' holds.*{what}"):
        design("y ~ d", {"y": np.arange(3.0), "d": values})
    with pytest.raises(DataError, match="Column 'd'"):
        design("y ~ 1 + (1 | d)", {"y": np.arange(3.0), "d": values})


def test_unused_columns_may_hold_anything(design, frame):
    frame["d"] = pd.date_range("2024-01-01", periods=12)
    frame["inf"] = np.inf
    assert design("y ~ x", frame).n == 12


# ---------------------------------------------------------------------------------------------------- the dot


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("y ~ .", ["Intercept", "x", "z", "f[b]", "f[c]", "g", "t"]),
        ("y ~ . - f", ["Intercept", "x", "z", "g", "t"]),
        ("y ~ 0 + . - f - g", ["x", "z", "t"]),
        ("log(t) ~ . - f", ["Intercept", "y", "x", "z", "g"]),
        ("y ~ . + (1 | g)", ["Intercept", "x", "z", "f[b]", "f[c]", "t"]),
        ("y ~ . + (1 + x | g) - f", ["Intercept", "x", "z", "t"]),
        ("y ~ . + x:z - f - g", ["Intercept", "x", "z", "t", "x:z"]),
        ("y ~ . + log(t) - f - g", ["Intercept", "x", "z", "log(t)"]),
        ("y ~ . + offset(t) - f - g", ["Intercept", "x", "z"]),
        ("y ~ . + z - f - g", ["Intercept", "x", "t", "z"]),
    ],
)
def test_the_dot_is_every_column_not_used_elsewhere(design, frame, formula, columns):
    assert list(design(formula, frame).predictors["mu"].columns) == columns


def test_the_dot_leaves_out_weights(design, frame):
    d = design("y ~ . - f - g", frame, weights="t")
    assert d.predictors["mu"].columns == ("Intercept", "x", "z")


def test_a_dot_for_nothing(design):
    with pytest.raises(DataError, match="stands for no column"):
        design("y ~ .", {"y": [1.0, 2.0]})


# ------------------------------------------------------------------------------------------- names, reserved words


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ wieght", r"no column 'wieght' in the data. Did you mean 'weight'"),
        ("yy ~ weight", r"no column 'yy'"),
        ("y ~ 1 + (1 | grp)", r"no column 'grp'.*Did you mean 'group'"),
        ("y ~ log(wieght)", r"no column 'wieght'"),
        ("y ~ lgo(weight)", r"Unknown function `lgo`. Did you mean 'log'"),
        ("y ~ bf(weight)", r"Unknown function `bf`"),
        ("y | cens(cc) ~ weight", r"no column 'cc'"),
    ],
)
def test_unknown_names_have_a_caret(design, formula, message):
    data = {"y": [1.0, 2.0, 3.0], "weight": [1.0, 3.0, 2.0], "group": ["a", "b", "a"]}
    with pytest.raises(UnknownNameError, match=message) as caught:
        design(formula, data)
    shown, caret = str(caught.value).splitlines()[-2:]
    assert shown.strip() == formula
    assert shown[caret.index("^")] in "wyglbc"


def test_a_column_called_intercept(design):
    data = {"y": [1.0, 2.0, 4.0], "Intercept": [1.0, 1.0, 1.0], "x": [1.0, 0.0, 2.0]}
    for formula in ("y ~ 0 + Intercept + x", "y ~ ."):
        with pytest.raises(DataError, match="'Intercept', which is reserved"):
            design(formula, data)
    assert design("y ~ x", data).n == 3


def test_a_column_twice(design):
    frame = pd.DataFrame([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0]], columns=["y", "x", "x"])
    with pytest.raises(DataError, match="2 columns called 'x'"):
        design("y ~ x", frame)
    assert design("y ~ 1", frame).n == 2


HOSTILE = [
    "y ~ __import__('os').system('x')",
    "y ~ __import__('os')",
    "y ~ x.__class__",
    "y ~ I(().__class__)",
    "y ~ log(x.__class__.__mro__)",
    "y ~ caller(x)",
    "y ~ in_the_caller",
    "y ~ np.log(x)",
    "y ~ `__import__('os').system('x')`",
    "y ~ 1 + (1 | __import__('os'))",
    "__import__('os').system('x') ~ x",
    "y ~ I(`x); __import__('os`)",
    "y | weights(__import__('os')) ~ x",
]


@pytest.mark.parametrize("formula", HOSTILE)
def test_hostile_formulas_run_nothing(design, frame, formula, monkeypatch):
    in_the_caller = np.arange(12.0)

    def caller(x):
        raise AssertionError("a function of the caller was called")

    def forbidden(*_):
        raise AssertionError("a command was run")

    monkeypatch.setattr("os.system", forbidden)
    with pytest.raises(BayesglmmError):
        design(formula, frame)
    assert in_the_caller.size == 12
    assert callable(caller)


# ------------------------------------------------------------------------------------------- several parameters


def test_formulas_of_other_parameters(design, frame):
    d = design(["y ~ x", "sigma ~ z + (1 | g)"], frame)
    assert list(d.predictors) == ["mu", "sigma"]
    assert d.predictors["sigma"].columns == ("Intercept", "z")
    assert d.predictors["sigma"].parameter == "sigma"
    assert d.predictors["sigma"].random[0].group == "g"


def test_missing_values_anywhere_drop_the_row(design, frame):
    frame.loc[1, "z"] = np.nan
    assert design(["y ~ x", "sigma ~ z"], frame).n == 11


@pytest.mark.parametrize(
    ("formula", "family", "error", "message"),
    [
        ("sigmo ~ x", "gaussian", UnknownNameError, "no parameter 'sigmo'. Did you mean 'sigma'"),
        ("mu ~ x", "gaussian", FormulaError, "main formula is that of 'mu'"),
        ("cutpoints ~ x", "ordinal", FormulaError, "'cutpoints' of family 'an ordinal family' takes no formula"),
    ],
)
def test_unknown_parameters(design, frame, formula, family, error, message):
    with pytest.raises(error, match=message):
        design(["g ~ x", formula] if family == "ordinal" else ["y ~ x", formula], frame, family)


def test_nominal_families_have_a_predictor_per_category(design, frame):
    d = design("f ~ x + (1 | g)", frame, "nominal")
    assert list(d.predictors) == ["mu_b", "mu_c"]
    assert d.predictors["mu_b"].fixed is d.predictors["mu_c"].fixed
    assert d.predictors["mu_c"].parameter == "mu_c"
    assert list(d.rebind(frame[:2]).predictors) == ["mu_b", "mu_c"]


def test_families_with_cutpoints_have_no_constant(design, frame):
    d = design(["g ~ f + (1 | z)", "disc ~ x"], frame, "ordinal")
    assert d.predictors["mu"].columns == ("f[b]", "f[c]")
    assert d.predictors["mu"].random[0].terms == ("Intercept",)
    assert d.predictors["disc"].columns == ("Intercept", "x")
    with pytest.raises(FormulaError, match="cutpoints"):
        design("g ~ 0 + f", frame, "ordinal")


def test_no_fixed_effects(design, frame):
    mu = design("y ~ 0 + (1 | g)", frame).predictors["mu"]
    assert mu.fixed == ()
    assert mu.X.shape == (12, 0)


def test_special_terms_take_no_part_in_interactions(design, frame):
    with pytest.raises(FormulaError, match=r"`offset\(t\)` is a term of its own.*"):
        design("y ~ x:offset(t)", frame)


def test_a_design_can_be_pickled(design, frame):
    d = design("y ~ poly(x, 2) + C(f, Sum) + offset(t) + (1 + z | g/f)", frame)
    again = pickle.loads(pickle.dumps(d))
    np.testing.assert_array_equal(again.predictors["mu"].X, d.predictors["mu"].X)
    new = again.rebind(frame[3:6])
    np.testing.assert_allclose(new.predictors["mu"].X, d.predictors["mu"].X[3:6])


def test_the_design_can_be_made_again_from_formula_and_data(design, frame):
    frame.loc[2, "x"] = np.nan
    formula = "y ~ poly(x, 2) + f + (1 | g)"
    d = design(formula, frame)
    again = design(formula, d.data)
    np.testing.assert_array_equal(again.predictors["mu"].X, d.predictors["mu"].X)
    assert again.rows.missing == d.rows.missing


def test_the_response_on_the_right(design, frame):
    with pytest.raises(FormulaError, match="`y` is the response and cannot explain itself"):
        design("y ~ x + y", frame)


def test_one_row_per_level_is_noted(design, frame):
    frame["obs"] = np.arange(12)
    note = "Grouping factor `obs` has one row per level: an observation-level effect."
    assert design("g ~ x + (1 | obs)", frame, "poisson").notes == (note,)
    assert design("y ~ x + (1 | obs)", frame).notes == (note + " The data cannot tell it from the residual.",)


def test_a_design_shows_itself_in_one_line(design, frame):
    shown = repr(design("y ~ x + (1 | g)", frame))
    assert shown == "<Design 'y ~ x + (1 | g)': 12 rows, mu: 2 columns, g: 4 levels>"
