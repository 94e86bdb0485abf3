# %% [markdown]
# # EM: maximum likelihood when something is missing
#
# If the group effects were known, fitting a mixed model would be easy. The EM algorithm fills them in by what is
# expected of them, fits, fills in again. It never goes down, needs no derivative, and can be very slow; where it is
# slow says something about the data.

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
rng = np.random.default_rng(4)

# %% [markdown]
# ## 1. A random intercept
#
# Yields of dyestuff, five preparations from each of six batches: $y_{ij} = \mu + b_i + e_{ij}$,
# $b_i \sim N(0, \sigma_b^2)$, $e_{ij} \sim N(0, \sigma^2)$. For any $\theta = (\mu, \sigma_b, \sigma)$ and any
# density $q$ of the effects,
# $$\log p(y \mid \theta) \ge \mathrm{E}_q \log \frac{p(y, b \mid \theta)}{q(b)},$$
# with equality at $q(b) = p(b \mid y, \theta)$. **E-step**: take that $q$ at the present $\theta$. **M-step**:
# maximise the right side over $\theta$. The left side cannot fall.
#
# E-step, with $n$ rows per group and $\lambda = \sigma_b^2 / (\sigma_b^2 + \sigma^2/n)$, the reliability of a group
# mean:
# $$b_i \mid y \sim N(m_i, v), \qquad m_i = \lambda\,(\bar y_i - \mu), \qquad v = (1 - \lambda)\,\sigma_b^2.$$
# M-step: averages of what would be averaged if $b$ were known,
# $$\mu = \overline{y_{ij} - m_i}, \qquad \sigma_b^2 = \overline{m_i^2 + v}, \qquad
#   \sigma^2 = \overline{(y_{ij} - \mu - m_i)^2 + v}.$$

# %%
dyestuff = bg.load_dataset("Dyestuff")
Y = dyestuff.sort_values("Batch")["Yield"].to_numpy(dtype=float).reshape(6, 5)  # a row per batch


def log_likelihood(Y: np.ndarray, mu: float, batch: float, error: float) -> float:
    """Return the log-likelihood of a balanced random intercept model, given the variances."""
    J, n = Y.shape
    within = np.sum((Y - Y.mean(axis=1, keepdims=True)) ** 2)
    between = n * np.sum((Y.mean(axis=1) - mu) ** 2)
    total = error + n * batch
    log_det = J * ((n - 1) * np.log(error) + np.log(total))
    return -0.5 * (J * n * np.log(2 * np.pi) + log_det + within / error + between / total)


def em_step(Y: np.ndarray, mu: float, batch: float, error: float) -> tuple[float, float, float]:
    """Return (mu, variance of batches, residual variance) after one iteration."""
    reliability = batch / (batch + error / Y.shape[1])
    m = reliability * (Y.mean(axis=1) - mu)
    v = (1 - reliability) * batch
    mu = float((Y - m[:, None]).mean())
    residual = Y - mu - m[:, None]
    return mu, float(np.mean(m**2) + v), float(np.mean(residual**2) + v)


def run(step, Y: np.ndarray, most: int = 2000, tolerance: float = 1e-11) -> pd.DataFrame:
    """Iterate from equal variances until the log-likelihood rises by less than `tolerance`."""
    theta = (float(Y.mean()), float(Y.var() / 2), float(Y.var() / 2))
    rows = [(*theta, log_likelihood(Y, *theta))]
    while len(rows) < 3 or (rows[-1][3] - rows[-2][3] > tolerance and len(rows) <= most):
        theta = step(Y, *theta)
        rows.append((*theta, log_likelihood(Y, *theta)))
    return pd.DataFrame(rows, columns=["mu", "batch", "error", "loglik"]).rename_axis("iteration")


path = run(em_step, Y)
print(
    path.assign(sd_batch=path["batch"] ** 0.5, sigma=path["error"] ** 0.5)[
        ["mu", "sd_batch", "sigma", "loglik"]
    ].head(8)
)
print(f"{len(path) - 1} iterations")
assert np.all(np.diff(path["loglik"]) > -1e-10)

# %% [markdown]
# The engine maximises the same likelihood directly. (Laplace's approximation is exact here, since everything is
# normal.)

# %%
fit = bg.Model("Yield ~ 1 + (1 | Batch)", dyestuff).fit("laplace", objective="ml")
last = path.iloc[-1]
by_em = pd.Series(
    {"Intercept": last["mu"], "sd[Batch, Intercept]": last["batch"] ** 0.5, "sigma": last["error"] ** 0.5}, name="EM"
)
print(fit.summary()[["estimate", "se"]].join(by_em).round(4))
print(f"log-likelihood: EM {last['loglik']:.6f}, engine {fit.loglik:.6f}")
assert np.allclose(by_em, fit.summary().loc[by_em.index, "estimate"], rtol=2e-4)
assert abs(last["loglik"] - fit.loglik) < 1e-6
m = fit.ranef()["estimate"].to_numpy()
reliability = last["batch"] / (last["batch"] + last["error"] / 5)
assert np.allclose(m, reliability * (Y.mean(axis=1) - last["mu"]), atol=0.02)  # the E-step at the end: fit.ranef()

# %% [markdown]
# ## 2. How fast, and when not
#
# Near the end each iteration multiplies the error by a constant, the share of information that is missing. For
# $\sigma_b^2$ alone the E- and M-step together are
# $$g(s) = \frac{s a}{s + a} + \frac{s^2 S}{(s + a)^2}, \qquad a = \sigma^2 / n, \quad
#   S = \overline{(\bar y_i - \mu)^2},$$
# with fixed point $s = S - a$ and slope $g'(s) = 1 - \lambda^2$ there (a little more, since $\sigma$ moves too).
# Reliable group means: fast. Unreliable ones: slow. To see it, pull the batch means together and keep everything
# else.


# %%
def pulled(Y: np.ndarray, c: float) -> np.ndarray:
    """Return data whose group means are c times as far from each other; c = 1 changes nothing."""
    means = Y.mean(axis=1, keepdims=True)
    return Y + (c - 1) * (means - means.mean())


def exact(Y: np.ndarray) -> tuple[float, float]:
    """Return the maximum likelihood estimates of both variances, from the balanced table."""
    J, n = Y.shape
    error = np.sum((Y - Y.mean(axis=1, keepdims=True)) ** 2) / (J * (n - 1))
    spread = np.mean((Y.mean(axis=1) - Y.mean()) ** 2)
    if spread > error / n:
        return spread - error / n, error
    return 0.0, Y.var()


cases = {"as measured": 1.0, "means pulled to 0.6": 0.6, "to 0.52": 0.52, "to 0.4": 0.4}
paths, rows = {}, []
for name, c in cases.items():
    data = pulled(Y, c)
    batch, error = exact(data)
    paths[name] = run(em_step, data, most=3000 if quick else 30_000, tolerance=1e-13)
    steps = np.diff(paths[name]["batch"])
    late = np.flatnonzero(np.abs(steps) > 1e-6 * max(batch, 1e-3))[-1]
    predicted = 1 - (batch / (batch + error / 5)) ** 2
    rows.append((name, batch**0.5, len(steps), steps[late] / steps[late - 1], predicted))
speed = pd.DataFrame(rows, columns=["data", "sd_batch (ML)", "iterations", "rate", "1 - reliability^2"]).set_index(
    "data"
)
print(speed.round(3))
assert np.allclose(speed["rate"].iloc[:3], speed["1 - reliability^2"].iloc[:3], atol=0.05)
assert speed["iterations"].iloc[:3].is_monotonic_increasing

# %% [markdown]
# In the last data set the batch means differ *less* than the residuals alone would make them ($S < a$): the estimate
# of $\sigma_b$ is zero, as in the data set `Dyestuff2` of lme4. There the slope is one and the error falls like $1/k$
# after $k$ iterations, not like a power of something: $s_k \approx a^2 / ((a - S)\,k)$. However long one waits, EM
# reports a standard deviation that is not zero. The engine says 0.

# %%
zero = pulled(Y, 0.4)
slow = paths["to 0.4"]
a, S = slow["error"].iloc[-1] / 5, float(np.mean((zero.mean(axis=1) - zero.mean()) ** 2))
k = len(slow) - 1
print(
    f"after {k:,} iterations EM has sd {slow['batch'].iloc[-1] ** 0.5:.3f}; 1/k law {(a**2 / (a - S) / k) ** 0.5:.3f}"
)
assert abs(slow["batch"].iloc[-1] * k * (a - S) / a**2 - 1) < 0.1
flat = bg.Model("Yield ~ 1 + (1 | Batch)", dyestuff.sort_values("Batch").assign(Yield=zero.ravel()))
boundary = flat.fit("laplace", objective="ml")
print(boundary.varcorr().round(3))
assert boundary.varcorr()["estimate"].iloc[0] == 0.0
assert boundary.loglik >= slow["loglik"].iloc[-1] - 1e-8

# %% [markdown]
# A remedy that stays an EM: **parameter expansion** (Liu, Rubin and Wu 1998). Write $b_i = \alpha b_i^*$, regress $y$
# on the expected $b^*$ in the M-step as well, and multiply $\sigma_b$ by the $\alpha$ found. The M-step may then
# correct an E-step that was timid.


# %%
def px_step(Y: np.ndarray, mu: float, batch: float, error: float) -> tuple[float, float, float]:
    """Return the parameters after one iteration of parameter-expanded EM."""
    J, n = Y.shape
    reliability = batch / (batch + error / n)
    m = reliability * (Y.mean(axis=1) - mu)
    v = (1 - reliability) * batch
    second = m**2 + v
    crossed = n * np.array([[J, m.sum()], [m.sum(), second.sum()]])
    mu, alpha = np.linalg.solve(crossed, [Y.sum(), n * m @ Y.mean(axis=1)])
    square = np.sum((Y - mu) ** 2) - 2 * alpha * n * m @ (Y.mean(axis=1) - mu) + alpha**2 * n * second.sum()
    return float(mu), float(alpha**2 * second.mean()), float(square / Y.size)


expanded = {name: run(px_step, pulled(Y, c), tolerance=1e-13) for name, c in cases.items()}
print(
    pd.DataFrame(
        {"EM": {n: len(p) - 1 for n, p in paths.items()}, "expanded": {n: len(p) - 1 for n, p in expanded.items()}}
    )
)
for name, table in expanded.items():
    assert np.all(np.diff(table["loglik"]) > -1e-9)
    assert abs(table["loglik"].iloc[-1] - paths[name]["loglik"].iloc[-1]) < 1e-3
    assert len(table) < len(paths[name])

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
colours = ("#009E73", "#0072B2", "#CC79A7", "#D55E00")
for (name, table), colour in zip(paths.items(), colours, strict=True):
    best = max(table["loglik"].max(), expanded[name]["loglik"].max())
    for solid, own in ((True, table), (False, expanded[name])):
        gap = (best - own["loglik"]).to_numpy()
        shown = np.flatnonzero(gap > 1e-11)
        left.loglog(
            shown + 1, gap[shown], color=colour, linestyle="-" if solid else ":", label=name if solid else None
        )
left.set(xlabel="iteration", ylabel="still to be gained", title="Log-likelihood: EM, and expanded EM dotted")
left.set_xlim(1, None)
left.legend(fontsize=8)
count = np.arange(1, len(slow))
right.loglog(count, slow["batch"].iloc[1:] ** 0.5, color="#D55E00", label="EM")
right.loglog(count, (a**2 / (a - S) / count) ** 0.5, color="#222222", linewidth=0.9, linestyle="--", label="1/k law")
fast = expanded["to 0.4"]["batch"].iloc[1:].to_numpy() ** 0.5
right.loglog(np.arange(1, len(fast) + 1), fast, color="#D55E00", linestyle=":", label="expanded EM")
right.set(
    xlabel="iteration", ylabel="sd of batches", ylim=(0.1, 100), title="The maximum is at zero: EM never arrives"
)
right.legend(fontsize=8)
figure.savefig(figures / "04-speed.png", dpi=150)

# %% [markdown]
# ## 3. Counts: no formula for the E-step
#
# For the cattle, $y_{ij} \mid b_i \sim \mathrm{Binomial}(n_{ij}, \mathrm{logit}^{-1}(x_{ij}'\beta + b_i))$, the
# density of $b_i$ given the data is no normal. It is one-dimensional, so a sum over a grid will do (Bock and Aitkin
# 1981, the algorithm that made item response models practical). The M-step for $\beta$ is a weighted logistic
# regression; one Newton step of it is enough for the likelihood to rise.

# %%
cattle = bg.load_dataset("cbpp")
y, size = cattle["incidence"].to_numpy(), cattle["size"].to_numpy()
X = np.column_stack([np.ones(len(y)), *(cattle["period"] == p for p in ("2", "3", "4"))]).astype(float)
herd = cattle["herd"].cat.codes.to_numpy()
member = (herd[:, None] == np.arange(15)).astype(float)


def e_step(beta: np.ndarray, sigma: float, nodes: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, float]:
    """Return weights of the nodes in every herd, shape (herds, nodes), and the log-likelihood but for a constant.

    `nodes` has shape (nodes,) or (herds, nodes); `prior` the weights of the nodes under N(0, sigma^2).
    """
    b = np.broadcast_to(nodes, (15, nodes.shape[-1]))
    eta = (X @ beta)[:, None] + b[herd]
    terms = member.T @ (y[:, None] * eta - size[:, None] * np.logaddexp(0, eta))
    top = terms.max(axis=1, keepdims=True)
    terms = np.exp(terms - top) * prior
    return terms / terms.sum(axis=1, keepdims=True), float(np.sum(np.log(terms.sum(axis=1)) + top[:, 0]))


def m_step(beta: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return coefficients after one Newton step, and the new standard deviation."""
    b = np.broadcast_to(nodes, weights.shape)
    p = 1 / (1 + np.exp(-((X @ beta)[:, None] + b[herd])))
    score = X.T @ (y - size * np.sum(weights[herd] * p, axis=1))
    information = X.T @ ((size * np.sum(weights[herd] * p * (1 - p), axis=1))[:, None] * X)
    return beta + np.linalg.solve(information, score), float(np.sqrt(np.sum(weights * b**2) / 15))


z = np.linspace(-6, 6, 121)
normal = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
beta, sigma, rows = np.zeros(4), 1.0, []
for _ in range(200):
    weights, loglik = e_step(beta, sigma, sigma * z, normal)
    rows.append((*beta, sigma, loglik))
    beta, sigma = m_step(beta, sigma * z, weights)
labels = ["Intercept", "period[2]", "period[3]", "period[4]", "sd[herd, Intercept]"]
marginal = pd.DataFrame(rows, columns=[*labels, "loglik"])
assert np.all(np.diff(marginal["loglik"]) > -1e-9)
model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", cattle, family="binomial")
quadrature = model.fit("laplace", objective="ml", quadrature=15)
laplace = model.fit("laplace", objective="ml")
compared = pd.DataFrame(
    {
        "EM": marginal.iloc[-1][labels],
        "quadrature=15": quadrature.summary()["estimate"],
        "Laplace": laplace.summary()["estimate"],
    }
).loc[labels]
print(compared.round(4))
assert np.allclose(compared["EM"], compared["quadrature=15"], atol=2e-3)
close = np.argmax(marginal["loglik"] > marginal["loglik"].iloc[-1] - 1e-6)
print(f"EM comes within 1e-6 of the maximum after {close} iterations")

# %% [markdown]
# Laplace's maximum is a little off, by less than a thirtieth of a standard error, because it replaces each herd's
# integral. EM with a grid climbs the exact likelihood.
#
# **Monte Carlo EM** replaces the sum by draws: $b \sim N(0, \sigma^2)$ with the likelihood as weights. With few draws
# the path does not converge: it wanders, and around a wrong place, since a ratio of two means is biased. The number
# of draws must grow (Wei and Tanner 1990).


# %%
def monte_carlo(size_of: list[int]) -> np.ndarray:
    """Return the path of the standard deviation; one number of draws per iteration."""
    beta, sigma, path = np.zeros(4), 1.0, [1.0]
    for count in size_of:
        nodes = sigma * rng.normal(size=(15, count))
        beta, sigma = m_step(beta, nodes, e_step(beta, sigma, nodes, np.ones(1))[0])
        path.append(sigma)
    return np.array(path)


iterations = 60 if quick else 150
few = monte_carlo([30] * iterations)
growing = monte_carlo([int(30 * 1.08 ** min(i, 60)) for i in range(iterations)])
best = float(quadrature.varcorr()["estimate"].iloc[0])
tail = slice(-20, None)
print(f"last 20 iterations: 30 draws {few[tail].mean():.3f} ± {few[tail].std():.3f}, ", end="")
print(f"growing {growing[tail].mean():.3f} ± {growing[tail].std():.3f}, exact {best:.3f}")
assert growing[tail].std() < few[tail].std()
assert abs(growing[tail].mean() - best) < 0.02

# %%
figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
ax.plot(few, color="#D55E00", linewidth=1, label="Monte Carlo EM, 30 draws per herd")
ax.plot(growing, color="#0072B2", linewidth=1.4, label="Monte Carlo EM, number of draws grows")
ax.plot(
    marginal["sd[herd, Intercept]"].iloc[: iterations + 1].to_numpy(),
    color="#222222",
    linewidth=1.4,
    label="EM on a grid",
)
ax.axhline(best, color="#767676", linewidth=0.9, linestyle=":")
ax.annotate("quadrature=15", (iterations, best), xytext=(0, 4), textcoords="offset points", ha="right", fontsize=8)
ax.set(xlabel="iteration", ylabel="sd between herds", title="EM for the cattle")
ax.legend(fontsize=8)
figure.savefig(figures / "04-cattle.png", dpi=150)

# %% [markdown]
# What EM does not give: standard errors. The curvature of the expected log-likelihood is that of *complete* data, too
# large by exactly the missing information. The engine differentiates the likelihood itself.

# %%
complete = last["batch"] * np.sqrt(2 / 6)  # as if six effects had been seen
own = fit.summary().loc["sd[Batch, Intercept]"]
print(f"se of the sd of batches: complete data {complete / (2 * last['batch'] ** 0.5):.1f}, engine {own['se']:.1f}")
assert own["se"] > complete / (2 * last["batch"] ** 0.5)

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* Start EM from $\sigma_b = 0$. What happens, and why does `run` not?
# 2. *(easy)* Show from the formulas that a fixed point of `em_step` has $\sigma_b^2 = S - \sigma^2 / n$, and compare
#    with `exact`.
# 3. *(medium)* Treat $\mu$ as missing, too, with a flat prior. Which likelihood does EM then maximise? Compare with
#    `model.fit("laplace", objective="reml")`: 42.0 instead of 37.3 for the batches.
# 4. *(medium)* Put a normal density at the mode of each herd into the E-step of part 3,
#    $\mathrm{E}\,b^2 \approx \hat b^2 + s^2$, with the score taken at the mode. What is this method called, and why
#    is its $\sigma$ too small?
# 5. *(medium)* Accelerate the slow path of part 2 with Aitken's extrapolation,
#    $s_\infty \approx s_k + (s_{k+1} - s_k) / (1 - r)$ with $r$ the ratio of two steps. When is it dangerous?
# 6. *(hard)* Louis (1982): the observed information is the expected complete information minus the variance of the
#    complete score. Compute it for $\beta$ and $\log\sigma$ of the cattle from the weights of the last E-step, and
#    compare the standard errors with `quadrature.summary()`.
#
# ## Hints
#
# 1. $\lambda = 0$, so $m = v = 0$ and $\sigma_b^2$ stays 0: a fixed point that is no maximum.
# 2. $\sigma_b^2 = \lambda^2 S + (1 - \lambda)\sigma_b^2$ gives $\lambda S = \sigma_b^2$.
# 3. The restricted one. The E-step then has $(b, \mu)$ jointly normal: $v$ grows, and $m_i$ are correlated.
# 4. Penalised quasi-likelihood (Breslow and Clayton 1993): the score at the mode ignores that the mean of
#    $p(x'\beta + b)$ over $b$ is not $p$ at the mean of $b$.
# 5. Where $r$ is nearly 1 its error is multiplied by a large number, and the result may be negative.
# 6. The complete score for $\beta$ is $X'(y - np(b))$, its variance is taken over each herd's weights; herds are
#    independent, so variances add over herds.
