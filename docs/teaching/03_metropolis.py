# %% [markdown]
# # Metropolis-Hastings: a sampler in ten lines, and one that works
#
# Propose a move, compare two densities, flip a coin. Nothing else is needed to draw from a posterior, and everything
# that is difficult about Markov chain Monte Carlo can be seen in it: the size of the steps, draws that depend on each
# other, parameters that can only move together.

# %%
import os
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm

import bayesglmm as bg

quick = "BAYESGLMM_QUICK" in os.environ  # short runs, for tests
figures = Path("teaching-figures")
figures.mkdir(exist_ok=True)
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
rng = np.random.default_rng(3)

# %% [markdown]
# ## 1. Why it works
#
# From $x$ propose $x^*$ from $q(x^* \mid x)$ and accept it with probability
# $$\alpha(x, x^*) = \min\Big\{1, \frac{\pi(x^*)\, q(x \mid x^*)}{\pi(x)\, q(x^* \mid x)}\Big\}, \qquad
#   \text{else stay at } x.$$
# Then as much probability flows from $x$ to $x^*$ as back (**detailed balance**),
# $\pi(x) P(x, x^*) = \pi(x^*) P(x^*, x)$, so a chain that has distribution $\pi$ keeps it. Only the *ratio* of
# densities is needed: the constant that makes a posterior hard cancels. With five states one can write down the whole
# matrix $P$.

# %%
target = np.array([1.0, 2.0, 8.0, 3.0, 1.0])
target /= target.sum()
states = len(target)
P = np.zeros((states, states))
for i in range(states):
    for j in (i - 1, i + 1):  # propose a neighbour, each with probability one half
        if 0 <= j < states:
            P[i, j] = 0.5 * min(1.0, target[j] / target[i])
    P[i, i] = 1.0 - P[i].sum()
flow = target[:, None] * P
print(pd.DataFrame(P).round(3))
assert np.allclose(flow, flow.T)  # detailed balance
assert np.allclose(target @ P, target)  # so the target is stationary
assert np.allclose(np.linalg.matrix_power(P, 500)[0], target)  # and reached from anywhere
second = np.sort(np.linalg.eigvals(P).real)[-2]
print(f"The distance from the target shrinks by the factor {second:.3f} with every step.")

# %% [markdown]
# ## 2. One parameter
#
# New cases of a disease among cattle, in the first of four periods, all herds together: what is the log odds $\theta$
# of falling ill? Likelihood binomial, prior $N(0, 2.5^2)$. In one dimension a grid has the answer, so we can watch
# the sampler find it.

# %%
cattle = bg.load_dataset("cbpp")
first = cattle[cattle["period"] == "1"]
ill, total = int(first["incidence"].sum()), int(first["size"].sum())
print(f"{ill} of {total}")


def log_posterior(theta: float) -> float:
    """Return the log posterior density of the log odds, but for a constant."""
    return ill * theta - total * np.logaddexp(0.0, theta) - 0.5 * (theta / 2.5) ** 2


def random_walk(
    log_density: Callable[[float], float], start: float, scale: float, draws: int
) -> tuple[np.ndarray, float]:
    """Return a chain of normal steps of sd `scale`, and the share of moves accepted."""
    chain, accepted = np.empty(draws), 0
    here, value = start, log_density(start)
    for i in range(draws):
        there = here + scale * rng.normal()
        proposed = log_density(there)
        if np.log(rng.uniform()) < proposed - value:  # a symmetric proposal: q cancels
            here, value, accepted = there, proposed, accepted + 1
        chain[i] = here
    return chain, accepted / draws


# %% [markdown]
# How much is a chain worth? With autocorrelations $\rho_k$ the mean of $n$ draws has the variance of the mean of
# $$\mathrm{ESS} = \frac{n}{1 + 2\sum_{k \ge 1} \rho_k}$$
# independent ones. The sum is cut where the sum of two neighbouring terms first becomes negative (Geyer 1992).


# %%
def autocorrelation(chain: np.ndarray, lags: int) -> np.ndarray:
    """Return the autocorrelations at lags 0, 1, ..., lags - 1."""
    centred = chain - chain.mean()
    power = np.abs(np.fft.rfft(centred, 2 * len(chain))) ** 2
    covariance = np.fft.irfft(power)[:lags]
    return covariance / covariance[0]


def effective_size(chain: np.ndarray) -> float:
    """Return the number of independent draws that a chain is worth, by Geyer's initial positive sequence."""
    rho = autocorrelation(chain, len(chain) // 2 * 2)
    pairs = rho[::2] + rho[1::2]
    end = np.argmax(pairs < 0) if np.any(pairs < 0) else len(pairs)
    return len(chain) / max(2 * pairs[:end].sum() - 1, 1.0)


# %%
grid = np.linspace(-3, 1, 4001)
density = np.exp(log_posterior(grid) - log_posterior(grid).max())
density /= np.trapezoid(density, grid)
mean = np.trapezoid(density * grid, grid)
sd = np.sqrt(np.trapezoid(density * (grid - mean) ** 2, grid))
draws = 4_000 if quick else 20_000
chains, rows = {}, []
for scale in (0.02, 0.4, 10.0):
    chains[scale], rate = random_walk(log_posterior, 0.0, scale, draws)
    kept = chains[scale][draws // 10 :]
    size = effective_size(kept)
    rows.append((scale, rate, kept.mean(), kept.std(), size, kept.std() / np.sqrt(size)))
table = pd.DataFrame(rows, columns=["scale", "accepted", "mean", "sd", "ESS", "error"]).set_index("scale")
print(table.round(3))
print(f"exact: mean {mean:.3f}, sd {sd:.3f}")
good = table.loc[0.4]
assert abs(good["mean"] - mean) < 4 * good["error"]
assert good["ESS"] > 4 * max(table.loc[0.02, "ESS"], table.loc[10.0, "ESS"])
assert table.loc[0.02, "accepted"] > 0.9
assert table.loc[10.0, "accepted"] < 0.05

# %% [markdown]
# Too small a step is nearly always accepted and goes nowhere; too large a one is nearly always refused. In one
# dimension about 44 % accepted is best for a normal target, at a step of 2.4 posterior standard deviations.

# %%
figure, axes = plt.subplots(3, 3, figsize=(11, 6.4), layout="constrained", width_ratios=(2.2, 1.2, 1.2))
for row, (scale, chain) in zip(axes, chains.items(), strict=True):
    row[0].plot(chain[:1500], color="#0072B2", linewidth=0.6)
    row[0].set(ylim=(mean - 5 * sd, 0.1), ylabel="log odds")
    row[0].set_title(f"scale {scale:g}: {table.loc[scale, 'accepted']:.0%} accepted", loc="left", fontsize=10)
    row[1].bar(np.arange(40), autocorrelation(chain[draws // 10 :], 40), color="#767676", width=0.8)
    row[1].set_ylim(-0.1, 1)
    row[1].set_title(f"ESS {table.loc[scale, 'ESS']:,.0f} of {0.9 * draws:,.0f}", loc="left", fontsize=10)
    row[2].hist(chain[draws // 10 :], 40, density=True, color="#D9D9D9")
    row[2].plot(grid, density, color="#D55E00", linewidth=1.4)
    row[2].set(xlim=(mean - 4.5 * sd, mean + 4.5 * sd), yticks=[], ylim=(0, 1.6 * density.max()))
axes[2, 0].set_xlabel("draw")
axes[2, 1].set_xlabel("lag")
axes[2, 2].set_xlabel("log odds; the line is exact")
figure.savefig(figures / "03-scales.png", dpi=150)

# %% [markdown]
# ## 3. A mixed model, one coordinate at a time
#
# Now herds differ: $\mathrm{logit}\,p = x'\beta + \sigma u_j$, $u_j \sim N(0, 1)$. Twenty unknowns: four
# coefficients, $\log \sigma$ and fifteen $u_j$. The textbook's sampler moves them in turn. Priors:
# $\beta \sim N(0, 2.5^2)$, $\sigma \sim \mathrm{Exponential}(1)$. Since we walk on $\log \sigma$, the density needs
# the Jacobian $d\sigma / d\log\sigma = \sigma$: to forget it is the most frequent mistake.

# %%
y, size = cattle["incidence"].to_numpy(), cattle["size"].to_numpy()
X = np.column_stack([np.ones(len(y)), *(cattle["period"] == p for p in ("2", "3", "4"))])
herd = cattle["herd"].cat.codes.to_numpy()


def log_joint(x: np.ndarray) -> float:
    """Return the log density of x = (beta, log sigma, u), but for a constant."""
    beta, log_sigma, u = x[:4], x[4], x[5:]
    eta = X @ beta + np.exp(log_sigma) * u[herd]
    likelihood = y @ eta - size @ np.logaddexp(0.0, eta)
    prior = -0.5 * beta @ beta / 2.5**2 - np.exp(log_sigma) - 0.5 * u @ u
    return likelihood + prior + log_sigma  # the last is the Jacobian


def sweep(x: np.ndarray, value: float, scale: float) -> tuple[np.ndarray, float, np.ndarray]:
    """Move every coordinate once; return the new point, its log density, and which moves were accepted."""
    accepted = np.zeros(len(x), dtype=bool)
    for j in range(len(x)):
        there = x.copy()
        there[j] += scale * rng.normal()
        proposed = log_joint(there)
        if np.log(rng.uniform()) < proposed - value:
            x, value, accepted[j] = there, proposed, True
    return x, value, accepted


sweeps = 1_000 if quick else 10_000
x, path, taken = np.zeros(20), np.empty((sweeps, 20)), np.empty((sweeps, 20), dtype=bool)
value = log_joint(x)
for i in range(sweeps):
    x, value, taken[i] = sweep(x, value, 0.5)
    path[i] = x
labels = ["Intercept", "period[2]", "period[3]", "period[4]", "sd[herd, Intercept]"]
path[:, 4] = np.exp(path[:, 4])
kept = path[sweeps // 5 :]
worth = np.array([effective_size(kept[:, j]) for j in range(5)])
mine = pd.DataFrame(
    {
        "mean": kept[:, :5].mean(axis=0),
        "error": kept[:, :5].std(axis=0) / np.sqrt(worth),
        "accepted": taken[:, :5].mean(axis=0),
        "ESS per 1000": 1000 * worth / len(kept),
    },
    index=labels,
)
print(mine.round(3))

# %% [markdown]
# The engine has this sampler. `keep_proposals=True` keeps what was refused, so that the path can be drawn. The scale
# that we give stays; without `scale=` it is tuned, coordinate by coordinate.

# %%
priors = {
    "Intercept": bg.Prior("Normal", mu=0, sigma=2.5),
    "fixed": bg.Prior("Normal", mu=0, sigma=2.5),
    "sd": bg.Prior("Exponential", lam=1),
}
model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", cattle, family="binomial", priors=priors)
length = {"draws": 700, "tune": 200, "chains": 2} if quick else {"draws": 3000, "tune": 500, "chains": 4}
walk = model.fit("metropolis", seed=1, proposal="random-walk", scale=0.5, keep_proposals=True, **length)
print(walk)

# %%
figure = bg.plots.metropolis_path(walk, ["Intercept", "sd[herd, Intercept]"], draws=120)
figure.savefig(figures / "03-path.png", dpi=150)
figure

# %%
figure = bg.plots.acceptance(walk)
figure.savefig(figures / "03-acceptance.png", dpi=150)
figure

# %% [markdown]
# Both are chains for the same posterior, so their means differ by Monte Carlo error alone. A third opinion needs no
# chain: Laplace's approximation with 15 nodes of quadrature per herd.

# %%
reference = model.fit("laplace", seed=1, quadrature=15).summary()
theirs = walk.summary()
print(mine[["mean"]].join(theirs["mean"].rename("engine")).join(reference["mean"].rename("quadrature")).round(3))
for name in labels:
    error = np.hypot(mine.loc[name, "error"], theirs.loc[name, "mcse_mean"])
    assert abs(mine.loc[name, "mean"] - theirs.loc[name, "mean"]) < 4 * error
    assert abs(theirs.loc[name, "mean"] - reference.loc[name, "mean"]) < 4 * theirs.loc[name, "mcse_mean"] + 0.02

# %% [markdown]
# ## 4. Blocks
#
# Why is the walk worth so little per draw? The intercept and the fifteen herds mean the same thing to the data: all
# herds up and the intercept down changes nothing. One coordinate at a time can follow such a ridge in small steps
# only. `proposal="block"` moves $\sigma$ with all coefficients along, then all coefficients at once, in coordinates
# in which the posterior is nearly round (see [Metropolis](../how-to/metropolis.md)).

# %%
block = model.fit("metropolis", seed=1, proposal="block", **length)
compared = pd.DataFrame(
    {
        name: 1000 * fit.summary()["ess_bulk"] / fit.draws["beta"].sizes["draw"] / fit.draws["beta"].sizes["chain"]
        for name, fit in {"random walk": walk, "block": block}.items()
    }
)
print("ESS per 1,000 draws")
print(compared.round(0))
print(block.verdict)
assert (compared["block"] > 3 * compared["random walk"]).all()
for name in labels:
    error = np.hypot(block.summary().loc[name, "mcse_mean"], theirs.loc[name, "mcse_mean"])
    assert abs(block.summary().loc[name, "mean"] - theirs.loc[name, "mean"]) < 4 * error

# %% [markdown]
# Running means: those of the walk wander for as long as the ones of the blocks need to settle.

# %%
shown = ["Intercept", "period[4]", "sd[herd, Intercept]"]
figure = bg.plots.running_mean(walk, shown)
figure.savefig(figures / "03-means-walk.png", dpi=150)
figure

# %%
figure = bg.plots.running_mean(block, shown)
figure.savefig(figures / "03-means-block.png", dpi=150)
figure

# %% [markdown]
# The same moves as a step method of PyMC, for a model of your own code. `model.graph` is an ordinary PyMC model, and
# `bg.steps` has `BlockLaplace`, `Iwls` and `RandomWalk`.

# %%
few = {"draws": 100, "tune": 50} if quick else {"draws": 500, "tune": 500}
with model.graph:
    tree = pm.sample(
        step=bg.steps.BlockLaplace(model),
        chains=2,
        cores=1,
        random_seed=1,
        progressbar=False,
        compute_convergence_checks=False,
        **few,
    )
by_pymc = tree["posterior"]["beta"].values.reshape(-1, 4).mean(axis=0)
print(pd.Series(by_pymc, labels[:4]).round(2))
error = 4 * reference.loc[labels[:4], "sd"].to_numpy() / np.sqrt(100)  # at least 100 independent draws
assert np.all(np.abs(by_pymc - reference.loc[labels[:4], "mean"].to_numpy()) < error)

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* Leave out the Jacobian in `log_joint`. Which prior for $\sigma$ does that amount to, and how far does
#    the posterior mean of $\sigma$ move?
# 2. *(easy)* Start the three chains of part 2 at $\theta = 5$. How many draws must be thrown away at each scale?
# 3. *(medium)* Propose on the scale of $\sigma$ itself, with moves to negative values refused. Then propose
#    $\sigma^* = \sigma e^{0.5 z}$ and find the correction $q(\sigma \mid \sigma^*) / q(\sigma^* \mid \sigma)$.
# 4. *(medium)* Parametrise by $b_j = \sigma u_j$ instead of $u_j$ (*centred*). Which of the two mixes better here,
#    and which with 500 animals in each herd?
# 5. *(medium)* Find the best scale of each coordinate by trying: 0.44 accepted. Compare with `model.fit("metropolis",
#    proposal="random-walk")`, which tunes, in its `step_size` statistics.
# 6. *(hard)* Add a move that shifts the intercept by $\delta$ and every $b_j$ by $-\delta$. It is symmetric; why is
#    its acceptance so high, and what does it do to the ESS of the intercept?
#
# ## Hints
#
# 1. Walking on $\log\sigma$ with density $p(\sigma)$ and no Jacobian is the prior $p(\sigma)/\sigma$, which piles up
#    at zero: $\sigma$ becomes smaller.
# 2. Far out all moves away from the mass are refused, so a chain advances by $\mathrm{E}|z|/2 \approx 0.4$ scales per
#    draw: some 800 draws at 0.02, 40 at 0.4.
# 3. $q(\sigma^* \mid \sigma)$ is lognormal with density proportional to $1/\sigma^*$: the correction is
#    $\sigma^*/\sigma$, the Jacobian in another dress.
# 4. With little data per group $u$ is nearly independent of $\sigma$ in the posterior, with much data $b$ is.
# 5. `walk.data["sample_stats"]` has the variables; scales near 2.4 conditional standard deviations.
# 6. The likelihood does not change at all; only the prior of the $b_j$ does. The intercept now moves along the ridge.
