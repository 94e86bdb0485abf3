# %% [markdown]
# # A first model: group effects in a binomial regression
#
# New cases of a cattle disease in 15 herds over four quarters. One idea: a group effect is one word in the formula.

# %%
import bayesglmm as bg

cattle = bg.load_dataset("cbpp")
model = bg.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", cattle, family="binomial")
print(model)

# %%
fit = model.fit(seed=1)
print(fit)

# %% [markdown]
# How likely is the disease in each quarter, in a herd in the middle and in one that was not in the study?

# %%
quarters = {"period": ["1", "2", "3", "4"]}
print(fit.predict(quarters, groups="typical").round(2))
print(fit.predict(quarters, groups="new", seed=1).round(2))

# %%
bg.plots.forest(fit, transform="exp")
