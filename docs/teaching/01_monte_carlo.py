# %% [markdown]
# # Monte Carlo and importance sampling: a tail, and the likelihood of a mixed model
#
# An integral is a mean, and a mean can be estimated by drawing. How well depends on where one draws. First for a
# number that everybody knows, $P(Z > 2)$; then for the integral that every mixed model needs.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import special, stats

import bayesglmm as bg

quick = "BAYESGLMM_QUICK" in os.environ  # short runs, for tests
figures = Path("teaching-figures")
figures.mkdir(exist_ok=True)
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
rng = np.random.default_rng(1)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Return a mean of independent draws and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


# %% [markdown]
# ## 1. The probability of a tail
#
# With $Z \sim N(0, 1)$,
# $$p = P(Z > 2) = \int 1\{z > 2\}\,\varphi(z)\,dz = \mathrm{E}\,1\{Z > 2\}.$$
# **Naive Monte Carlo**: draw $z_1, \dots, z_n$ from $\varphi$ and count. The variance of one term is $p(1 - p)$, so
# the standard error is $\sqrt{p(1-p)/n}$: a hundred times as many draws for one more digit, in any dimension.

# %%
n = 10_000
exact = stats.norm.sf(2)
naive, naive_error = mean_and_error(rng.normal(size=n) > 2)
print(f"exact {exact:.5f}, naive Monte Carlo {naive:.5f} with standard error {naive_error:.5f}")
assert abs(naive - exact) < 4 * naive_error

# %% [markdown]
# Only one draw in 44 falls where something happens. **Importance sampling** draws from another density $q$ and
# corrects with weights:
# $$p = \int 1\{z > 2\}\,\frac{\varphi(z)}{q(z)}\,q(z)\,dz
#     \approx \frac1n \sum_i 1\{z_i > 2\}\,w_i, \qquad w_i = \frac{\varphi(z_i)}{q(z_i)}, \quad z_i \sim q.$$
# Let $q$ be the normal density moved to $\mu$. Then $w(z) = \exp(\mu^2/2 - \mu z)$.


# %%
def shifted(mu: float, draws: int) -> np.ndarray:
    """Return the terms of the importance sampling sum with draws from N(mu, 1)."""
    z = rng.normal(mu, 1.0, draws)
    return (z > 2) * np.exp(0.5 * mu**2 - mu * z)


better, better_error = mean_and_error(shifted(2.0, n))
print(f"importance sampling from N(2, 1): {better:.5f} with standard error {better_error:.5f}")
assert abs(better - exact) < 4 * better_error

# %% [markdown]
# How much was gained? The variance of one term can be written down, since
# $\varphi(z)^2/\varphi(z - \mu) = e^{\mu^2} \varphi(z + \mu)$:
# $$\mathrm{Var}_\mu = e^{\mu^2} P(Z > 2 + \mu) - p^2,$$
# and $\mu = 0$ is naive Monte Carlo. The ratio of the variances is the number of naive draws that one draw replaces.


# %%
def variance(mu: np.ndarray | float) -> np.ndarray | float:
    """Return the variance of one importance sampling term, exactly."""
    return np.exp(np.square(mu) + stats.norm.logsf(2 + np.asarray(mu))) - exact**2


shifts = np.linspace(-0.5, 4.0, 181)
best = shifts[np.argmin(variance(shifts))]
ratio, measured = variance(0.0) / variance(2.0), (naive_error / better_error) ** 2
print(f"variance ratio at 2: {ratio:.1f}, measured {measured:.1f}; best shift {best:.2f}")
assert np.isclose(variance(0.0), exact * (1 - exact))
assert abs(measured / ratio - 1) < 0.3  # both variances come from 10,000 draws: their ratio is known to about 7 %

# %% [markdown]
# The best shift is a little beyond 2: the draws should lie where *integrand times density* is large. Moved too far,
# the few draws near 2 carry huge weights, and the estimate is worse than without any trick.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
z = np.linspace(-4, 6, 400)
left.plot(z, stats.norm.pdf(z), color="#767676", label="φ(z): one draw in 44 counts")
left.plot(z, stats.norm.pdf(z, 2), color="#0072B2", label="q(z) = φ(z − 2): one in two")
left.fill_between(z[z > 2], stats.norm.pdf(z[z > 2]), color="#D55E00", label="what is wanted")
left.set(xlabel="z", ylim=(0, 0.56), title="Two places to draw from")
left.legend(fontsize=8, loc="upper left")
right.semilogy(shifts, np.sqrt(variance(shifts)) / exact, color="#0072B2", label="exact")
tried = np.arange(0.0, 4.5, 0.5)
simulated = [np.std(shifted(mu, n)) / exact for mu in tried]
right.semilogy(tried, simulated, "o", color="#D55E00", markersize=5, label=f"from {n:,} draws")
right.axvline(best, color="#767676", linewidth=0.8, linestyle=":")
right.set(xlabel="shift μ", title="Standard deviation of one term, relative to p")
right.set_yticks([1.5, 2, 3, 5, 10], ["1.5", "2", "3", "5", "10"])
right.minorticks_off()
right.legend(fontsize=8)
figure.savefig(figures / "01-tail.png", dpi=150)

# %% [markdown]
# Is the standard error honest? Repeat the whole experiment: about 95 of 100 intervals of two standard errors should
# hold the truth.

# %%
repeats = 400
inside = []
for _ in range(repeats):
    estimate, error = mean_and_error(shifted(2.0, 1000))
    inside.append(abs(estimate - exact) < 1.96 * error)
print(f"{np.mean(inside):.1%} of {repeats} intervals hold the truth")
assert abs(np.mean(inside) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / repeats)

# %% [markdown]
# ## 2. The likelihood of a mixed model
#
# New cases of a disease among cattle in 15 herds over four periods:
# $$y_{ij} \mid b_i \sim \mathrm{Binomial}(n_{ij}, p_{ij}), \quad \mathrm{logit}\,p_{ij} = x_{ij}'\beta + b_i, \quad
#   b_i \sim N(0, \sigma^2).$$
# Nobody has seen the $b_i$, so the likelihood averages over them: one integral for each herd,
# $$L(\beta, \sigma) = \prod_i L_i, \qquad
#   L_i = \int \Big[\prod_j p(y_{ij} \mid b)\Big]\, N(b; 0, \sigma^2)\, db.$$
# The engine computes it by quadrature, and we take its estimates as the place at which to compare.

# %%
cattle = bg.load_dataset("cbpp")
model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", cattle, family="binomial")
fit = model.fit("laplace", objective="ml", quadrature=15)
print(fit)

# %%
eta = fit.predict(groups="typical", scale="link")["estimate"].to_numpy()  # x'beta
sigma = float(fit.varcorr()["estimate"].iloc[0])
y, size = cattle["incidence"].to_numpy(), cattle["size"].to_numpy()
herds = cattle["herd"].cat.categories
member = (cattle["herd"].to_numpy()[:, None] == herds.to_numpy()).astype(float)  # rows times herds
constant = special.gammaln(size + 1) - special.gammaln(y + 1) - special.gammaln(size - y + 1)


def log_likelihood(b: np.ndarray, fixed: np.ndarray = eta) -> np.ndarray:
    """Return log p(y_i | b_i) of every herd for effects of shape (draws, herds)."""
    linear = fixed + b @ member.T
    return (constant + y * linear - size * np.logaddexp(0.0, linear)) @ member


# %% [markdown]
# One dimension at a time, a fine grid is as good as exact. Its sum over herds is the log-likelihood that the engine
# reports.

# %%
grid = np.linspace(-8 * sigma, 8 * sigma, 2001)
on_grid = log_likelihood(np.repeat(grid[:, None], len(herds), axis=1)) + stats.norm.logpdf(grid, 0, sigma)[:, None]
truth = np.log(np.trapezoid(np.exp(on_grid), grid, axis=0))
print(f"grid {truth.sum():.6f}, engine {fit.loglik:.6f}")
assert abs(truth.sum() - fit.loglik) < 1e-4

# %% [markdown]
# **Naive Monte Carlo** draws $b$ from $N(0, \sigma^2)$ and averages the likelihood of each herd. The logarithm of a
# mean with relative standard error $r$ has standard error $r$ (delta method); errors of independent herds add as
# variances.
#
# **Importance sampling** draws from the normal density that Laplace's approximation puts in the place of the
# integrand: centred at the herd's conditional mode, with its curvature. `fit.ranef()` has both.

# %%
draws = 5_000 if quick else 50_000
modes = fit.ranef()["estimate"].to_numpy()
spreads = fit.ranef()["se"].to_numpy()


def averaged(log_terms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per herd: log of the mean, its standard error, and how many equal weights the terms are worth."""
    top = log_terms.max(axis=0)
    terms = np.exp(log_terms - top)
    error = terms.std(axis=0, ddof=1) / terms.mean(axis=0) / np.sqrt(len(terms))
    return top + np.log(terms.mean(axis=0)), error, terms.sum(axis=0) ** 2 / np.square(terms).sum(axis=0)


def log_weights(b: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return log of integrand over proposal density."""
    return log_likelihood(b) + stats.norm.logpdf(b, 0, sigma) - log_q


shape = (draws, len(herds))
from_prior = rng.normal(0, sigma, shape)
from_normal = modes + spreads * rng.normal(size=shape)
from_t = modes + spreads * rng.standard_t(5, size=shape)
terms = {
    "prior": log_likelihood(from_prior),
    "Laplace normal": log_weights(from_normal, stats.norm.logpdf(from_normal, modes, spreads)),
    "Laplace t, 5 df": log_weights(from_t, stats.t.logpdf(from_t, 5, modes, spreads)),
}
rows = []
for name, log_terms in terms.items():
    estimate, error, worth = averaged(log_terms)
    total, total_error = estimate.sum(), np.sqrt(np.square(error).sum())
    rows.append((name, total, total_error, total - truth.sum(), worth.min() / draws))
    assert abs(total - truth.sum()) < 4 * total_error
table = pd.DataFrame(rows, columns=["draws from", "loglik", "error", "off by", "least share"]).set_index("draws from")
print(table.round(4))
gain = float(table["error"]["prior"] / table["error"]["Laplace normal"]) ** 2
print(f"One draw from Laplace's normal is worth {gain:.0f} from the prior.")
assert gain > 20

# %% [markdown]
# `least share` is the effective sample size $(\sum w)^2 / \sum w^2$ as a share of the draws, in the herd where it is
# smallest. Laplace's own answer is the importance weight of *one* draw, the mode itself:
# $\log L_i \approx \log f_i(\hat b_i) + \tfrac12 \log 2\pi + \log s_i$. At the estimates of the Laplace fit that
# reproduces its log-likelihood, which is off by the little that the normal density misses.

# %%
laplace = model.fit("laplace", objective="ml")
fixed = laplace.predict(groups="typical", scale="link")["estimate"].to_numpy()
found, sd = laplace.ranef(), float(laplace.varcorr()["estimate"].iloc[0])
mode, spread = found["estimate"].to_numpy(), found["se"].to_numpy()
by_hand = (
    log_likelihood(mode[None], fixed)[0] + stats.norm.logpdf(mode, 0, sd) + 0.5 * np.log(2 * np.pi) + np.log(spread)
)
print(f"Laplace by hand {by_hand.sum():.6f}, engine {laplace.loglik:.6f}; quadrature {fit.loglik:.6f}")
assert abs(by_hand.sum() - laplace.loglik) < 1e-5
assert laplace.loglik < fit.loglik

# %% [markdown]
# Now look at one herd: the integrand, the two densities to draw from, and the weights.

# %%
worst = int(np.argmin(averaged(terms["prior"])[2]))
normal, prior = stats.norm.pdf(grid, modes[worst], spreads[worst]), stats.norm.pdf(grid, 0, sigma)
integrand = np.exp(on_grid[:, worst] - truth[worst])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.fill_between(grid, integrand, color="#D9D9D9", label="integrand, area scaled to 1")
left.plot(grid, prior, color="#D55E00", label="prior N(0, σ²)")
left.plot(grid, normal, color="#0072B2", linestyle="--", label="Laplace's normal")
left.set(xlim=(-2, 3), xlabel="effect b", title=f"Herd {herds[worst]}: where to draw?")
left.legend(fontsize=8)
student = stats.t.pdf(grid, 5, modes[worst], spreads[worst])
densities = {"prior": (prior, "#D55E00"), "normal": (normal, "#0072B2"), "t, 5 df": (student, "#009E73")}
for label, (density, colour) in densities.items():
    right.semilogy(grid, integrand / density, color=colour, label=label)
right.axhline(1, color="#767676", linewidth=0.8, linestyle=":")
right.set(xlim=(-2, 4), ylim=(1e-3, 1e3), xlabel="effect b", title="Weight of a draw at b")
right.legend(fontsize=8)
figure.savefig(figures / "01-one-herd.png", dpi=150)

# %% [markdown]
# The weights of Laplace's normal are flat where the mass is. Far out they are not: the integrand falls as
# $e^{-b^2/2\sigma^2}$ times a likelihood that falls only exponentially, the proposal as $e^{-b^2/2s^2}$, so the
# weights grow without bound. Where $s^2 < \sigma^2/2$ their variance is even *infinite*. In this herd no draw ever
# comes near the place where that begins; with few rows per group it is nearer. A proposal with heavier tails,
# Student's t, costs a few draws and bounds the weights. The Pareto k of `fit.diagnose()` measures exactly this: the
# tail of the weights of the engine's own draws.

# %%
print(f"{np.sum(spreads**2 < sigma**2 / 2)} of {len(herds)} herds have weights of infinite variance with the normal")
far = np.full((1, len(herds)), -200.0)
assert np.all(log_weights(far, stats.norm.logpdf(far, modes, spreads)) > 1000)
assert np.all(log_weights(far, stats.t.logpdf(far, 5, modes, spreads)) < -1000)
assert (integrand / student).max() < 2

# %% [markdown]
# Why not draw all 15 effects at once? That is one integral in 15 dimensions, and the weights multiply.

# %%
together = {name: averaged(log_terms.sum(axis=1, keepdims=True)) for name, log_terms in terms.items()}
for name, (estimate, error, worth) in together.items():
    print(f"{name:<16}{estimate[0]:10.3f} ± {error[0]:.3f}   effective draws {worth[0]:9.1f} of {draws:,}")
assert together["prior"][2][0] < 0.01 * draws
assert together["Laplace normal"][2][0] > 0.3 * draws

# %%
figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
counts = np.unique(np.geomspace(20, draws, 60).astype(int))
for (name, log_terms), colour in zip(terms.items(), ("#D55E00", "#0072B2", "#009E73"), strict=True):
    sums = log_terms.sum(axis=1)
    running = [special.logsumexp(sums[:k]) - np.log(k) for k in counts]
    ax.semilogx(counts, running, color=colour, label=f"all herds at once, {name}")
ax.axhline(truth.sum(), color="#222222", linewidth=0.9, linestyle=":", label="exact")
ax.set(xlabel="draws", ylabel="log-likelihood", title="Fifteen dimensions: the prior hardly ever finds the mass")
ax.legend(fontsize=8)
figure.savefig(figures / "01-dimensions.png", dpi=150)

# %% [markdown]
# The engine uses the same idea to mend its own draws: `resample=True` weights Laplace's draws by exact over
# approximate density and draws again in proportion.

# %%
mended = model.fit("laplace", seed=1, resample=True)
print(mended.verdict)
print(mended.diagnose()[["check", "value", "threshold", "verdict"]].round(3).to_string(index=False))

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* Estimate $P(Z > 4)$ both ways. How many naive draws would a relative standard error of 10 % need?
# 2. *(easy)* Redo part 1 with draws from an exponential density that starts at 2, $q(z) = \lambda e^{-\lambda(z-2)}$.
#    Which $\lambda$ is best, and how does it compare with $N(2, 1)$?
# 3. *(medium)* Self-normalised weights, $\sum w h / \sum w$, do not need the constant of the density. Estimate the
#    conditional mean of one herd's effect with Laplace's normal as the proposal, and compare with `fit.ranef()`,
#    which is a mode. Why do they differ?
# 4. *(medium)* *Antithetic* draws use $z$ and $-z$. How much do they save for $\log L_i$ with draws from Laplace's
#    normal? Why is it a lot?
# 5. *(hard)* Compute the log-likelihood on a grid of $\sigma$ by importance sampling, once with the same standard
#    normal draws for every $\sigma$ and once with fresh ones. Draw both curves. Which one can be maximised?
# 6. *(hard)* Estimate `model.fit("laplace").log_evidence`, the likelihood averaged over the prior of all parameters,
#    by importance sampling from a t distribution around the posterior mean.
#
# ## Hints
#
# 1. $P(Z > 4) \approx 3.17 \times 10^{-5}$; $n = (1 - p)/(p\,r^2)$ with $r = 0.1$ is three million.
# 2. Every draw counts. The weights are $\varphi(z)/q(z)$, and a $\lambda$ near 2.6 makes them nearly constant: the
#    log density falls with slope 2 at $z = 2$, and ever faster. The variance is about 240 times smaller than with
#    $N(2, 1)$.
# 3. The integrand of a herd with few cases is skewed, so mode and mean differ by about a tenth of a standard
#    deviation.
# 4. Near the mode the weights are almost an odd function plus a constant; the odd part cancels in every pair.
# 5. With common random numbers the curve is smooth and its maximum is near the engine's 0.65; with fresh ones the
#    noise has peaks of its own.
# 6. Draws: `fit.draws`; density of the model: product of likelihood and the priors that `print(model)` lists. Work
#    with $\log\sigma$ and its Jacobian.
