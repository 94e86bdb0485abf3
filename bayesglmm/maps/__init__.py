"""Maps: what a two-dimensional smooth says about places, on a grid, in figures, in files for other programs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bayesglmm.maps.odds_ratio import odds_ratio_map

if TYPE_CHECKING:
    from bayesglmm.maps.effect_map import EffectMap

__all__ = ["EffectMap", "odds_ratio_map"]


def __getattr__(name: str) -> Any:
    """Return `EffectMap`; xarray is imported when the first map is made."""
    if name != "EffectMap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.effect_map").EffectMap
