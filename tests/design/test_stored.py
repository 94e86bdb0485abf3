"""Tables that are read piece by piece become the numbers that the same rows become in memory."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.blocks import Response
from bayesglmm.design import bind
from bayesglmm.design.design import Design
from bayesglmm.design.stored import bind_source
from bayesglmm.design.stored.bind import Limits
from bayesglmm.design.stored.moments import Moments
from bayesglmm.errors import DataError, FormulaError, SettingsError, UnknownNameError
from bayesglmm.families import FAMILIES
from bayesglmm.formula import parse
from bayesglmm.graph.slots import prior_table
from bayesglmm.links import LINKS
from bayesglmm.sources import open_source
from bayesglmm.sources.parquet import ParquetSource

pytest.importorskip("pyarrow")

SMALL = Limits(curves=400, few=40, part=250)
type Write = Callable[..., str]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Two thousand rows with every kind of column; levels that are rare, and missing values."""
    rng = np.random.default_rng(5)
    n = 2000
    pupil = rng.integers(0, 150, n)
    data = pd.DataFrame(
        {
            "id": 7000 + 3 * pupil,
            "school": np.array([f"s{k % 23:02d}" for k in range(150)])[pupil],
            "item": rng.choice([f"i{k}" for k in range(9)], n),
            "x": rng.normal(3.0, 2.0, n),
            "z": rng.exponential(2.0, n),
            "t": rng.uniform(0.5, 2.0, n),
            "kind": rng.choice(["b", "a", "c"], n, p=[0.6, 0.39, 0.01]),
            "size": pd.Categorical(rng.choice(["low", "mid", "high"], n), ["low", "mid", "high"]),
            "yes": rng.random(n) < 0.3,
            "dose": rng.integers(0, 4, n),
        }
    )
    eta = 0.3 * data.x - 0.5 + rng.normal(0.0, 0.7, 150)[pupil]
    data["y"] = eta + rng.normal(size=n)
    data["won"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    data["count"] = rng.poisson(np.exp(0.2 * eta))
    data["trials"] = rng.integers(1, 6, n)
    data["hits"] = rng.binomial(data.trials, 0.4)
    data["grade"] = pd.Categorical(np.clip(np.round(eta), -1, 2), ordered=True)
    data.loc[rng.choice(n, 30, replace=False), "x"] = np.nan
    data.loc[rng.choice(n, 20, replace=False), "school"] = None
    return data


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a frame as several parquet files with small row groups; return their folder."""

    def written(data: pd.DataFrame, files: int = 3, groups: int = 170) -> str:
        for number, rows in enumerate(np.array_split(np.arange(len(data)), files)):
            data.iloc[rows].to_parquet(tmp_path / f"part-{number}.parquet", row_group_size=groups, index=False)
        return str(tmp_path)

    return written


def stored(formula: Any, folder: Any, family: str, **given: Any) -> Design:
    source = open_source(folder)
    assert source is not None
    return bind_source(parse(formula), source, FAMILIES.get(family), **{"limits": SMALL, **given})


def _table(responses: list[Response], fixed: list[Any], offsets: list[Any], random: list[Any]) -> np.ndarray:
    """Return all numbers of all rows, sorted by row: the same rows in another order give the same array."""
    columns = [np.concatenate([np.asarray(r.y, dtype=float) for r in responses])]
    for name in ("trials", "weights", "likelihood_weights", "censoring"):
        if getattr(responses[0], name) is not None:
            columns.append(np.concatenate([getattr(r, name) for r in responses]).astype(float))
    columns += [np.concatenate(each).astype(float) for each in (*offsets, *random)]
    table = np.column_stack([*fixed, *columns])
    return table[np.lexsort(np.round(table, 9).T)]


def rows_of(design: Design) -> np.ndarray:
    """Return the rows of a design in memory."""
    predictors = list(design.predictors.values())
    blocks = [block for predictor in predictors for block in predictor.random]
    return _table(
        [design.response],
        [predictor.X for predictor in predictors],
        [[predictor.offset] for predictor in predictors if predictor.offset is not None],
        [each for block in blocks for each in ([block.index], *([column] for column in block.X.T))],
    )


def rows_of_parts(design: Design) -> np.ndarray:
    """Return the rows of a stored design, of all its parts."""
    assert design.stored is not None
    parts = design.stored.parts.parts
    loaded = [part.load() for part in parts]
    for part, rows in zip(parts, loaded, strict=True):
        assert part.rows == len(rows.response.y)
    random: list[Any] = []
    for b in range(len(loaded[0].random)):
        index = []
        for part, rows in zip(parts, loaded, strict=True):
            own = part.levels[b]
            index.append(rows.random[b].index if own is None else np.asarray(own)[rows.random[b].index])
        random += [
            index,
            *([rows.random[b].X[:, j] for rows in loaded] for j in range(loaded[0].random[b].X.shape[1])),
        ]
    return _table(
        [rows.response for rows in loaded],
        [np.concatenate([rows.fixed[p] for rows in loaded]) for p in range(len(loaded[0].fixed))],
        [[rows.offsets[p] for rows in loaded] for p, own in enumerate(loaded[0].offsets) if own is not None],
        random,
    )


def priors_of(design: Design, family: str, **given: Any) -> list[tuple[str, str, tuple[float, ...]]]:
    member = FAMILIES.get(family)
    main = member.main_predictors(design.response)
    link = LINKS.get(member.main.link)
    spread = member.residual_scale(design.response)
    table = prior_table(member, design.predictors, member.scale(design.response, link), None, main, spread)
    return [(slot.label, slot.prior.distribution, tuple(slot.prior.parameters.values())) for slot in table]


CASES = {
    "crossed": ("won ~ x * kind + (1 + x | id) + (1 | item)", "bernoulli"),
    "nested": ("y ~ size + yes + offset(t) + (1 | school/id)", "gaussian"),
    "functions": ("count ~ scale(x) + poly(z, 2) + center(dose):kind + log(t) + (0 + scale(x) || id)", "poisson"),
    "trials": ("hits | trials(trials) ~ C(size, Sum) * yes + (1 | id)", "binomial"),
    "two": (["y ~ x + (1 | id)", "sigma ~ size + (1 | item)"], "gaussian"),
    "ordered": ("grade ~ x + kind + (1 | id)", "cumulative"),
    "nominal": ("size ~ x + (1 | id)", "categorical"),
    "no groups": ("y ~ x + kind:item", "gaussian"),
    "by level": ("won ~ 0 + kind + (0 + size | id)", "bernoulli"),
    "whole numbers as levels": ("won ~ factor(dose) + mo(dose):x + (1 | id)", "bernoulli"),
    "logarithms": ("z ~ x + (1 | id)", "lognormal"),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_and_priors_are_those_of_memory(case: str, frame: pd.DataFrame, write: Write) -> None:
    formula, family = CASES[case]
    here, there = bind(parse(formula), frame, FAMILIES.get(family)), stored(formula, write(frame), family)
    assert there.stored is not None
    assert len(there.stored.parts.parts) > 2
    assert (there.n, there.rows.given, there.rows.missing) == (here.n, here.rows.given, here.rows.missing)
    assert there.groups == here.groups
    assert there.coding == here.coding
    for name, predictor in here.predictors.items():
        own = there.predictors[name]
        assert own.columns == predictor.columns
        assert [block.levels for block in own.random] == [block.levels for block in predictor.random]
        position = list(here.predictors).index(name)
        np.testing.assert_allclose(there.stored.parts.means[position], predictor.X.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(rows_of_parts(there), rows_of(here), rtol=1e-10, atol=1e-10)
    for one, two in zip(priors_of(there, family), priors_of(here, family), strict=True):
        assert one[:2] == two[:2]
        np.testing.assert_allclose(one[2], two[2], rtol=1e-9)


def test_levels_of_the_largest_factor_and_of_those_it_is_nested_in_lie_in_one_part(
    frame: pd.DataFrame, write: Write
) -> None:
    design = stored("won ~ x + (1 | school) + (1 | id) + (1 | item)", write(frame), "bernoulli")
    assert design.stored is not None
    for b, block in enumerate(design.predictors["mu"].random):
        levels = [part.levels[b] for part in design.stored.parts.parts]
        if block.group == "item":
            assert levels == [None] * len(levels)
            continue
        together = np.concatenate([np.asarray(own) for own in levels])
        assert sorted(together) == list(range(len(block.levels)))


def test_the_division_does_not_depend_on_how_the_table_is_cut(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "one.parquet", index=False)
    frame.to_parquet(tmp_path / "other.parquet", index=False, row_group_size=97)
    one, other = (
        stored(CASES["crossed"][0], tmp_path / name, "bernoulli") for name in ("one.parquet", "other.parquet")
    )
    assert one.stored is not None
    assert other.stored is not None
    for left, right in zip(one.stored.parts.parts, other.stored.parts.parts, strict=True):
        a, b = left.load(), right.load()
        np.testing.assert_array_equal(a.response.y, b.response.y)
        np.testing.assert_array_equal(a.fixed[0], b.fixed[0])
        np.testing.assert_array_equal(a.random[0].index, b.random[0].index)


def test_work_that_is_done_again_since_a_worker_was_lost_changes_nothing(
    frame: pd.DataFrame, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    formula, path = "won ~ x + (1 | school) + (1 | id)", write(frame)  # pupils of a school are not consecutive
    once = stored(formula, path, "bernoulli")
    plain = ParquetSource.map

    def twice(self: ParquetSource, work: Callable[[Any], Any], items: Any) -> list[Any]:
        plain(self, work, items)
        return plain(self, work, items)

    monkeypatch.setattr(ParquetSource, "map", twice)
    again = stored(formula, path, "bernoulli")
    assert once.stored is not None
    assert again.stored is not None
    assert len(once.stored.parts.parts) > 2
    for left, right in zip(once.stored.parts.parts, again.stored.parts.parts, strict=True):
        assert all(map(np.array_equal, left.levels, right.levels))
        a, b = left.load(), right.load()
        np.testing.assert_array_equal(a.response.y, b.response.y)
        for one, two in zip(a.random, b.random, strict=True):
            np.testing.assert_array_equal(one.index, two.index)
    kept = {Path(part.path).name for part in again.stored.parts.parts}
    assert {file.name for file in Path(again.stored.parts.parts[0].path).parent.iterdir()} == kept


def test_smooths_of_few_rows_are_those_of_memory_and_of_many_are_learned_from_a_sample(
    frame: pd.DataFrame, write: Write
) -> None:
    formula, family = "y ~ s(x, k=6) + (1 | id)", "gaussian"
    here, folder = bind(parse(formula), frame, FAMILIES.get(family)), write(frame)
    all_rows = stored(formula, folder, family, limits=Limits(curves=5000, part=250))
    np.testing.assert_allclose(rows_of_parts(all_rows), rows_of(here), atol=1e-9)
    assert not any("evenly spaced" in note for note in all_rows.notes)
    some = stored(formula, folder, family)
    assert any("evenly spaced" in note for note in some.notes)
    assert some.predictors["mu"].columns == here.predictors["mu"].columns


def test_a_few_rows_have_the_moments_of_all() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 4)) * [1.0, 1e6, 1e-4, 0.0] + [0.0, 1e7, 3.0, 0.1]
    X = np.column_stack([X, X[:, 0] + X[:, 2]])
    moments = Moments.of(X[:7]).joined(Moments.of(X[7:123])).joined(Moments.of(X[123:]))
    rows = moments.rows(6, 20)
    np.testing.assert_allclose(rows.mean(axis=0), X.mean(axis=0), rtol=1e-12)
    scale = np.where(X.std(axis=0) > 1e-12, X.std(axis=0), 1.0)
    np.testing.assert_allclose(
        np.cov(rows.T / scale[:, None], bias=True), np.cov(X.T / scale[:, None], bias=True), atol=1e-9
    )
    assert np.ptp(rows[:, 3]) == 0.0  # what is constant is constant, to the last bit
    assert np.linalg.matrix_rank(rows - rows.mean(axis=0), tol=1e-9 * np.linalg.norm(rows)) <= 3


def test_categories_of_files_are_put_together(frame: pd.DataFrame, tmp_path: Path) -> None:
    first, second = frame.iloc[:1000].copy(), frame.iloc[1000:].copy()
    first["item"] = pd.Categorical(first["item"], ["i3", "i1", "i0", "i2", "i4", "i5", "i6", "i7", "i8"])
    second["item"] = pd.Categorical(second["item"], [f"i{k}" for k in range(9)])
    for name, data in (("a", first), ("b", second)):
        data.to_parquet(tmp_path / f"{name}.parquet", index=False)
    design = stored("won ~ x + (1 | item)", tmp_path, "bernoulli")
    assert design.predictors["mu"].random[0].levels[:3] == ("i3", "i1", "i0")
    first["size"], second["size"] = (
        pd.Categorical(data["size"], levels, ordered=True)
        for data, levels in ((first, ["low", "mid", "high"]), (second, ["high", "mid", "low"]))
    )
    for name, data in (("a", first), ("b", second)):
        data.to_parquet(tmp_path / f"{name}.parquet", index=False)
    with pytest.raises(DataError, match="ordered categories of column 'size' differ"):
        stored("won ~ size + (1 | id)", tmp_path, "bernoulli")


def test_sorted_files_have_pieces_with_one_response_only(frame: pd.DataFrame, write: Write) -> None:
    ordered = frame.sort_values("won", ignore_index=True)
    assert stored("won ~ x + (1 | id)", write(ordered), "bernoulli").n == frame.x.notna().sum()
    with pytest.raises(DataError, match=r"all .* values are equal"):
        stored("won ~ x + (1 | id)", write(frame.assign(won=1)), "bernoulli")


@pytest.mark.parametrize(
    ("formula", "change", "message"),
    [
        ("won ~ x + twice + (1 | id)", {"twice": lambda d: 2 * d.x}, "`twice` is 2 times `x`"),
        ("won ~ x + fixed + (1 | id)", {"fixed": lambda d: 3.0}, "constant"),
        ("won ~ x + (1 | id)", {"x": lambda d: d.x.where(d.index != 1500, np.inf)}, "infinite.*row 1500"),
        ("won ~ x + (1 | id)", {"won": lambda d: d.won.where(d.index != 1600, 2)}, "row 1600 has 2"),
        ("won ~ x + (1 | id)", {"x": lambda d: np.nan}, "No rows are left.*x \\(2,000\\)"),
    ],
)
def test_bad_columns_are_refused_as_in_memory(
    formula: str, change: dict[str, Any], message: str, frame: pd.DataFrame, write: Write
) -> None:
    with pytest.raises(DataError, match=message):
        stored(formula, write(frame.assign(**change)), "bernoulli")


@pytest.mark.parametrize(
    ("formula", "given", "error", "message"),
    [
        ("won ~ xx + (1 | id)", {}, UnknownNameError, "no column 'xx'.*[Dd]id you mean"),
        ("y | mi() ~ x + (1 | id)", {}, FormulaError, "read_parquet"),
        ("y ~ x + (1 | gr(id, by=kind))", {}, FormulaError, "`by=`"),
        ("y ~ x + (1 | mm(id, item))", {}, FormulaError, r"`mm\(\)`"),
        ("y ~ x", {"residual": "ar1(1 | id)"}, FormulaError, "residual="),
        ("y ~ x", {"weights": np.ones(2000)}, FormulaError, "name of a column"),
        ("y ~ x", {"weights": "tt"}, UnknownNameError, "no such column"),
    ],
)
def test_what_needs_all_rows_is_refused(
    formula: str, given: dict[str, Any], error: type[Exception], message: str, frame: pd.DataFrame, write: Write
) -> None:
    with pytest.raises(error, match=message):
        stored(formula, write(frame), "gaussian", **given)


def test_the_folder_of_numbers_goes_with_the_model(frame: pd.DataFrame, write: Write, tmp_path_factory: Any) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    model = bg.Model("won ~ x + (1 | id)", write(frame), "bernoulli", scratch=scratch)
    assert model.design.stored is not None
    assert model.design.stored.spool is not None
    assert [folder.parent for folder in scratch.glob("bayesglmm-*/part-*.arrow")]
    assert not list(scratch.glob("bayesglmm-*/chunk-*"))
    del model
    gc.collect()
    assert not list(scratch.iterdir())
    with pytest.raises(DataError, match="BAYESGLMM_SCRATCH"):
        bg.Model("won ~ x + (1 | id)", write(frame), "bernoulli", scratch=scratch / "absent")


def test_engines_that_need_all_rows_say_so(frame: pd.DataFrame, write: Write) -> None:
    model = bg.Model("won ~ x + (1 | id)", write(frame), "bernoulli")
    with pytest.raises(SettingsError, match="read piece by piece"):
        model.fit("nuts")
    with pytest.raises(DataError, match="read piece by piece"):
        model.prior_predictive()
    assert "1970 used, 30 dropped of 2000" in repr(model)
    assert model.check().empty
