# %% [markdown]
# # Whom one follows says where one stands
#
# An ideal-point model (Barberá 2015): a user follows a politician with a probability that falls with the squared
# distance of their ideologies. For one user and politician i with the known score x_i,
#
#     y_i ~ Bernoulli(p_i),    logit p_i = -theta0 (theta1 - x_i)^2,    theta0 > 0,
#
# theta1 is where the user stands (negative is liberal), theta0 how much distance matters. The parameters enter as no
# linear formula could say it.

# %%
import numpy as np
import pandas as pd

import bayesglmm as bg

# %% [markdown]
# ## Data
#
# Simulated, with fixed seeds. The scores of the 100 senators are drawn so that they look like published ones, on a
# scale where the general public has standard deviation one: two parties, each in a group of its own. Then two users,
# a liberal at -1.2 and a conservative at +1.2, who both follow the near ones about half of the time.


# %%
def senators(seed: int = 7) -> np.ndarray:
    """Return 100 ideology scores: 50 senators of either party."""
    random = np.random.default_rng(seed)
    return 1.6 * np.sort(np.concatenate([random.normal(-1.0, 0.4, 50), random.normal(1.0, 0.4, 50)]))


def follows(ideology: float, seed: int = 2, distance_matters: float = 0.2) -> pd.DataFrame:
    """Return what one user follows."""
    score = senators()
    p = 1.0 / (1.0 + np.exp(distance_matters * (ideology - score) ** 2))
    return pd.DataFrame({"score": score, "follows": np.random.default_rng(seed).binomial(1, p)})


users = {"liberal": follows(-1.2), "conservative": follows(1.2)}
for name, data in users.items():
    left = data["score"] < 0
    print(
        f"{name}: follows {data.follows[left].sum()} senators on the left, {data.follows[~left].sum()} on the right"
    )

# %% [markdown]
# ## Model
#
# The expression is on the scale of the link, here the log odds. Every parameter has a formula of its own (`~ 1`: a
# number; group effects and smooths are possible), and needs a prior: nobody but you knows its scale. A normal prior
# with standard deviation 10, for theta0 cut off at zero.

# %%
formula = bg.nonlinear("follows ~ -theta0 * (theta1 - score)^2", theta0="~ 1", theta1="~ 1")
priors = {
    "theta0": bg.Prior("TruncatedNormal", mu=0, sigma=10, lower=0),
    "theta1": bg.Prior("Normal", mu=0, sigma=10),
}
models = {name: bg.Model(formula, data, family="bernoulli", priors=priors) for name, data in users.items()}
print(models["liberal"])

# %% [markdown]
# ## The textbook's sampler
#
# One coordinate at a time, a normal step of standard deviation 0.5, accepted or not. The step is too long for theta0
# and about right for theta1: few moves of theta0 are accepted, about half of those of theta1. A negative theta0 is
# never accepted.

# %%
walk = {"proposal": "random-walk", "scale": 0.5, "draws": 2000, "tune": 200, "chains": 2, "keep_proposals": True}
walks = {name: model.fit("metropolis", seed=1, **walk) for name, model in models.items()}
for name, fit in walks.items():
    accepted = fit.data["sample_stats"]
    shares = [float(accepted[f"acceptance_{parameter}_beta"].mean()) for parameter in ("theta0", "theta1")]
    print(f"{name}: accepted moves of theta0 {shares[0]:.2f}, of theta1 {shares[1]:.2f}")

figure = bg.plots.metropolis_path(walks["liberal"], ["theta1.Intercept", "theta0.Intercept"], draws=80)
figure.savefig("path.png")
figure

# %%
figure = bg.plots.running_mean(walks["liberal"])
figure.savefig("running_mean.png")
figure

# %% [markdown]
# ## Three engines
#
# The random walk is exact, but its draws depend on each other: thousands are worth less than a hundred, and the
# verdict says so. NUTS follows the gradient. Laplace's approximation takes a second: theta0 is bounded, so it is
# explored on the log scale, and theta1 is approximated given theta0. The posterior of theta1 has a long tail, for if
# distance matters little the user may stand anywhere; there the three differ a little.

# %%
fits = {
    "random walk": walks["liberal"],
    "nuts": models["liberal"].fit("nuts", seed=1),
    "laplace": models["liberal"].fit("laplace", seed=1),
}
for name, fit in fits.items():
    print(f"{name}:\n{fit.summary()[['mean', 'sd', 'lower', 'upper', 'ess_bulk']].round(2)}")
print(bg.compare_engines(fits))
figure = bg.plots.compare_engines(fits)
figure.savefig("engines.png")
figure

# %% [markdown]
# ## Where do they stand, and whom will they follow?
#
# The signs are right and the intervals wide: a hundred decisions of one user tell his side, and not much more. The
# predicted curve is what the model says of a senator at any score.

# %%
for name, model in models.items():
    fit = model.fit("laplace", seed=1)
    where = fit.fixed().loc["theta1.Intercept"]
    print(f"{name}: theta1 = {where['mean']:.2f}, 95% from {where['lower']:.2f} to {where['upper']:.2f}")
    print(fit.predict({"score": [-2.0, 0.0, 2.0]}).round(2))
print(fits["laplace"])
