"""The command line: answers, files, messages, exit codes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.cli import main
from bayesglmm.cli.reading import priors_of, read_table, settings_of
from bayesglmm.errors import DataError

HEAVY = ("pymc", "pytensor", "matplotlib", "nutpie", "arviz", "numba")
FORMULA = "y ~ x + (1 | g)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables and fits that several tests read."""
    r = np.random.default_rng(5)
    place = tmp_path_factory.mktemp("cli")
    d = pd.DataFrame({"x": r.normal(size=60), "g": [f"g{k % 6}" for k in range(60)]})
    d["y"] = r.poisson(np.exp(0.3 + 0.4 * d["x"]))
    d.to_csv(place / "data.csv", index=False)
    d.to_csv(place / "data.tsv", sep="\t", index=False)
    d.to_csv(place / "data.csv.gz", index=False)
    d.to_parquet(place / "data.parquet")
    d.head(3).to_csv(place / "new.csv", index=False)
    common = [str(place / "data.csv"), FORMULA, "--family", "poisson", "--draws", "100", "--seed", "3", "--quiet"]
    assert main(["fit", *common, "--engine", "laplace", "--out", str(place / "laplace.nc")]) == 0
    assert main(["fit", *common, "--engine", "ep", "--out", str(place / "ep.nc")]) == 0
    small = [common[0], "y ~ 1 + (1 | g)", *common[2:]]
    assert main(["fit", *small, "--engine", "laplace", "--out", str(place / "small.nc")]) == 0
    return place


def test_fit_prints_the_answer_and_writes_files(folder, capsys):
    out, page = folder / "fit.nc", folder / "fit.html"
    given = ["--prior", "fixed=Normal(0, 2.5)", "--prior", "sd[g]=HalfNormal(sigma=0.5)", "--set", "points=30"]
    given += ["--family", "poisson", "--engine", "laplace", "--draws", "100", "--seed", "7"]
    code = main(["fit", str(folder / "data.csv"), FORMULA, "--out", str(out), "--report", str(page), *given])
    said = capsys.readouterr()
    assert code == 0
    model = bg.Model(
        FORMULA,
        pd.read_csv(folder / "data.csv"),
        "poisson",
        priors={"fixed": bg.Prior("Normal", 0, 2.5), "sd[g]": bg.Prior("HalfNormal", sigma=0.5)},
    )
    expected = model.fit("laplace", draws=100, seed=7, points=30)
    assert bg.load(out).draws.equals(expected.draws)
    assert f"{expected.summary().loc['x', 'mean']:.2f}" in said.out
    assert "sd" in said.out
    assert "Verdict" in said.out
    assert f"Saved: {out}" in said.err
    assert "HalfNormal(sigma=0.5)" in page.read_text()


@pytest.mark.parametrize("name", ["data.tsv", "data.csv.gz", "data.parquet"])
def test_tables_of_all_kinds_are_the_same(folder, name):
    pd.testing.assert_frame_equal(
        read_table(str(folder / name)), read_table(str(folder / "data.csv")), check_dtype=name != "data.parquet"
    )


def test_strict_doubts(folder, capsys):
    given = ["--family", "poisson", "--engine", "metropolis", "--draws", "20", "--tune", "20", "--chains", "2"]
    assert main(["fit", str(folder / "data.csv"), "y ~ x", *given, "--seed", "1", "--strict"]) == 3
    assert "bad: do not use these numbers yet." in capsys.readouterr().out


def test_predictions_are_those_of_python(folder, capsys):
    fit, new = bg.load(folder / "laplace.nc"), pd.read_csv(folder / "new.csv")
    expected = fit.predict(new, groups="typical", prob=0.8)
    path = folder / "predicted.csv"
    given = [str(folder / "laplace.nc"), str(folder / "new.csv"), "--groups", "typical", "--prob", "0.8"]
    assert main(["predict", *given, "--out", str(path)]) == 0
    found = read_table(str(path))
    assert np.array_equal(found[["mean", "sd", "lower", "upper"]], expected[["mean", "sd", "lower", "upper"]])
    capsys.readouterr()
    assert main(["predict", *given, "--out", "-"]) == 0
    assert capsys.readouterr().out == path.read_text()
    assert main(["predict", *given]) == 0
    assert expected.attrs["note"][:30] in capsys.readouterr().out.replace("\n", " ")
    assert (
        main(["predict", given[0], given[1], "--groups", "g=new", "--seed", "1", "--out", str(folder / "p.parquet")])
        == 0
    )
    frame = pd.read_parquet(folder / "p.parquet")
    assert np.array_equal(frame["mean"], fit.predict(new, groups={"g": "new"}, seed=1)["mean"])


def test_engines_compared(folder, capsys):
    assert main(["compare", str(folder / "laplace.nc"), f"other={folder / 'ep.nc'}"]) == 0
    said = capsys.readouterr().out
    assert "Largest difference" in said
    assert "other" in said


@pytest.mark.slow
def test_models_compared(folder, capsys):
    assert main(["compare", str(folder / "laplace.nc"), str(folder / "small.nc"), "--seed", "1"]) == 0
    assert "elpd" in capsys.readouterr().out


@pytest.mark.slow
def test_maximum_likelihood_compared(folder, capsys):
    common = [
        str(folder / "data.csv"),
        "--family",
        "poisson",
        "--engine",
        "laplace",
        "--set",
        "objective=ml",
        "--quiet",
    ]
    for name, formula in (("a", "y ~ 1"), ("b", "y ~ x")):
        assert main(["fit", common[0], formula, *common[1:], "--out", str(folder / f"{name}.nc")]) == 0
    assert "".join(capsys.readouterr()) == ""  # quiet
    assert main(["compare", str(folder / "a.nc"), str(folder / "b.nc")]) == 0
    assert "Likelihood ratio tests" in capsys.readouterr().out


@pytest.mark.slow
def test_report(folder, capsys):
    page = folder / "page.html"
    given = ["--out", str(page), "--also", f"ep={folder / 'ep.nc'}", "--title", "Ticks & mites"]
    assert main(["report", str(folder / "laplace.nc"), *given]) == 0
    written = page.read_text()
    assert "<h1>Ticks &amp; mites</h1>" in written
    assert "Engines compared" in written


def test_datasets(capsys, tmp_path):
    assert main(["datasets"]) == 0
    assert "cbpp" in capsys.readouterr().out
    assert main(["datasets", "cbpp"]) == 0
    said = capsys.readouterr().out
    assert "animals at risk" in said
    assert "Licence" in said
    assert main(["datasets", "cbpp", "--out", str(tmp_path / "cbpp.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "cbpp.csv")) == 56


@pytest.mark.slow
def test_demo_writes_a_fit_and_a_page(capsys, tmp_path):
    assert main(["demo", "--folder", str(tmp_path / "demo")]) == 0
    assert "period[4]" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["cbpp.html", "cbpp.nc"]


def test_doctor(capsys, monkeypatch):
    found = bg.doctor(nuts=False)
    assert found.works
    assert found.table["check"].tolist()[0] == "Python"
    assert found.seconds["laplace"] > 0
    assert "fit by laplace" in repr(found)
    monkeypatch.setattr("bayesglmm.checkup.doctor", lambda nuts: found)
    assert main(["doctor", "--quick"]) == 0
    said = capsys.readouterr().out
    assert "GFLOPS" in said
    assert "fit by nuts" not in said


def test_doctor_says_what_is_broken(monkeypatch, capsys):
    def broken():
        raise RuntimeError("no numbers today")

    monkeypatch.setattr("bayesglmm.checkup._example", broken)
    found = bg.doctor(nuts=False)
    assert not found.works
    assert "RuntimeError: no numbers today" in repr(found)
    assert main(["doctor", "--quick"]) == 1


# -------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Usage:"),
        (["fit"], 2, "Missing argument"),
        (["fitt"], 2, "No such command"),
        (["fit", "DATA", FORMULA, "--nothing"], 2, "No such option"),
        (["fit", "DATA", FORMULA, "--prob", "2"], 2, "range"),
        (["fit", "DATA", FORMULA, "--out", "fit.pkl"], 2, ".nc or .zarr"),
        (["fit", "DATA", FORMULA, "--report", "no such folder/a.html"], 2, "no folder"),
        (["fit", "DATA", FORMULA, "--prior", "fixed"], 2, "not written as a prior"),
        (["fit", "DATA", FORMULA, "--set", "draws"], 2, "not written as a setting"),
        (["compare", "a.nc"], 2, "at least two"),
        (["fit", "DATA", "y ~ x +"], 1, "^"),
        (["fit", "DATA", "y ~ xx"], 1, "Did you mean 'x'?"),
        (["fit", "DATA", FORMULA, "--family", "poison"], 1, "Did you mean 'poisson'?"),
        (["fit", "DATA", FORMULA, "--engine", "laplac"], 1, "Did you mean 'laplace'?"),
        (["fit", "DATA", FORMULA, "--set", "drws=5"], 1, "Did you mean 'draws'?"),
        (["fit", "DATA", FORMULA, "--prior", "fixed=Norml(0, 1)"], 1, "Did you mean 'Normal'?"),
        (["fit", "DATA", FORMULA, "--prior", "fixd=Normal(0, 1)"], 1, "Did you mean 'fixed'?"),
        (["fit", "data.cs", FORMULA], 1, "There is no file"),
        (["fit", "cbbp", FORMULA], 1, "Did you mean 'cbpp'?"),
        (["fit", "CODE", FORMULA], 1, "tables are read from files"),
        (["predict", "nothing.nc"], 1, "nothing.nc"),
        (["predict", "DATA"], 1, "data.csv"),
        (["datasets", "cbbp"], 1, "Did you mean 'cbpp'?"),
    ],
)
def test_errors_are_sentences_and_codes(folder, capsys, arguments, code, said):
    places = {"DATA": str(folder / "data.csv"), "CODE": __file__}
    assert main([places.get(word, word) for word in arguments]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err


def test_debug_shows_where(folder):
    with pytest.raises(DataError):
        main(["fit", "nothing.csv", FORMULA, "--debug"])


def test_what_was_not_expected_is_said_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("bayesglmm.cli.commands.read_table", lambda name: 1 / 0)
    assert main(["fit", "data.csv", FORMULA]) == 1
    assert "ZeroDivisionError: division by zero" in (said := capsys.readouterr().err)
    assert "--debug" in said


def test_interrupted(monkeypatch, capsys):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayesglmm.cli.commands.read_table", interrupt)
    assert main(["fit", "data.csv", FORMULA]) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_warnings_are_sentences(folder, capsys):
    d = pd.read_csv(folder / "data.csv").assign(z=lambda f: (f["x"] > 0).astype(int))
    d.assign(y=d["z"]).to_csv(folder / "separated.csv", index=False)
    given = ["--family", "bernoulli", "--engine", "laplace", "--draws", "50", "--seed", "1", "--quiet"]
    assert main(["fit", str(folder / "separated.csv"), "y ~ z", *given]) == 0
    said = capsys.readouterr().err
    assert said.startswith("Warning:")
    assert ".py" not in said


# --------------------------------------------------------------------------------------------- values as typed


def test_priors_are_read_and_never_evaluated(tmp_path):
    assert priors_of([]) is None
    assert priors_of(["flat"]) == "flat"
    found = priors_of(["x=Normal(-1, sigma=2.5e-1)", "sd[g, I(x == 2)]=HalfNormal(1)", "cor = LKJ(eta=2)"])
    assert found == {
        "x": bg.Prior("Normal", -1, 0.25),
        "sd[g, I(x == 2)]": bg.Prior("HalfNormal", 1),
        "cor": bg.Prior("LKJ", 2),
    }
    marker = tmp_path / "ran"
    for text in (
        f"x=Normal(open({str(marker)!r}, 'w'), 1)",
        f"x=__import__('pathlib').Path({str(marker)!r}).touch()",
        "x=Normal(1 + 1, 2)",
        "x=Normal(*[0, 1])",
        "x=Normal(True, 1)",
        "x=Normal(0, 1",
        f"x=Normal({'(' * 500}1{')' * 500}, 1)",
    ):
        assert main(["fit", "cbpp", "size ~ period", "--prior", text]) == 2
    assert not marker.exists()


def test_settings():
    found = settings_of(["draws=5", "tolerance=1e-3", "resample=auto", "progressbar=False", "points=none"])
    assert found == {"draws": 5, "tolerance": 1e-3, "resample": "auto", "progressbar": False, "points": None}


# ---------------------------------------------------------------------------------------------- as a program


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_help_loads_nothing_heavy():
    code = "import sys; from bayesglmm.cli import main; main(['fit', '--help'])"
    code += f"; print(*set(sys.modules) & set({HEAVY!r}))"
    done = run("-c", code)
    assert done.returncode == 0
    assert "--engine" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


def test_the_module_is_the_program(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split()[-1] == bg.__version__
    done = run("-m", "bayesglmm", "fit", "nothing.csv", "y ~ x")
    assert done.returncode == 1
    assert done.stderr.startswith("Error:")
    assert "Traceback" not in done.stderr


def test_every_command_has_help_with_an_example(capsys):
    from bayesglmm.cli.commands import COMMANDS

    for command in COMMANDS:
        assert main([command.name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Usage: bayesglmm" in shown
        assert len(shown.splitlines()) < 70
        if command.name not in ("demo", "doctor"):
            assert f"  bayesglmm {command.name} " in shown
