"""Inference engines, one file each; the first look-up in `ENGINES` imports them all."""

from bayesglmm.engines.base import ENGINES, Engine, Run, Settings

__all__ = ["ENGINES", "Engine", "Run", "Settings"]
