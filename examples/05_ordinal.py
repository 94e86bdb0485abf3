# %% [markdown]
# # Ordered categories
#
# 40 judges rate wines of two temperatures as poor, fair, good or excellent; some judges are kinder than others. One
# idea: a cumulative model is a regression of a hidden, continuous rating, cut into categories at unknown points.

# %%
import numpy as np
import pandas as pd

import bayesglmm as bg

GRADES = ["poor", "fair", "good", "excellent"]
rng = np.random.default_rng(1)
judge = np.repeat(np.arange(40), 6)
warm = np.tile([0, 1], 120)
hidden = 1.2 * warm + rng.normal(0.0, 0.8, 40)[judge] + rng.logistic(size=judge.size)
wine = pd.DataFrame(
    {
        "grade": pd.Categorical.from_codes(np.searchsorted([-1.0, 0.8, 2.2], hidden), GRADES, ordered=True),
        "temperature": pd.Categorical(np.where(warm, "warm", "cold")),
        "judge": judge,
    }
)

# %%
fit = bg.Model("grade ~ temperature + (1 | judge)", wine, family="cumulative").fit(seed=1)
print(fit)

# %% [markdown]
# Predictions of an ordinal response have one row per category.

# %%
chances = fit.predict({"temperature": ["cold", "warm"]}, groups="average")
print(chances.pivot(columns="category", values="mean")[GRADES].round(2))
