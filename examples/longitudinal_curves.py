# %% [markdown]
# # Growth curves: a smooth curve for each group, a line of its own for each subject
#
# Weights of 50 chicks on four diets over three weeks. One idea: `s(Time, by=Diet)` gives every diet a smooth
# curve, `(Time | Chick)` lets each chick start and grow differently around it; both are variance components of one
# model.

# %%
from pathlib import Path

import numpy as np

import bayesglmm as bg

chicks = bg.load_dataset("ChickWeight")
chicks["log_weight"] = np.log(chicks["weight"])
figures = Path("longitudinal-curves")
figures.mkdir(exist_ok=True)
model = bg.Model("log_weight ~ Diet + s(Time, by=Diet, k=6) + (Time | Chick)", chicks)
print(model)

# %%
fit = model.fit("laplace", seed=1)
print(fit)

# %% [markdown]
# How wiggly is each curve? An effective number of degrees of freedom of one is a straight line.

# %%
print(fit.smooths()[["smooth", "edf", "mean", "lower", "upper", "reading"]].round(2).to_string(index=False))

# %% [markdown]
# The curve of each diet for a chick in the middle, and how far diets 2 to 4 are from diet 1. A difference whose
# band of the whole curve excludes zero somewhere is one that no search along the curve has invented.

# %%
figure = bg.plots.smooth(fit, "s(Time)", by="Diet", scale="response")
figure.savefig(figures / "diets.png", dpi=200)
figure

# %%
figure = bg.plots.smooth(fit, "s(Time)", difference=True)
figure.savefig(figures / "differences.png", dpi=200)
figure

# %%
figure = bg.plots.caterpillar(fit, term="Time")
figure.savefig(figures / "chicks.png", dpi=200)
figure

# %% [markdown]
# Expected weights at hatching and after three weeks, in grams: the model is for logarithms, so these are medians.

# %%
ends = {"Diet": ["1", "2", "3", "4"] * 2, "Time": [0] * 4 + [21] * 4}
grams = fit.predict(ends, groups="typical")[["mean", "lower", "upper"]].apply(np.exp)
print(grams.assign(**ends).set_index(["Time", "Diet"]).round(0))

# %% [markdown]
# Does exact sampling say the same? NUTS on the same model, the curves compared in posterior standard deviations.

# %%
nuts = model.fit("nuts", seed=1)
print(bg.compare_engines({"nuts": nuts, "laplace": fit}))
days = np.arange(22)
grid = {"Diet": np.repeat(["1", "2", "3", "4"], len(days)), "Time": np.tile(days, 4)}
exact, approximate = (own.predict(grid, groups="typical", scale="link") for own in (nuts, fit))
shift = (approximate["mean"] - exact["mean"]).abs() / exact["sd"]
print(f"Mean distance of the curves: {shift.mean():.3f} posterior standard deviations")
