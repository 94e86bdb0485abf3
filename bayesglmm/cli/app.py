"""The program: its commands, and how it ends.

Exit codes: 0 done; 1 an error in data, formula or files; 2 the command was called wrongly; 3 the verdict on a fit is
not "good" and ``--strict`` was given; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from bayesglmm.cli.commands import COMMANDS
from bayesglmm.errors import BayesglmmError, InterruptedFitError, ModelWarning
from bayesglmm.version import __version__

DONE, FAILED, MISUSED, DOUBTED, INTERRUPTED = 0, 1, 2, 3, 130
_DEBUG = "--debug"

EPILOG = """
\b
Exit codes: 0 done; 1 an error in data, formula or files; 2 called wrongly;
3 the verdict is not "good" and --strict was given; 130 interrupted.
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bayesglmm")
@click.option(_DEBUG, is_flag=True, help="Show tracebacks; may stand anywhere.")
def cli(debug: bool) -> None:
    """Bayesian generalized linear mixed models from the command line.

    \b
    bayesglmm fit data.csv "y ~ x + (1 | g)" --family poisson --engine laplace --out fit.nc --report report.html
    bayesglmm predict fit.nc new.csv --groups typical --out predictions.csv
    bayesglmm compare fit.nc other.nc
    bayesglmm doctor
    """  # noqa: D301


for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program; those of this process if absent.

    Returns
    -------
    int
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _DEBUG in given
    given = [word for word in given if word != _DEBUG]
    with _quiet_warnings():
        if debug:
            return _code(cli.main(given, prog_name="bayesglmm", standalone_mode=False))
        return _explained(lambda: cli.main(given, prog_name="bayesglmm", standalone_mode=False))


def _code(found: Any) -> int:
    return found if isinstance(found, int) else DONE


def _explained(run: Callable[[], Any]) -> int:
    """Run; say of errors what went wrong and no more."""
    try:
        return _code(run())
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, InterruptedFitError) as error:
        _say(str(error) or "Interrupted.")
        return INTERRUPTED
    except BayesglmmError as error:
        _say(str(error))
    except MemoryError:
        _say("There is not enough memory for this.")
    except BrokenPipeError:  # whoever read the answer has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        _say(f"{error.filename!r}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        _say(f"{type(error).__name__}: {error}\nThis was not expected. {_DEBUG} shows where it happened.")
    return FAILED


def _say(message: str) -> None:
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True)


@contextmanager
def _quiet_warnings() -> Iterator[None]:
    """Show warnings about models as sentences, and no others."""

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        click.echo(f"{click.style('Warning:', fg='yellow', bold=True)} {message}", err=True)

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ModelWarning)
        warnings.showwarning = show
        yield
