"""Names of everything in the graph and in the posterior, decided once.

Nothing is ever read back out of a name: whoever needs the parts holds the object that made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bayesglmm.blocks import RandomBlock


def identifier(text: str) -> str:
    """Return `text` with everything but letters, digits and underscores replaced (DataTree refuses ``/``)."""
    cleaned = re.sub(r"\W+", "_", text).strip("_")
    return cleaned or "block"


def block_ids(blocks: Iterable[RandomBlock]) -> tuple[str, ...]:
    """Return a short id per block: its group's name, numbered from the second block of the same group on."""
    bases = [identifier(block.group) for block in blocks]
    used: set[str] = set()
    ids = []
    for base in bases:
        own, number = base, 2
        while own in used or (own != base and own in bases):  # a group may itself be called g_2
            own, number = f"{base}_{number}", number + 1
        used.add(own)
        ids.append(own)
    return tuple(ids)


@dataclass(frozen=True)
class BlockNames:
    """Names that belong to one random block.

    Parameters
    ----------
    prefix : str
        ``""`` for the main predictor, ``"sigma_"`` and the like for the others.
    id : str
        Short id of the block.
    smooth : bool
        Whether it is part of a smooth: its coefficients are then those of basis functions.
    """

    prefix: str
    id: str
    smooth: bool = False

    def variable(self, what: str) -> str:
        """Return the name of a variable of this block: ``sd_herd``, ``sigma_u_g``."""
        return f"{self.prefix}{what}_{self.id}"

    @property
    def u(self) -> str:
        """Spherical coefficients, free in the graph."""
        return self.variable("u")

    @property
    def b(self) -> str:
        """Coefficients on the user's scale, derived after sampling."""
        return self.variable("smooth" if self.smooth else "b")

    @property
    def level_dim(self) -> str:
        """Dimension of the levels."""
        return self.variable("level")

    @property
    def term_dim(self) -> str:
        """Dimension of the varying columns, or of the basis functions."""
        return self.variable("basis" if self.smooth else "term")

    def latent_dims(self, levels: bool) -> tuple[str, str]:
        """Return the dimensions of the free coefficients: levels and terms, unless they are not the levels'."""
        return (self.level_dim, self.term_dim) if levels else (self.variable("matrix"), self.variable("axis"))

    @property
    def member_dim(self) -> str:
        """Dimension of the memberships, where a row belongs to several levels."""
        return self.variable("member")

    @property
    def cor_dims(self) -> tuple[str, str]:
        """Dimensions of the correlation matrix."""
        return self.term_dim, self.variable("term2")

    def dim(self, what: str, per_term: bool) -> str:
        """Return the dimension of a parameter vector: that of the terms where each term has its own entry."""
        return self.term_dim if per_term else self.variable("scale" if what == "sd" else f"{what}_entry")


@dataclass(frozen=True)
class PredictorNames:
    """Names that belong to one predictor.

    Parameters
    ----------
    parameter : str
        Family parameter.
    prefix : str
        ``""`` or ``"sigma_"``.
    blocks : tuple of BlockNames
    """

    parameter: str
    prefix: str
    blocks: tuple[BlockNames, ...]

    @property
    def beta(self) -> str:
        """Population coefficients."""
        return f"{self.prefix}beta"

    @property
    def column_dim(self) -> str:
        """Dimension of the fixed columns."""
        return f"{self.prefix}column"

    @property
    def eta(self) -> str:
        """Linear predictor."""
        return f"{self.prefix}eta"


def predictor_names(parameter: str, main: bool, blocks: Sequence[RandomBlock]) -> PredictorNames:
    """Return the names of one predictor; only a single main predictor goes without a prefix."""
    prefix = "" if main else f"{identifier(parameter)}_"
    named = tuple(
        BlockNames(prefix, k, block.kind == "smooth") for k, block in zip(block_ids(blocks), blocks, strict=True)
    )
    return PredictorNames(parameter, prefix, named)


def cutpoint_labels(categories: Sequence[str]) -> list[str]:
    """Return what cutpoints are called: ``low|high``."""
    return [f"{low}|{high}" for low, high in pairwise(categories)]
