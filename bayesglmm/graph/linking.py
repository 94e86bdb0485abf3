"""The link of every predictor: the user's choice, or the family's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.families import Family
from bayesglmm.links import LINKS, Link


def choose_links(
    family: Family,
    predictors: Sequence[str],
    main: Sequence[str],
    link: str | Link | Mapping[str, str | Link] | None,
) -> dict[str, Link]:
    """Return the link of every predictor.

    Parameters
    ----------
    family : Family
    predictors : sequence of str
        Family parameters with a formula.
    main : sequence of str
        Those that the main formula stands for.
    link : str, Link, mapping or None
        What the user wants.

    Raises
    ------
    UnknownNameError
        For a link that is unknown, or a parameter that has no formula.
    SettingsError
        For a link whose range does not suit the parameter.
    """
    given = dict(link) if isinstance(link, Mapping) else {} if link is None else {family.main.name: link}
    parameters = {parameter.name: parameter for parameter in family.parameters}
    known = {family.main.name if name in main else name for name in predictors}
    for name in given:
        if name not in known:
            raise UnknownNameError(f"link={link!r}: no formula models {name!r}. {did_you_mean(name, known)}")
    chosen = {}
    for name in predictors:
        parameter = parameters[family.main.name if name in main else name]
        wanted = given.get(parameter.name, parameter.link)
        own = LINKS.get(wanted)
        if own.domain != parameter.domain and own.name != "identity" and parameter.domain != "real":
            fitting = ", ".join(each.name for each in LINKS if each.domain == parameter.domain)
            raise SettingsError(
                f"Link {own.name!r} does not suit {parameter.name} ({parameter.domain}); use {fitting}."
            )
        if parameter.name == family.main.name and family.links is not None and own.name not in family.links:
            raise SettingsError(
                f"Link {own.name!r} does not suit {parameter.name} of family {family.name!r}, which has its link "
                f"built in: its predictors are on that scale. Use {', '.join(family.links)}."
            )
        chosen[name] = own
    return chosen
