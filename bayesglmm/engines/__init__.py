"""Inference engines, one file each; a look-up in `ENGINES` imports them."""

from bayesglmm.engines.base import ENGINES, Engine, Run, Settings

__all__ = ["ENGINES", "Engine", "Run", "Settings"]
