# %% [markdown]
# # Laplace, quadrature, MCMC: three ways to one integral
#
# Every likelihood of a mixed model holds an integral for each group. Laplace's approximation puts a normal density in
# its place, quadrature a weighted sum, and MCMC draws. Here is one such integral at close range, for data where the
# cheapest way fails.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import optimize, special, stats

import bayesglmm as bg

quick = "BAYESGLMM_QUICK" in os.environ  # short runs, for tests
figures = Path("teaching-figures")
figures.mkdir(exist_ok=True)
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})

# %% [markdown]
# ## 1. Three answers per person
#
# 316 persons said of annoying situations whether they would curse, scold or shout. We take three of the 24 questions,
# *I would curse* in three situations, answered yes or no: the Rasch model
# $$\mathrm{logit}\,P(y_{ik} = 1) = \beta_k + b_i, \qquad b_i \sim N(0, \sigma^2), \quad k = 1, 2, 3.$$

# %%
everything = bg.load_dataset("VerbAgg")


def questions(items: list[str]) -> pd.DataFrame:
    """Return the answers to some of the questions."""
    chosen = everything[everything["item"].isin(items)].copy()
    chosen["item"] = chosen["item"].cat.remove_unused_categories()
    return chosen


answers = questions(["S1DoCurse", "S2DoCurse", "S3DoCurse"])
model = bg.Model("r2 ~ 0 + item + (1 | id)", answers, family="bernoulli")
laplace = model.fit("laplace", objective="ml")
exact = model.fit("laplace", objective="ml", quadrature=25)
both = pd.DataFrame({"Laplace": laplace.summary()["estimate"], "quadrature=25": exact.summary()["estimate"]})
print(both.round(3))
print(f"log-likelihood: {laplace.loglik:.3f} and {exact.loglik:.3f}")
assert both["Laplace"].iloc[-1] < 0.9 * both["quadrature=25"].iloc[-1]

# %% [markdown]
# The standard deviation comes out 12 % too small. Why? The integrand of a person with $s$ times yes is
# $$f_s(b) = \frac{e^{\sum_k y_k \beta_k + s b}}{\prod_k (1 + e^{\beta_k + b})}\; \varphi(b; \sigma^2).$$
# It depends on the answers through their number alone, but for a constant: there are only four integrands to look at.

# %%
beta = exact.fixed()["estimate"].to_numpy()
sigma = float(exact.varcorr()["estimate"].iloc[0])
wide = answers.assign(yes=answers["r2"] == "Y").pivot(index="id", columns="item", values="yes").to_numpy(dtype=float)
scores = wide.sum(axis=1).astype(int)


def log_integrand(b: np.ndarray, score: int, beta: np.ndarray = beta, sigma: float = sigma) -> np.ndarray:
    """Return log f_s(b) without the constant sum of y_k beta_k."""
    return score * b - np.logaddexp(0, beta[:, None] + b).sum(axis=0) + stats.norm.logpdf(b, 0, sigma)


def normal_at_mode(score: int, beta: np.ndarray = beta, sigma: float = sigma) -> tuple[float, float]:
    """Return mode and standard deviation of Laplace's normal."""

    def slope(b: float) -> float:
        return score - special.expit(beta + b).sum() - b / sigma**2

    mode = optimize.brentq(slope, -10 * sigma, 10 * sigma)
    p = special.expit(beta + mode)
    return mode, float((p @ (1 - p) + 1 / sigma**2) ** -0.5)


grid = np.linspace(-12 * sigma, 12 * sigma, 20_001)
rows = []
for s in range(4):
    values = np.exp(log_integrand(grid, s))
    area = np.trapezoid(values, grid)
    mean = np.trapezoid(values * grid, grid) / area
    mode, spread = normal_at_mode(s)
    sd = np.sqrt(np.trapezoid(values * (grid - mean) ** 2, grid) / area)
    by_laplace = log_integrand(np.array([mode]), s)[0] + 0.5 * np.log(2 * np.pi) + np.log(spread)
    rows.append((np.sum(scores == s), mode, spread, mean, sd, by_laplace - np.log(area)))
table = pd.DataFrame(rows, columns=["persons", "mode", "sd Laplace", "mean", "sd exact", "log error"]).rename_axis(
    "score"
)
print(table.round(3))

# %% [markdown]
# The error is per person, and 316 of them add up. A person who said yes three times might have $b = 2$ as well as 5:
# the integrand falls steeply on one side and slowly on the other, and the normal density, which looks at the
# curvature at the top only, gets the mean, the spread and the area wrong.

# %%
figure, axes = plt.subplots(2, 4, figsize=(11, 4.6), layout="constrained", sharex=True, height_ratios=(1.6, 1))
b = np.linspace(-9, 9, 601)
for s, (top, low) in enumerate(axes.T):
    mode, spread = table.loc[s, "mode"], table.loc[s, "sd Laplace"]
    peak = log_integrand(np.array([mode]), s)[0]
    curve, normal = np.exp(log_integrand(b, s) - peak), np.exp(-0.5 * ((b - mode) / spread) ** 2)
    top.fill_between(b, curve, color="#D9D9D9", label="integrand")
    top.plot(b, normal, color="#0072B2", linestyle="--", label="Laplace's normal")
    top.axvline(table.loc[s, "mean"], color="#D55E00", linewidth=1, label="exact mean")
    top.set_title(f"{s} of 3 yes: {table.loc[s, 'persons']:.0f} persons", fontsize=10)
    top.set_yticks([])
    low.semilogy(b, curve / normal, color="#0072B2")
    low.axhline(1, color="#767676", linewidth=0.8, linestyle=":")
    low.set(ylim=(0.1, 20), xlabel="b")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
axes[1, 0].set_ylabel("integrand / normal")
figure.savefig(figures / "05-integrands.png", dpi=150)

# %% [markdown]
# The engine draws the same for any model, in units of the standard deviation of the normal. Where $t(z)$ is flat,
# Laplace is exact.

# %%
one_of_each = [str(answers["id"].cat.categories[np.flatnonzero(scores == s)[0]]) for s in range(4)]
figure = bg.plots.laplace_quality(laplace, levels=one_of_each)
figure.savefig(figures / "05-quality.png", dpi=150)
figure

# %% [markdown]
# ## 2. Quadrature
#
# Gauss-Hermite quadrature with $K$ nodes $z_k$ and weights $w_k$ is exact for a polynomial of degree $2K - 1$ times
# $e^{-z^2/2}$. Placed at the **prior**, $\int g(b)\,\varphi(b; \sigma^2)\,db \approx \sum_k w_k\, g(\sigma z_k)$.
# **Adaptive** quadrature places it at the mode of the integrand, with its spread $s$:
# $$\int f(b)\,db \approx s \sqrt{2\pi} \sum_k w_k\, e^{z_k^2/2} f(\hat b + s z_k).$$
# With one node ($z = 0$, $w = 1$) that is Laplace's approximation.


# %%
def total(parts: np.ndarray, beta: np.ndarray) -> float:
    """Return the log-likelihood from the log integrals of the four scores."""
    return float(parts[scores].sum() + (wide @ beta).sum())


def adaptive(K: int, beta: np.ndarray = beta, sigma: float = sigma) -> float:
    """Return the log-likelihood by adaptive Gauss-Hermite quadrature."""
    z, w = np.polynomial.hermite_e.hermegauss(K)
    parts = []
    for s in range(4):
        mode, spread = normal_at_mode(s, beta, sigma)
        terms = np.log(w) + 0.5 * z**2 + log_integrand(mode + spread * z, s, beta, sigma)
        parts.append(np.log(spread) + special.logsumexp(terms))  # the weights sum to sqrt(2 pi)
    return total(np.array(parts), beta)


def at_prior(K: int) -> float:
    """Return the log-likelihood by quadrature at the prior."""
    z, w = np.polynomial.hermite_e.hermegauss(K)
    b = sigma * z
    terms = [log_integrand(b, s) - stats.norm.logpdf(b, 0, sigma) for s in range(4)]
    return total(np.array([special.logsumexp(own, b=w / np.sqrt(2 * np.pi)) for own in terms]), beta)


truth = total(np.array([np.log(np.trapezoid(np.exp(log_integrand(grid, s)), grid)) for s in range(4)]), beta)
print(f"grid {truth:.6f}, engine with 25 nodes {exact.loglik:.6f}, by hand with 25 {adaptive(25):.6f}")
assert abs(truth - exact.loglik) < 1e-3
assert abs(adaptive(25) - exact.loglik) < 1e-5
own = laplace.fixed()["estimate"].to_numpy(), float(laplace.varcorr()["estimate"].iloc[0])
assert abs(adaptive(1, *own) - laplace.loglik) < 1e-5  # one node: Laplace

# %%
nodes = np.arange(1, 42)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.semilogy(
    nodes, [abs(at_prior(k) - truth) for k in nodes], "o-", markersize=3, color="#D55E00", label="at the prior"
)
left.semilogy(nodes, [abs(adaptive(k) - truth) for k in nodes], "o-", markersize=3, color="#0072B2", label="adaptive")
left.set(xlabel="nodes", ylabel="error of the log-likelihood", title="316 persons at the maximum")
left.legend(fontsize=8)
rows = []
for k in (1, 3, 5, 9, 15):
    fit = model.fit("laplace", objective="ml", quadrature=k)
    rows.append((k, fit.loglik, *fit.varcorr().loc[0, ["estimate", "se"]]))
search = pd.DataFrame(rows, columns=["nodes", "loglik", "sd", "se"]).set_index("nodes")
print(search.round(4))
right.errorbar(search.index, search["sd"], search["se"], color="#0072B2", marker="o", capsize=3, linewidth=1)
right.axhline(sigma, color="#767676", linewidth=0.8, linestyle=":")
right.set(xlabel="nodes", title="Estimated sd between persons, one standard error")
figure.savefig(figures / "05-nodes.png", dpi=150)
assert abs(search.loc[15, "sd"] - sigma) < 0.005
assert search["sd"].is_monotonic_increasing
assert abs(at_prior(7) - truth) > abs(adaptive(7) - truth)

# %% [markdown]
# ## 3. The same with priors, and MCMC
#
# For a posterior the hyperparameters are averaged, too. MCMC knows no normal density: it draws $b_i$, $\beta$ and
# $\sigma$ together. With enough draws it is right, so it is the judge of the other two.

# %%
fits = {
    "mcmc": model.fit("metropolis", seed=1, draws=300, tune=200, chains=2) if quick else model.fit("nuts", seed=1),
    "laplace": model.fit("laplace", seed=1),
    "quadrature": model.fit("laplace", seed=1, quadrature=15),
}
comparison = bg.compare_engines(fits)
print(comparison)
for name, fit in fits.items():
    print(f"{name}: {fit.verdict}")

# %%
name = "sd[id, Intercept]"
judge = fits["mcmc"].summary().loc[name]
distance = {key: (fit.summary().loc[name, "mean"] - judge["mean"]) / judge["sd"] for key, fit in fits.items()}
print({key: round(float(value), 2) for key, value in distance.items()})
assert fits["laplace"].verdict.word == "bad"  # without having seen the others
assert distance["laplace"] < -0.8
assert abs(distance["quadrature"]) < 4 * judge["mcse_mean"] / judge["sd"] + 0.05

# %% [markdown]
# And the person who always said yes? Laplace's draws are too low and too narrow, because of the normal density and
# because of the $\sigma$ that it made too small. Quadrature mends $\sigma$ and the mean, but its draws of each effect
# still come from a normal density. Draws that are weighted to the exact posterior (`resample=True`, the importance
# sampling of the first notebook) have the right shape as well, without MCMC; they are worth few independent ones, and
# the verdict says so.

# %%
fits["resampled"] = model.fit("laplace", seed=1, resample=True, draws=400 if quick else 1000)
always = one_of_each[3]
effects = {key: fit.draws["b_id"].sel(level_id=always).values.ravel() for key, fit in fits.items()}
moments = {key: (b.mean(), b.std(), stats.skew(b)) for key, b in effects.items()}
print(pd.DataFrame(moments, index=["mean", "sd", "skewness"]).T.round(2))
print(f"resampled: {fits['resampled'].verdict}")
assert moments["laplace"][0] < moments["quadrature"][0] - 0.15
assert abs(moments["quadrature"][2]) < 0.15 < moments["resampled"][2]

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
colours = {"laplace": "#D55E00", "quadrature": "#0072B2", "resampled": "#009E73"}
for key, fit in fits.items():
    for ax, part, limits in zip(
        axes, (effects[key], fit.draws["sd_id"].values.ravel()), ((-3, 9), (1.2, 3.6)), strict=True
    ):
        x = np.linspace(*limits, 300)
        height = stats.gaussian_kde(part, 0.25)(x)
        if key == "mcmc":
            ax.fill_between(x, height, color="#D9D9D9", label=key)
        else:
            ax.plot(x, height, color=colours[key], label=key)
axes[0].set(xlabel="b", yticks=[], title=f"Person {always}, three times yes")
axes[1].set(xlabel="σ", yticks=[], title="Standard deviation between persons")
axes[1].legend(fontsize=8)
figure.savefig(figures / "05-posteriors.png", dpi=150)

# %% [markdown]
# ## 4. Where Laplace does not fail
#
# With more answers per person each integrand becomes more normal, and the error falls; here faster than one over
# their number, since with other questions persons also differ less.

# %%
order = [
    f"S{i}{how}{what}" for what in ("Curse", "Scold", "Shout") for how in ("Do", "Want", "want") for i in (1, 2, 3, 4)
]
order = [item for item in order if item in set(everything["item"].cat.categories)]
rows = []
for count in (3, 6, 12) if quick else (3, 4, 6, 8, 12, 16, 24):
    longer = bg.Model("r2 ~ 0 + item + (1 | id)", questions(order[:count]), family="bernoulli")
    pair = [longer.fit("laplace", objective="ml", quadrature=k).varcorr()["estimate"].iloc[0] for k in (1, 15)]
    rows.append((count, *pair, pair[0] / pair[1] - 1))
more = pd.DataFrame(rows, columns=["answers", "sd Laplace", "sd quadrature", "relative error"]).set_index("answers")
print(more.round(4))
assert abs(more.loc[12, "relative error"]) < 0.5 * abs(more.loc[3, "relative error"])

# %%
figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
ax.loglog(more.index, -more["relative error"], "o-", color="#0072B2", label="Laplace")
ax.loglog(
    more.index,
    -more["relative error"].iloc[0] * more.index[0] / more.index,
    color="#767676",
    linestyle=":",
    label="1/n",
)
ax.set_xticks(more.index, [str(count) for count in more.index])
ax.minorticks_off()
ax.set(xlabel="answers per person", ylabel="sd too small by", title="Laplace's error falls with the rows per group")
ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
ax.legend(fontsize=8)
figure.savefig(figures / "05-rows.png", dpi=150)

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* Repeat part 1 for *I would shout* in three situations. Is the error of Laplace the same?
# 2. *(easy)* Why does a gaussian response make $t(z)$ exactly flat? Try `bg.plots.laplace_quality` on the model
#    `"Yield ~ 1 + (1 | Batch)"` for `Dyestuff`.
# 3. *(medium)* Keep $\beta$ and draw the log error of each score against $\sigma$ from 0.1 to 10. Which score is the
#    worst, and what happens for $\sigma \to 0$?
# 4. *(medium)* Add the next term of the expansion to Laplace's log integral,
#    $\tfrac18 \ell^{(4)} s^4 + \tfrac{5}{24} (\ell^{(3)})^2 s^6$ with derivatives at the mode. How much of the error
#    does it remove for each score?
# 5. *(medium)* Ten thousand rows in ten groups: which of the three ways would you take? And 5,000 groups of two rows?
#    What if persons *and* items are random?
# 6. *(hard)* Write a Metropolis step for $b_i$ that proposes from Laplace's normal (an independence sampler), for
#    fixed $\beta$ and $\sigma$. How does its acceptance depend on the score, and why may it get stuck far out?
#
# ## Hints
#
# 1. Nearly: it depends on $\sigma$ and on the number of rows per person more than on the questions.
# 2. The exponent of the integrand is a quadratic function of $b$.
# 3. For $\sigma \to 0$ the prior dominates and is normal: the error vanishes. For large $\sigma$ scores 0 and 3 have
#    their mass in a region where the likelihood is flat, ending at a soft wall.
# 4. $\ell^{(3)} = -\sum p(1-p)(1-2p)$ and $\ell^{(4)} = -\sum p(1-p)(1 - 6p + 6p^2)$; nearly all of it for 1 and 2.
#    For 0 and 3, whose integrands are skew, it overshoots.
# 5. Laplace; quadrature or NUTS; with crossed effects the integral is no product over persons, so quadrature is out.
# 6. Where the integrand has a heavier tail than the normal, weights $f/q$ grow without bound, and a chain that got
#    there stays long: compare the first notebook.
