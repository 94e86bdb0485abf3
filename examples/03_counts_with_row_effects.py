# %% [markdown]
# # Counts that scatter more than Poisson: an effect for every row
#
# Seizures of 59 patients at four visits. One idea: `(1 | row)`, a group effect with one level per row, takes up what
# the Poisson distribution cannot; a negative binomial is the other way.

# %%
import numpy as np

import bayesglmm as bg

seizures = bg.load_dataset("epilepsy")
seizures["row"] = np.arange(len(seizures))
formula = "count ~ zAge + zBase*Trt + (1 | patient)"

poisson = bg.Model(formula + " + (1 | row)", seizures, family="poisson").fit(seed=1)
print(poisson)

# %%
negative_binomial = bg.Model(formula, seizures, family="negative_binomial").fit(seed=1)
print(negative_binomial)

# %% [markdown]
# Both say the same about the treatment: rate ratios side by side.

# %%
rates = ["zAge", "zBase", "Trt[1]", "zBase:Trt[1]"]
bg.plots.forest({"row effects": poisson, "negative binomial": negative_binomial}, rates, transform="exp")
