# %% [markdown]
# # A map of odds ratios: where is lung cancer more frequent than smoking and age explain?
#
# 2,000 cases and controls with their residences, simulated in the shape of the upper Cape Cod study, so that the
# truth is known. One idea: a thin plate spline of longitude and latitude beside the confounders, read as odds
# ratios against the geometric mean of the study area.

# %%
from pathlib import Path

import numpy as np

import bayesglmm as bg

residents = bg.load_dataset("capecod_sim")
figures = Path("lung-cancer-map")
figures.mkdir(exist_ok=True)
model = bg.Model("lung ~ smoking + s(age, k=10) + s(lon, lat, k=40)", residents, family="bernoulli")
print(model)

# %% [markdown]
# Laplace's approximation, and what it says of its own quality.

# %%
fit = model.fit("laplace", seed=1)
print(fit)
print(fit.smooths()[["smooth", "edf", "mean", "lower", "upper", "reading"]].round(2).to_string(index=False))

# %% [markdown]
# The map. Each cell is exp(surface - mean of the surface over the residences): an odds ratio with smoking and age
# held fixed. Heavy lines enclose the places whose 95 % interval excludes 1.

# %%
chart = bg.odds_ratio_map(fit, "s(lon, lat)", grid=100, threshold=1.5)
figure = chart.plot(title="Lung cancer: odds ratio by place")
figure.savefig(figures / "odds-ratio.png", dpi=200)
figure

# %%
figure = chart.plot("exceedance", points=residents, cases="lung")
figure.savefig(figures / "exceedance.png", dpi=200)
figure

# %%
chart.to_geojson(figures / "odds-ratio.geojson", kind="contours")

# %% [markdown]
# The other terms: smoking on the scale of odds ratios, age as a curve.

# %%
smoking = ["smoking[former]", "smoking[current]"]
figure = bg.plots.forest(fit, smoking, transform="exp")
figure.savefig(figures / "smoking.png", dpi=200)
figure

# %%
figure = bg.plots.smooth(fit, "s(age)", scale="response", by="smoking")
figure.savefig(figures / "age.png", dpi=200)
figure

# %% [markdown]
# Is the approximation good enough? NUTS samples the same model; the two maps are compared in posterior standard
# deviations of each cell.

# %%
nuts = model.fit("nuts", seed=1)
exact = bg.odds_ratio_map(nuts, "s(lon, lat)", grid=100)
print(bg.compare_engines({"nuts": nuts, "laplace": fit}))
shift = np.abs(chart["log_mean"] - exact["log_mean"]) / exact["log_sd"]
print(f"Mean distance of the two maps: {float(shift.mean()):.3f} posterior standard deviations")

# %% [markdown]
# Because the data are simulated, the map can be held against the truth: two clusters and a wave from west to east.


# %%
def true_surface(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return the log odds that the simulation used."""
    hot = 1.2 * np.exp(-((lon + 70.56) ** 2 / 0.003 + (lat - 41.70) ** 2 / 0.002))
    cold = -0.9 * np.exp(-((lon + 70.42) ** 2 / 0.004 + (lat - 41.60) ** 2 / 0.002))
    return hot + cold + 0.8 * np.sin(12 * (lon + 70.5))


centre = true_surface(residents["lon"].to_numpy(), residents["lat"].to_numpy()).mean()
truth = np.exp(true_surface(*np.meshgrid(chart["lon"], chart["lat"])) - centre)
covered = (chart["lower"] <= truth) & (truth <= chart["upper"])
print(f"The 95 % intervals hold the truth in {float(covered.where(chart['mask']).mean()):.0%} of the cells.")
