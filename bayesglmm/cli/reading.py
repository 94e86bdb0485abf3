"""What users type, as values: tables from files, priors, settings, fits. Nothing of it is evaluated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bayesglmm.errors import BayesglmmError, DataError
from bayesglmm.priors import Prior

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.results import Fit

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": None}
_PARQUET = (".parquet", ".pq")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None}
FLAT = "flat"


def read_table(name: str) -> pd.DataFrame:
    """Return a table from a file, or a data set of the package by its name.

    Parameters
    ----------
    name : str
        Ends in .csv, .tsv, .tab or .txt (also compressed), .parquet or .pq; or a name of ``bayesglmm datasets``.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.
    """
    path = Path(name)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in _PACKED), "")
    if not path.exists():
        return _dataset(name, path)
    if kind in _PARQUET:
        return _parquet(path)
    if kind not in _SEPARATORS:
        kinds = ", ".join([*_SEPARATORS, *_PARQUET])
        raise DataError(f"{name!r}: tables are read from files that end in {kinds}.")
    import pandas as pd

    try:
        engine: Any = "python" if _SEPARATORS[kind] is None else "c"
        rounds = engine == "c" and int(pd.__version__.split(".")[0]) < 3  # by default, later ones are exact
        exact: dict[str, Any] = {"float_precision": "round_trip"} if rounds else {}
        found: pd.DataFrame = pd.read_csv(path, sep=_SEPARATORS[kind], engine=engine, **exact)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{name!r} cannot be read as a table of text: {str(error).strip()}") from None
    return found


def _dataset(name: str, path: Path) -> pd.DataFrame:
    from bayesglmm.datasets import list_datasets, load_dataset

    known = list_datasets()["name"].tolist()
    if name in known:
        return load_dataset(name)
    beside = [own.name for own in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, [*beside, *known], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise DataError(f"There is no file {name!r}, and no data set of that name (bayesglmm datasets).{hint}")


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise DataError('Parquet files need pyarrow: pip install "bayesglmm[frames]".') from None
    except (ValueError, OSError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a parquet file: {error}") from None


def write_table(frame: pd.DataFrame, name: str, index: bool = False) -> None:
    """Write a table; ``-`` is CSV to standard output."""
    if name == "-":
        click.echo(frame.to_csv(index=index), nl=False)
        return
    path = Path(name)
    if path.suffix.lower() in _PARQUET:
        try:
            frame.to_parquet(path, index=index)
        except ImportError:
            raise DataError('Parquet files need pyarrow: pip install "bayesglmm[frames]".') from None
    elif _SEPARATORS.get(path.suffix.lower()):
        frame.to_csv(path, sep=_SEPARATORS[path.suffix.lower()] or ",", index=index)
    else:
        raise DataError(f"--out {name!r}: tables are written to files that end in .csv, .tsv or .parquet.")


# ------------------------------------------------------------------------------------------------------- values


def priors_of(texts: Sequence[str]) -> Mapping[str, Prior] | str | None:
    """Return priors as `Model` takes them.

    Parameters
    ----------
    texts : sequence of str
        ``"fixed=Normal(0, 2.5)"``, ``"sd[herd]=HalfNormal(sigma=1)"``; or ``"flat"`` alone.

    Raises
    ------
    click.BadParameter
        If one is not written like that.
    """
    if list(texts) == [FLAT]:
        return FLAT
    found: dict[str, Prior] = {}
    for text in texts:
        match = re.fullmatch(r"(.+?)\s*=\s*(\w+\s*\(.*\))\s*", text, re.DOTALL)
        if match is None:
            raise click.BadParameter(
                f'{text!r} is not written as a prior: "fixed=Normal(0, 2.5)", "sd[herd]=HalfNormal(sigma=1)", or '
                '"flat" alone.',
                param_hint="--prior",
            )
        key = match[1].strip()
        if key in found:
            raise click.BadParameter(f"{key!r} is given twice.", param_hint="--prior")
        found[key] = _prior(match[2], text)
    return found or None


def _prior(text: str, whole: str) -> Prior:
    wrong = click.BadParameter(f"{whole!r}: {text!r} is no distribution with numbers.", param_hint="--prior")
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise wrong from None
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise wrong
    positional = [_number(value, wrong) for value in node.args]
    named = {str(one.arg): _number(one.value, wrong) for one in node.keywords}
    return Prior(node.func.id, *positional, **named)


def _number(node: ast.expr, wrong: click.BadParameter) -> float:
    """Return the number that a piece of syntax writes; nothing is evaluated."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        size = _number(node.operand, wrong)
        return -size if isinstance(node.op, ast.USub) else size
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    raise wrong


def settings_of(texts: Iterable[str]) -> dict[str, Any]:
    """Return settings of an engine from ``"draws=500"``: numbers, true, false, none, else text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise click.BadParameter(f"{text!r} is not written as a setting: draws=500.", param_hint="--set")
        found[name.strip()] = _setting(value.strip())
    return found


def _setting(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def load_fits(names: Sequence[str], data: str | None = None) -> dict[str, Fit]:
    """Return saved fits under the names of their files, or ``name=file``.

    Raises
    ------
    BayesglmmError
        If two have the same name.
    """
    from bayesglmm.loading import load

    frame = None if data is None else read_table(data)
    found: dict[str, Fit] = {}
    for text in names:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).stem, text
        if name in found:
            raise BayesglmmError(f"Two fits are called {name!r}; write name=file for one of them.")
        found[name] = load(path, frame)
    return found
