# %% [markdown]
# # A model for the spread as well as for the mean
#
# Two methods measure the same things; the new one is less precise, and its precision gets worse with size. One idea:
# a second formula, `sigma ~ ...`, on the log scale.

# %%
import numpy as np
import pandas as pd

import bayesglmm as bg

rng = np.random.default_rng(1)
n = 300
size = rng.uniform(1.0, 5.0, n)
method = rng.choice(["old", "new"], n)
sigma = np.exp(-1.0 + np.where(method == "new", 0.2 * size, 0.0))
measured = pd.DataFrame({"size": size, "method": pd.Categorical(method, ["old", "new"])})
measured["y"] = size + rng.normal(size=n) * sigma

# %%
model = bg.Model(["y ~ size + method", "sigma ~ size*method"], measured)
fit = model.fit(seed=1)
print(fit)

# %% [markdown]
# Coefficients of sigma are prefixed in tables. Future measurements show what they mean:

# %%
new = pd.DataFrame({"size": [1.0, 5.0, 1.0, 5.0], "method": ["old", "old", "new", "new"]})
print(new.join(fit.predict(new, scale="outcome", seed=1)).round(2))
