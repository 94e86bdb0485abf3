"""Figures of answers.

Every function returns a `matplotlib.figure.Figure` that pyplot does not manage: notebooks show it, scripts save it
with ``figure.savefig("name.png")``, nothing stays open and no global setting is changed. One file per kind of
figure; matplotlib is imported when the first figure is asked for. To add a figure, write its file and name it below.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesglmm.plots.answers import comparisons, predictions, slopes
    from bayesglmm.plots.comparison import compare_engines
    from bayesglmm.plots.correlations import correlation
    from bayesglmm.plots.effects import caterpillar
    from bayesglmm.plots.integrands import laplace_quality
    from bayesglmm.plots.intervals import forest
    from bayesglmm.plots.maps import effect_map
    from bayesglmm.plots.model_comparison import compare_models, pareto_k
    from bayesglmm.plots.pooling import shrinkage
    from bayesglmm.plots.predictive import posterior_predictive, prior_predictive
    from bayesglmm.plots.predictive_checks import ppc
    from bayesglmm.plots.residual_figures import residuals
    from bayesglmm.plots.smooths import smooth
    from bayesglmm.plots.surfaces import surface
    from bayesglmm.plots.traces import trace_panel
    from bayesglmm.plots.walks import acceptance, metropolis_path, running_mean

__all__ = [
    "acceptance",
    "caterpillar",
    "compare_engines",
    "compare_models",
    "comparisons",
    "correlation",
    "effect_map",
    "forest",
    "laplace_quality",
    "metropolis_path",
    "pareto_k",
    "posterior_predictive",
    "ppc",
    "predictions",
    "prior_predictive",
    "residuals",
    "running_mean",
    "shrinkage",
    "slopes",
    "smooth",
    "surface",
    "trace_panel",
]

# No file is named like a function in it: importing such a file would put the module in the function's place.
_FILES = {
    "acceptance": "walks",
    "caterpillar": "effects",
    "compare_engines": "comparison",
    "compare_models": "model_comparison",
    "comparisons": "answers",
    "correlation": "correlations",
    "effect_map": "maps",
    "forest": "intervals",
    "laplace_quality": "integrands",
    "metropolis_path": "walks",
    "pareto_k": "model_comparison",
    "posterior_predictive": "predictive",
    "predictions": "answers",
    "ppc": "predictive_checks",
    "prior_predictive": "predictive",
    "residuals": "residual_figures",
    "running_mean": "walks",
    "shrinkage": "pooling",
    "slopes": "answers",
    "smooth": "smooths",
    "surface": "surfaces",
    "trace_panel": "traces",
}

# What such figures are called in ArviZ, bayesplot, brms, lme4 and mgcv.
_ELSEWHERE = {
    "conditional_effects": "predictions",
    "density": "posterior_predictive",
    "dotplot": "caterpillar",
    "emmeans": "predictions",
    "intervals": "forest",
    "map": "effect_map",
    "pp_check": "ppc",
    "qq": "residuals",
    "ranef": "caterpillar",
    "rootogram": "ppc",
    "smooths": "smooth",
    "trace": "trace_panel",
    "traceplot": "trace_panel",
}


def __getattr__(name: str) -> Any:
    """Return a figure's function; its file, and with it matplotlib, is imported now."""
    if name not in _FILES:
        elsewhere = _ELSEWHERE.get(name)
        hint = f"Use bg.plots.{elsewhere}(). " if elsewhere else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. {hint}Figures: {', '.join(__all__)}.")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
