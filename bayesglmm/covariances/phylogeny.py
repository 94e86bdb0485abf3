"""Inverse of a phylogeny's covariance, with a few entries per node.

Under Brownian motion a trait changes along every branch by a normal step with variance proportional to its length, so
that the covariance of two species is the length of the path that they share (Felsenstein 1973; Lynch 1991). With the
inner nodes as levels beside the species, whose effects are then known, too, the inverse has an entry for every branch
(Hadfield and Nakagawa 2010).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import sparse

from bayesglmm.blocks import Floats
from bayesglmm.covariances.matrices import NamedMatrix, known_precision
from bayesglmm.errors import DataError

_TOKEN = re.compile(r"\s*(?:\[[^\]]*\]\s*)*([(),;:]|'(?:[^']|'')*'|[^\s(),;:\[\]']+)")


@dataclass(eq=False)
class _Node:
    parent: int
    name: str = ""
    length: float | None = None
    children: list[int] = field(default_factory=list)


def phylogeny_precision(tree: str | Path, scale: bool = True) -> NamedMatrix:
    """Return the inverse covariance of a phylogeny, for ``(1 | gr(species, cov=A))`` with ``cov={"A": ...}``.

    Parameters
    ----------
    tree : str or Path
        In the Newick format with branch lengths, ``"((a:1,b:1):2,c:3);"``, or a file that holds it. Underscores of
        unquoted names are blanks in the format, but kept here, as in R's ape.
    scale : bool
        Divide lengths by the mean distance between root and species, so that a species has a variance of one on
        average and the standard deviation of the term is that of a species.

    Returns
    -------
    NamedMatrix
        Sparse, with the species and the inner nodes but the root; those without a name are called ``node1``, ...

    Raises
    ------
    DataError
        If the text is no tree, two nodes have one name, or a branch has no positive length.
    """
    text = tree.read_text(encoding="utf-8") if isinstance(tree, Path) else tree
    nodes = _parsed(text)
    names, lengths = _named(nodes), _lengths(nodes)
    depth = np.zeros(len(nodes))
    for i, node in enumerate(nodes[1:], start=1):
        depth[i] = depth[node.parent] + lengths[i]
    tips = [i for i, node in enumerate(nodes) if not node.children]
    unit = float(depth[tips].mean()) if scale else 1.0
    weight = unit / lengths[1:]
    parent = np.array([node.parent for node in nodes[1:]]) - 1  # of the nodes but the root, which is held at zero
    size, child, inside = len(nodes) - 1, np.arange(len(nodes) - 1), parent >= 0
    rows = np.concatenate([child, parent[inside], child[inside], parent[inside]])
    columns = np.concatenate([child, parent[inside], parent[inside], child[inside]])
    values = np.concatenate([weight, weight[inside], -weight[inside], -weight[inside]])
    return known_precision(sparse.csr_array((values, (rows, columns)), shape=(size, size)), names[1:])


def _parsed(text: str) -> list[_Node]:
    """Return the nodes of a tree, parents first."""
    nodes, here, at = [_Node(-1)], 0, 0
    for token in _tokens(text):
        if token == ";":
            break
        if token == ":":
            at = 1
        elif at == 1:
            nodes[here].length, at = _number(token), 0
        elif token in "(,":
            above = here if token == "(" else nodes[here].parent
            if above < 0:
                raise DataError("The tree has a comma outside of its brackets: it is none, or has two roots.")
            nodes.append(_Node(above))
            here = len(nodes) - 1
            nodes[above].children.append(here)
        elif token == ")":
            here = nodes[here].parent
            if here < 0:
                raise DataError("The tree closes a bracket that was not opened.")
        else:
            nodes[here].name = token[1:-1].replace("''", "'") if token.startswith("'") else token
    if here != 0:
        raise DataError("The tree opens a bracket that is not closed.")
    if len(nodes) < 3:
        raise DataError("A tree has at least two species: ((a:1,b:1):2,c:3);")
    return nodes


def _tokens(text: str) -> list[str]:
    found, at = list[str](), 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise DataError(f"The tree cannot be read from {text[at : at + 20]!r} on.")
        found.append(match.group(1))
        at = match.end()
    return found


def _number(token: str) -> float:
    try:
        return float(token)
    except ValueError:
        raise DataError(f"The tree has {token!r} where a branch length should be.") from None


def _named(nodes: list[_Node]) -> list[str]:
    """Return distinct names of all nodes."""
    given = {node.name for node in nodes}
    fresh = (name for k in range(1, 2 * len(nodes) + 1) if (name := f"node{k}") not in given)
    names = []
    for node in nodes:
        if not node.name and not node.children:
            raise DataError("The tree has a species without a name.")
        names.append(node.name or next(fresh))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"Two nodes of the tree are called {twice!r}.")
    return names


def _lengths(nodes: list[_Node]) -> Floats:
    """Return the lengths of the branches above all nodes; that of the root counts for nothing."""
    found = np.zeros(len(nodes))
    for i, node in enumerate(nodes[1:], start=1):
        if node.length is None or not np.isfinite(node.length) or not node.length > 0.0:
            what = "no length" if node.length is None else f"the length {node.length:g}"
            called = f"to {node.name!r}" if node.name else "to an inner node"
            raise DataError(
                f"The branch {called} has {what}; all must be positive. Resolve nodes that coincide by very short "
                "branches."
            )
        found[i] = node.length
    return found
