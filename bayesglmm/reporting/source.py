"""Sections on where the numbers come from: what to cite, and the code that makes them again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesglmm.formula.nonlinear import Nonlinear
from bayesglmm.priors import Prior
from bayesglmm.records.frame import frame_hash
from bayesglmm.reporting.markup import Content, code, html, listed, table, tag
from bayesglmm.reporting.references import references
from bayesglmm.reporting.section import Section, Subject, heading
from bayesglmm.results.facts import LEFT, settings_given

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

_ENDS = (float("inf"), float("-inf"))  # where a truncated distribution does not end
_SILENT = ("progressbar",)
_OURS = "left to the engine"


def cite(subject: Subject) -> Section:
    """Software and methods to cite."""
    fit = subject.fit
    versions = json.loads(fit.data.attrs["versions"])
    smooths = any(fit.design.smooths.values()) if fit.design is not None else False
    own = "The bayesglmm developers. bayesglmm: Bayesian generalized linear mixed models on PyMC."
    if versions.get("bayesglmm", "0")[:1].isdigit():
        own += f" Version {versions['bayesglmm']}."
    engine = str(fit.data.attrs["engine"])
    found = [own, *references(engine, subject.is_posterior, smooths)]
    return Section("cite", "How to cite", html([tag("p", "Software and methods behind this report:"), listed(found)]))


def reproduce(subject: Subject) -> Section:
    """Code, seed, versions, fingerprint of the data."""
    fit = subject.fit
    attrs = fit.data.attrs
    versions = json.loads(attrs["versions"])
    rows = [(name, version) for name, version in versions.items()]
    rows.append(("Python (of this report)", platform.python_version()))
    left = json.loads(attrs.get(LEFT, "[]"))
    settings = [
        (name, f"{_plain(value)} ({_OURS})" if name in left else _plain(value))
        for name, value in json.loads(attrs["settings"]).items()
    ]
    same = "The same code, data, seed and versions give the same numbers, bit for bit, on one machine."
    body: list[Content] = [tag("p", same), code(program(fit), "Code that makes this fit")]
    if "runs" in attrs:
        body.append(tag("p", "Draws of later runs were appended (bg.resume): the code makes the first run."))
    body += [
        heading("Versions and settings"),
        table("Versions", ["package", "version"], rows, 2),
        table("Settings of the engine", ["setting", "value"], settings, 2),
    ]
    return Section("reproduce", "How to reproduce", html(body))


def _plain(value: Any) -> str:
    return _OURS if value is None else value if isinstance(value, str) else json.dumps(value)


# ------------------------------------------------------------------------------------------------------ the code


def program(fit: Fit) -> str:
    """Return the Python code that makes a fit from its data.

    Parameters
    ----------
    fit : Fit
        With its model.

    Returns
    -------
    str
        It needs `data`, and what else of the user's own the model was made with: matrices, arrays of weights, a
        family that is not registered.
    """
    model: Any = fit.model
    arguments = [_formula(model.formula), "data", *_family(fit)]
    given = dict(model.given)
    needed = [f"data = ...  # columns: {', '.join(map(str, fit.design.data.columns))}"] if fit.design else []
    if fit.design is not None:
        needed.append(f"# SHA-256 of these columns: {frame_hash(fit.design.data)}")
    if given.get("link") is not None:
        arguments.append(f"link={_link(given['link'])}")
    if given.get("priors") is not None:
        arguments.append(f"priors={_priors(given['priors'])}")
    for name in ("weights", "likelihood_weights"):
        value = getattr(fit.design, name, None)
        if value is not None:
            arguments.append(f"{name}={value!r}" if isinstance(value, str) else f"{name}={name}")
            needed += [] if isinstance(value, str) else [f"{name} = ...  # an array of {len(value):,} numbers"]
    if given.get("cov"):
        arguments.append(f"cov={{{', '.join(f'{name!r}: {_identifier(name)}' for name in given['cov'])}}}")
        needed += [f"{_identifier(name)} = ...  # the matrix {name!r}" for name in given["cov"]]
    plain = {name: value for name, value in given.items() if name not in ("link", "priors", "cov")}
    arguments += [f"{name}={value!r}" for name, value in plain.items() if value is not None]
    made = ",\n    ".join(arguments)
    call = f"fit = model.fit({', '.join(_fitting(fit))})"
    return "\n".join(["import bayesglmm as bg", "", *needed, f"model = bg.Model(\n    {made},\n)", call])


def _identifier(name: Any) -> str:
    return str(name) if str(name).isidentifier() else "matrix"


def _formula(formula: Any) -> str:
    if isinstance(formula, str):
        return repr(formula)
    if not isinstance(formula, Nonlinear):
        return repr(list(formula))
    parts = [repr(formula.main), *map(repr, formula.others)]
    parts += [f"start={dict(formula.start)!r}"] if formula.start else []
    parts += [f"{name}={text!r}" for name, text in formula.parameters.items()]
    return f"bg.nonlinear({', '.join(parts)})"


def _family(fit: Fit) -> list[str]:
    from bayesglmm.families import FAMILIES

    family = fit.problem.family
    known = family.name in FAMILIES and FAMILIES.get(family.name) is family
    return [f"family={family.name!r}" if known else f"family={family.name}  # your own"]


def _link(link: Any) -> str:
    if isinstance(link, Mapping):
        return f"{{{', '.join(f'{name!r}: {_link(own)}' for name, own in link.items())}}}"
    return repr(link) if isinstance(link, str) else f"bg.LINKS[{link.name!r}]"


def _priors(given: Any) -> str:
    if not isinstance(given, Mapping):
        return repr(given)
    return f"{{{', '.join(f'{key!r}: {_prior(prior)}' for key, prior in given.items())}}}"


def _prior(prior: Any) -> str:
    if not isinstance(prior, Prior):
        return repr(prior)
    # With all digits, as the short text of a prior has not.
    given: dict[str, Any] = dict(prior.parameters)
    values = "".join(f", {name}={_value(value)}" for name, value in given.items() if value not in _ENDS)
    return f"bg.Prior({prior.distribution!r}{values})"


def _value(value: Any) -> str:
    return _prior(value) if isinstance(value, Prior) else repr(value)


def _fitting(fit: Fit) -> list[str]:
    """Return the arguments of `Model.fit`: engine, seed, and the settings that are not the engine's defaults."""
    from bayesglmm.engines import ENGINES

    attrs = fit.data.attrs
    engine = str(attrs["engine"])
    settings = settings_given(attrs)
    defaults = json.loads(json.dumps(ENGINES.get(engine).configure().as_dict(), default=str))
    found = [repr(engine)]
    found += [f"seed={attrs['seed']}"] if "seed" in attrs else []
    found += [
        f"{name}={value!r}"
        for name, value in settings.items()
        if name not in _SILENT and (name not in defaults or defaults[name] != value)
    ]
    return found
