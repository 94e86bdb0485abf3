# %% [markdown]
# # A spam filter that one can read: forty curves, each with its own variance component
#
# 4,601 e-mails, 57 features. One idea: a logistic additive model with a smooth for each of the forty features that
# most e-mails use; the standard deviation of each smooth decides how far its curve may leave a straight line.
# Unlike a black box the filter shows what it goes by: one effect plot per feature.

# %%
import sys
import time
from pathlib import Path

import numpy as np

import bayesglmm as bg

SMOOTHS, COLUMNS = 40, 10  # how many features, and basis functions of each
figures = Path("spam-filter")
figures.mkdir(exist_ok=True)
mails = bg.load_dataset("spam")
features = [name for name in mails if name not in ("type", "spam", "fold")]

# %% [markdown]
# Frequencies are skewed and mostly zero, so they enter as log(frequency + 0.1), lengths of runs of capitals as
# their logarithm. Fold 1 is held out; its values beyond the range of the training set are taken to the end of it,
# since no curve knows what happens outside.

# %%
for name in features:
    mails[name] = np.log(mails[name] + (0.0 if name.startswith("capital") else 0.1))
    unit = "log of length" if name.startswith("capital") else "log of percent + 0.1"
    mails.attrs["dataset"]["columns"][name] = f"{name} [{unit}]"  # for the axes of figures
train, test = mails[mails["fold"] != 1], mails[mails["fold"] == 1].copy()
used = (train[features] > train[features].min()).mean().sort_values(ascending=False)
chosen = sorted(used.index[:SMOOTHS], key=features.index)
test[features] = test[features].clip(train[features].min(), train[features].max(), axis=1)
formula = "spam ~ " + " + ".join(f"s({name}, k={COLUMNS})" for name in chosen)
model = bg.Model(formula, train, family="bernoulli")

# %% [markdown]
# Laplace's approximation on the whole training set.

# %%
start, cpu = time.perf_counter(), time.process_time()
fit = model.fit("laplace", seed=1)
print(f"Laplace: {time.perf_counter() - start:.0f} s ({time.process_time() - cpu:.0f} s of CPU)")
print(f"{len(chosen)} smooths, {len(train):,} e-mails")
print(f"Verdict: {fit.verdict}")
print(fit.smooths()[["smooth", "edf", "mean", "lower", "upper", "reading"]].round(2).to_string(index=False))

# %% [markdown]
# How good is it on e-mails that it has not seen?

# %%
chance = fit.predict(test)["mean"].to_numpy()
wrong = (chance > 0.5) != (test["spam"] == 1)
log_loss = -np.log(np.where(test["spam"] == 1, chance, 1 - chance)).mean()
lost = wrong[test["spam"] == 0].mean()
print(f"Held-out fold: {wrong.mean():.1%} wrong, log loss {log_loss:.3f}; {lost:.1%} of good e-mails would be lost")

# %% [markdown]
# An effect plot per feature: the log odds of spam against the frequency, with bands for each point and for the
# whole curve.

# %%
figure = bg.plots.smooth(fit)
figure.savefig(figures / "effects.png", dpi=150)
figure

# %%
telling = ["remove", "free", "hp", "charExclamation", "charDollar", "capitalAve"]
figure = bg.plots.smooth(fit, telling)
figure.savefig(figures / "telling.png", dpi=200)
figure

# %% [markdown]
# Against exact sampling, on a part that takes minutes instead of hours: the six strongest features, 1,000 e-mails.
# `python examples/spam_filter.py full` samples the whole model instead.

# %%
exact, approximate = model, fit
if "full" not in sys.argv[1:]:
    part = train.sample(1000, random_state=1)
    exact = bg.Model("spam ~ " + " + ".join(f"s({name}, k=6)" for name in telling), part, family="bernoulli")
    approximate = exact.fit("laplace", seed=1)
start = time.perf_counter()
nuts = exact.fit("nuts", seed=1)
print(f"NUTS: {time.perf_counter() - start:.0f} s, smallest ESS {nuts.summary()['ess_bulk'].min():.0f}")
print(f"Verdict: {nuts.verdict}")
print(bg.compare_engines({"nuts": nuts, "laplace": approximate}))
