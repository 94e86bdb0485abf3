# %% [markdown]
# # Shrinkage: why a group borrows from the others
#
# What is the yield of a batch, the slope of a subject, the rate of a brood? Its own mean (*no pooling*), the mean of
# all (*complete pooling*), or something between? A mixed model decides by how much groups differ, and the compromise
# predicts better than either. Three data sets: yields, lines, counts.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayesglmm as bg

quick = "BAYESGLMM_QUICK" in os.environ  # short runs, for tests
figures = Path("teaching-figures")
figures.mkdir(exist_ok=True)
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
rng = np.random.default_rng(6)
NONE, COMPLETE, PARTIAL = "#D55E00", "#767676", "#0072B2"

# %% [markdown]
# ## 1. Six batches of dyestuff
#
# $y_{ij} = \mu + b_i + e_{ij}$ with five rows per batch. Given the variances, the expected effect of a batch is its
# own deviation times its **reliability**,
# $$\hat b_i = \lambda\,(\bar y_i - \mu), \qquad \lambda = \frac{\sigma_b^2}{\sigma_b^2 + \sigma^2/n}.$$
# Differences between batches count for what they are worth: five noisy rows, or five hundred.

# %%
dyestuff = bg.load_dataset("Dyestuff")
fit = bg.Model("Yield ~ 1 + (1 | Batch)", dyestuff).fit("laplace", objective="ml")
variances = np.square(fit.varcorr()["estimate"].to_numpy())
reliability = variances[0] / (variances[0] + variances[1] / 5)
mu = float(fit.fixed()["estimate"].iloc[0])
batches = dyestuff.groupby("Batch", observed=True)["Yield"].agg(["mean"]).rename(columns={"mean": "none"})
batches["complete"] = dyestuff["Yield"].mean()
batches["partial"] = fit.coef().set_index("level")["estimate"]
batches["by hand"] = mu + reliability * (batches["none"] - mu)
print(f"reliability {reliability:.3f}")
print(batches.round(1))
assert np.allclose(batches["partial"], batches["by hand"], atol=0.01)

# %%
figure = bg.plots.shrinkage(fit)
figure.savefig(figures / "06-batches.png", dpi=150)
figure

# %% [markdown]
# Is a biased estimate better? Let the truth be known: simulate batches with the residual standard deviation of the
# data and differences $\sigma_b$ from nothing to large, and add up squared errors. For partial pooling the
# reliability is estimated from each simulated table alone, by its analysis of variance.

# %%
tables = 400 if quick else 4000
sigma = float(np.sqrt(variances[1]))
spreads = np.linspace(0, 2.0, 11) * sigma
risk = {"none": [], "complete": [], "partial": []}
for spread in spreads:
    truth = spread * rng.normal(size=(tables, 6, 1))
    simulated = truth + sigma * rng.normal(size=(tables, 6, 5))
    own = simulated.mean(axis=2, keepdims=True)
    centre = own.mean(axis=1, keepdims=True)
    within = np.sum((simulated - own) ** 2, axis=(1, 2), keepdims=True) / 24
    between = np.sum((own - centre) ** 2, axis=1, keepdims=True) / 5
    estimated = np.maximum(0.0, 1 - within / 5 / between)
    for name, guess in (("none", own), ("complete", centre), ("partial", centre + estimated * (own - centre))):
        risk[name].append(np.mean((guess - truth) ** 2))
risk = pd.DataFrame(risk, index=pd.Index(spreads / sigma, name="sd of batches / sigma"))
print(risk.div(sigma**2 / 5).round(2))  # no pooling has the risk of a mean of five
assert np.allclose(risk["none"], sigma**2 / 5, rtol=0.12)
assert risk["partial"].iloc[0] < 0.6 * risk["none"].iloc[0]
assert risk["partial"].iloc[3] < min(risk["none"].iloc[3], risk["complete"].iloc[3])
assert (risk["partial"] < 1.05 * risk["none"]).all()

# %%
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, label, colour in (
    ("none", "no", NONE),
    ("complete", "complete", COMPLETE),
    ("partial", "partial", PARTIAL),
):
    ax.plot(risk.index, risk[name] / (sigma**2 / 5), "o-", markersize=4, color=colour, label=f"{label} pooling")
ax.axvline(np.sqrt(variances[0]) / sigma, color="#222222", linewidth=0.8, linestyle=":")
ax.annotate("dyestuff", (np.sqrt(variances[0]) / sigma, 1.9), xytext=(4, 0), textcoords="offset points", fontsize=8)
ax.set(ylim=(0, 2), xlabel="sd between batches / residual sd", ylabel="mean squared error / (σ²/5)")
ax.set_title("Six batches of five: partial pooling never loses much")
ax.legend(fontsize=8, loc="lower right")
figure.savefig(figures / "06-risk.png", dpi=150)

# %% [markdown]
# ## 2. Eighteen subjects without sleep
#
# Reaction times over ten days; each subject has an intercept and a slope, $b_i \sim N(0, \Sigma)$. With $Z_i = X_i$
# the rows of one subject,
# $$\hat b_i = \Sigma Z_i' (Z_i \Sigma Z_i' + \sigma^2 I)^{-1} (y_i - X_i \hat\beta):$$
# again the deviations, times a matrix of reliabilities.

# %%
sleep = bg.load_dataset("sleepstudy")
formula = "Reaction ~ Days + (Days | Subject)"
lines = bg.Model(formula, sleep).fit("laplace", objective="ml")
table = lines.varcorr().set_index("kind")["estimate"]
sds, cor = table["sd"].to_numpy()[:2], float(table["cor"])
Sigma = np.outer(sds, sds) * np.array([[1.0, cor], [cor, 1.0]])
residual = float(table["sd"].to_numpy()[2])
beta = lines.fixed()["estimate"].to_numpy()
by_hand, alone = [], []
for _, rows in sleep.groupby("Subject", observed=True):
    X = np.column_stack([np.ones(len(rows)), rows["Days"]])
    covariance = X @ Sigma @ X.T + residual**2 * np.eye(len(rows))
    by_hand.append(Sigma @ X.T @ np.linalg.solve(covariance, rows["Reaction"] - X @ beta))
    alone.append(np.linalg.lstsq(X, rows["Reaction"], rcond=None)[0])
by_hand, alone = np.array(by_hand), np.array(alone)
effects = lines.ranef().pivot(index="level", columns="term", values="estimate")[["Intercept", "Days"]]
assert np.allclose(effects, by_hand, atol=0.02)

# %% [markdown]
# Drawn in the plane of intercepts and slopes: every subject moves towards the population, mostly along the direction
# in which ten days of data say little, and the more the further out it lies.

# %%
figure, ax = plt.subplots(figsize=(6.5, 5), layout="constrained")
together = beta + by_hand
for start, end in zip(alone, together, strict=True):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#BDBDBD", "shrinkA": 3, "shrinkB": 3})
angle = np.linspace(0, 2 * np.pi, 200)
circle = np.linalg.cholesky(Sigma) @ np.vstack([np.cos(angle), np.sin(angle)])
for radius in (1.0, 2.0):
    ax.plot(*(beta[:, None] + radius * circle), color=COMPLETE, linewidth=0.7, linestyle=":")
ax.scatter(*alone.T, s=22, color=NONE, label="no pooling: the subject's own line", zorder=3)
ax.scatter(*together.T, s=22, color=PARTIAL, label="partial pooling", zorder=3)
ax.scatter(*beta, s=90, color="#222222", marker="+", label="complete pooling")
ax.set(
    xlabel="reaction time at the start [ms]",
    ylabel="slope [ms per day]",
    title="Sleep study; dotted: one and two sds",
)
ax.set_ylim(-5, 27)
ax.legend(fontsize=8, loc="upper right")
figure.savefig(figures / "06-plane.png", dpi=150)
inside = np.linalg.inv(Sigma)
assert np.einsum("ij,jk,ik->", by_hand, inside, by_hand) < np.einsum("ij,jk,ik->", alone - beta, inside, alone - beta)

# %% [markdown]
# Which is best at what has not been seen? Fit the first days only, and predict the last three. This is more than the
# theory promises: lines are drawn out far beyond the data, and the theory is about the same days.

# %%
rows, panels = [], {}
for days in (3, 4, 5, 6, 7):
    seen, unseen = sleep[sleep["Days"] < days], sleep[sleep["Days"] >= 7]
    partial = bg.Model(formula, seen).fit("laplace", objective="reml")
    one = np.polyfit(seen["Days"], seen["Reaction"], 1)
    each = {s: np.polyfit(own["Days"], own["Reaction"], 1) for s, own in seen.groupby("Subject", observed=True)}
    guesses = {
        "none": np.array([np.polyval(each[s], d) for s, d in zip(unseen["Subject"], unseen["Days"], strict=True)]),
        "complete": np.polyval(one, unseen["Days"]),
        "partial": partial.predict(unseen)["estimate"].to_numpy(),
    }
    errors = {name: float(np.sqrt(np.mean((guess - unseen["Reaction"]) ** 2))) for name, guess in guesses.items()}
    rows.append({"days seen": days, **errors})
    panels[days] = (each, one, partial)
errors = pd.DataFrame(rows).set_index("days seen")
print(errors.round(1))
assert (errors["partial"] < errors["none"]).all()
assert (errors["partial"] < errors["complete"]).loc[5:].all()

# %% [markdown]
# Partial pooling always beats the subjects' own lines. It beats the line of all from five days on. Before, no line
# can know: the first two days of this study were for getting used to the test, the third was the baseline, and sleep
# was taken away after it. Shrinkage guards against noise, not against a wrong model.

# %%
each, one, partial = panels[5]
figure, axes = plt.subplots(3, 6, figsize=(11, 5.8), layout="constrained", sharex=True, sharey=True)
x = np.arange(10)
grid = pd.DataFrame({"Subject": np.repeat(list(each), 10), "Days": np.tile(x, len(each))})
grid["partial"] = partial.predict(grid)["estimate"].to_numpy()
for ax, (subject, own) in zip(axes.flat, sleep.groupby("Subject", observed=True), strict=True):
    early = own["Days"] < 5
    ax.plot(x, np.polyval(one, x), color=COMPLETE, linewidth=1, label="complete")
    ax.plot(x, np.polyval(each[subject], x), color=NONE, linewidth=1, label="none")
    ax.plot(x, grid.loc[grid["Subject"] == subject, "partial"], color=PARTIAL, linewidth=1.6, label="partial")
    ax.plot(own.loc[early, "Days"], own.loc[early, "Reaction"], "o", color="#222222", markersize=3.5, label="seen")
    ax.plot(
        own.loc[~early, "Days"],
        own.loc[~early, "Reaction"],
        "o",
        color="#222222",
        markersize=3.5,
        mfc="none",
        label="not seen",
    )
    ax.set_title(str(subject), fontsize=9)
    ax.set(ylim=(150, 520), xticks=[0, 3, 6, 9])
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
figure.suptitle("Five days seen: own lines run wild, one line fits nobody", fontsize=11)
figure.savefig(figures / "06-subjects.png", dpi=150)

# %% [markdown]
# ## 3. Ticks on 118 broods
#
# Counts, and groups of unequal size: ticks on the heads of 403 grouse chicks from broods of 1 to 10. (The textbook
# example, fruits of *Arabidopsis* plants in lme4, is of this kind: many zeros, groups of different sizes.) In a brood
# where no chick has a tick the rate of its own is zero, the logarithm minus infinity: no pooling says that this brood
# will never have ticks.

# %%
grouse = bg.load_dataset("grouseticks")
counts = bg.Model("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", grouse, family="poisson")
ticks = counts.fit("laplace", seed=1)
print(ticks)
means = grouse.groupby("BROOD", observed=True)["TICKS"].agg(["sum", "size"])
print(f"{np.sum(means['sum'] == 0)} of {len(means)} broods have no tick; {np.sum(means['size'] == 1)} have one chick")
assert np.sum(means["sum"] == 0) > 10

# %%
figure = bg.plots.shrinkage(ticks)
figure.savefig(figures / "06-broods.png", dpi=150)
figure

# %% [markdown]
# Now take one chick out of every brood that has two or more, and predict it from the others. The score is the
# deviance of the Poisson distribution, $2\,[y \log(y/\mu) - (y - \mu)]$, averaged; it is infinite where $\mu = 0$ and
# $y > 0$.

# %%
large = grouse.groupby("BROOD", observed=True)["TICKS"].transform("size") >= 2
out = grouse[large].groupby("BROOD", observed=True).sample(1, random_state=6).index
train, test = grouse.drop(out), grouse.loc[out]
partial = bg.Model("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", train, family="poisson").fit("laplace", objective="ml")
complete = bg.Model("TICKS ~ YEAR + cHEIGHT", train, family="poisson").fit("laplace", objective="ml")
own = train.groupby("BROOD", observed=True)["TICKS"].agg(["sum", "size"])
guesses = {
    "none": (own["sum"] / own["size"]).loc[test["BROOD"]].to_numpy(),
    "none, plus 1/2": ((own["sum"] + 0.5) / (own["size"] + 0.5)).loc[test["BROOD"]].to_numpy(),
    "complete": complete.predict(test)["estimate"].to_numpy(),
    "partial": partial.predict(test)["estimate"].to_numpy(),
}


def deviance(y: np.ndarray, mu: np.ndarray) -> float:
    """Return the mean Poisson deviance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(2 * (np.where(y > 0, y * np.log(y / mu), 0.0) - (y - mu))))


y = test["TICKS"].to_numpy(dtype=float)
scores = {name: deviance(y, mu) for name, mu in guesses.items()}
print(pd.Series(scores).round(2))
assert np.isinf(scores["none"])
assert scores["partial"] < min(scores["complete"], scores["none, plus 1/2"])

# %% [markdown]
# And a brood that nobody has seen? No pooling has no answer. A model of how broods differ has one, and knows how wide
# it is: `groups="new"` draws the effect, `"typical"` sets it to zero, `"average"` integrates over it.

# %%
new = {"YEAR": ["96"], "cHEIGHT": [0.0]}
answers = {kind: ticks.predict(new, groups=kind, seed=1).iloc[0] for kind in ("typical", "average", "new")}
print(pd.DataFrame(answers).T.round(2))
assert answers["average"]["mean"] > answers["typical"]["mean"]  # a mean of exponentials
assert answers["new"]["upper"] > answers["average"]["upper"]

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* Fit `Dyestuff` with ten times the data, `pd.concat([dyestuff] * 10)`. What happens to the reliability,
#    and why is that a bad experiment?
# 2. *(easy)* Which subject's line is shrunk most, and is that the one with the strangest data or the one with the
#    least?
# 3. *(medium)* The James-Stein estimate shrinks six means by
#    $1 - (J - 3)\,(\sigma^2/n) / \sum_i (\bar y_i - \bar y)^2$. Add it to part 1 and compare it with the reliability
#    estimated there.
# 4. *(medium)* For counts, show that near the mode the reliability of a brood with $n$ chicks is about
#    $\sigma^2 / (\sigma^2 + 1/(n \bar\mu))$, and check it for five broods: `fit.ranef()` against $\log$ of the
#    brood's own mean.
# 5. *(medium)* Chicks of one brood differ more than Poisson. Add `(1 | INDEX)`, an effect per chick. What happens to
#    the standard deviation of broods, to the held-out score, and to the interval of `groups="new"`?
# 6. *(hard)* Is the shrunken estimate good for *ranking*? Simulate broods of unequal size, and compare how often the
#    truly highest tenth is found by no pooling, by partial pooling, and by the posterior probability of being in it.
#
# ## Hints
#
# 1. It goes to one: copies count as independent measurements. $\sigma$ is estimated as if there were 300 rows.
# 2. All have ten rows, so the matrix is the same, and the data decide: 370, a low start and a steep line, lies far
#    out in the direction in which ten days say least.
# 3. With the unbiased sum of squares the two differ by the factor $(J - 3)/(J - 1)$ in front of the noise.
# 4. The curvature of the log-likelihood of $b$ is $\sum \mu$; offsets belong into $\bar\mu$.
# 5. The sd of broods falls a little: part of what they seemed to differ by was chance within. The new brood now has a
#    new chick, and the interval becomes wider.
# 6. No pooling ranks small groups at both ends; the posterior probability answers the question that is asked.
