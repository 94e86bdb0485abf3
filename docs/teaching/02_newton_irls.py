# %% [markdown]
# # Newton-Raphson and weighted least squares: how a generalized linear model is fitted
#
# A maximum is where the slope is zero; Newton's method puts a parabola at the point where one stands and jumps to its
# top. For logit and probit each jump is a weighted least squares fit. Where it fails, and how the same steps, with a
# penalty, find the effects of a mixed model.

# %%
import os
import warnings
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

# %% [markdown]
# ## 1. Likelihood, score, information
#
# Which women in Bangladesh used contraception in 1988? With $y_i \in \{0, 1\}$, $P(y_i = 1) = G(\eta_i)$ and
# $\eta = X\beta$, let $\ell(\beta) = \sum_i \ell_i(\eta_i)$. By the chain rule
# $$\nabla \ell = X'u, \quad u_i = \ell_i'(\eta_i); \qquad
#   -\nabla^2 \ell = X'WX, \quad W = \mathrm{diag}(-\ell_i'').$$
# This $W$ makes the **observed information**. Its expectation over $y$ makes the **expected information** of Fisher:
# $w_i = G'(\eta_i)^2 / [G(\eta_i)(1 - G(\eta_i))]$. For the logit, the canonical link, both are $p(1 - p)$; for the
# probit they differ.

# %%
women = bg.load_dataset("Contraception")
y = (women["use"] == "Y").to_numpy(dtype=float)
age, child, town = women["age"].to_numpy(), (women["ch"] == "Y").to_numpy(), (women["urban"] == "Y").to_numpy()
X = np.column_stack([np.ones_like(age), age, child, age**2, town, age * child])
names = ["Intercept", "age", "ch[Y]", "I(age^2)", "urban[Y]", "age:ch[Y]"]


def logit_parts(eta: np.ndarray, y: np.ndarray, information: str = "observed") -> tuple[np.ndarray, ...]:
    """Return log-likelihood, first derivative and weight of every row."""
    p = special.expit(eta)
    return y * eta - np.logaddexp(0.0, eta), y - p, p * (1 - p)


def probit_parts(eta: np.ndarray, y: np.ndarray, information: str = "observed") -> tuple[np.ndarray, ...]:
    """Return log-likelihood, first derivative and weight of every row."""
    sign = 2 * y - 1
    log_p = special.log_ndtr(sign * eta)
    u = sign * np.exp(stats.norm.logpdf(eta) - log_p)
    if information == "observed":
        return log_p, u, u * (u + eta)
    return log_p, u, np.exp(2 * stats.norm.logpdf(eta) - special.log_ndtr(eta) - special.log_ndtr(-eta))


# %% [markdown]
# Newton's step is $\beta \leftarrow \beta + (X'WX)^{-1} X'u$; with the expected information it is called **Fisher
# scoring**. Write it as
# $$\beta \leftarrow (X'WX)^{-1} X'W z, \qquad z = \eta + W^{-1}u,$$
# and it is a least squares fit of a *working response* $z$ with weights $W$: **iteratively reweighted least
# squares**.


# %%
def fit_glm(parts, X, y, information="observed", start=None, halving=False, most=50, tolerance=1e-12):
    """Return the estimates, the information there, and a table with a row per iteration."""
    beta = np.zeros(X.shape[1]) if start is None else np.asarray(start, dtype=float)
    rows = []
    for iteration in range(most):
        value, u, w = parts(X @ beta, y, information)
        rows.append({"iteration": iteration, "loglik": value.sum(), "beta": beta})
        XWX = X.T @ (w[:, None] * X)
        if not np.isfinite(value.sum()) or np.linalg.cond(XWX) > 1e15:
            break
        step = np.linalg.solve(XWX, X.T @ u)
        shrink = 1.0
        while halving and parts(X @ (beta + shrink * step), y)[0].sum() < value.sum() and shrink > 1e-6:
            shrink /= 2
        beta = beta + shrink * step
        rows[-1]["step"] = np.abs(shrink * step).max()
        if u @ X @ step < tolerance:  # Newton's decrement: twice what is still to be gained
            break
    return beta, XWX, pd.DataFrame(rows).set_index("iteration")


beta, information, path = fit_glm(logit_parts, X, y)
print(path[["loglik", "step"]].to_string(float_format="{:.10g}".format))

# %% [markdown]
# Five jumps from zero. The log-likelihood gains digits in pairs: at each step the error is about the square of the
# one before (*quadratic convergence*). One of these jumps as a least squares fit of the working response, by numpy's
# general purpose solver:

# %%
at = path["beta"].iloc[1]
_, u, w = logit_parts(X @ at, y)
root = np.sqrt(w)
by_least_squares = np.linalg.lstsq(root[:, None] * X, root * (X @ at + u / w), rcond=None)[0]
assert np.allclose(by_least_squares, path["beta"].iloc[2], rtol=1e-6)

# %% [markdown]
# The engine, asked for maximum likelihood, has the same estimates, standard errors (roots of the diagonal of the
# inverse information) and log-likelihood.

# %%
formula = "use ~ age*ch + I(age^2) + urban"
engine = bg.Model(formula, women, family="bernoulli").fit("laplace", objective="ml")
mine = pd.DataFrame({"estimate": beta, "se": np.sqrt(np.diag(np.linalg.inv(information)))}, index=names)
print(engine.summary()[["estimate", "se"]].join(mine.add_suffix(" by hand")).round(5))
assert np.allclose(engine.summary().loc[names, ["estimate", "se"]], mine, rtol=1e-4)
assert abs(engine.loglik - path["loglik"].iloc[-1]) < 1e-6

# %% [markdown]
# ## 2. Probit: observed or expected information
#
# Both lead to the same maximum. The road differs: with the observed information the error is squared at each step,
# with the expected one it is multiplied by a constant, which is small here because the model fits.

# %%
probit, observed, newton = fit_glm(probit_parts, X, y)
same, expected, scoring = fit_glm(probit_parts, X, y, "expected")
scale = np.sqrt(np.diag(np.linalg.inv(observed)))
errors = {
    name: np.array([np.abs((b - probit) / scale).max() for b in table["beta"]])
    for name, table in {"Newton, observed": newton, "Fisher scoring": scoring}.items()
}
print(
    pd.DataFrame({name: pd.Series(error) for name, error in errors.items()}).to_string(float_format="{:.2g}".format)
)
assert np.allclose(same, probit, atol=1e-6)
engine = bg.Model(formula, women, family="bernoulli", link="probit").fit("laplace", objective="ml")
assert np.allclose(engine.fixed().loc[names, "estimate"], probit, rtol=1e-4)

# %% [markdown]
# The standard errors differ a little, and the engine's are those of the observed information. The coefficients
# themselves are those of the logit divided by about 1.6, the ratio of the two distributions' slopes in the middle:
# $\varphi(0) / \tfrac14 = 1.596$.

# %%
both = pd.DataFrame(
    {
        "observed": scale,
        "expected": np.sqrt(np.diag(np.linalg.inv(expected))),
        "engine": engine.fixed().loc[names, "se"],
        "logit / probit": beta / probit,
    },
    index=names,
)
print(both.round(6))
assert np.allclose(both["engine"], both["observed"], rtol=1e-4)
assert not np.allclose(both["engine"], both["expected"], rtol=1e-4)
assert both["logit / probit"].between(1.5, 1.8).all()

# %% [markdown]
# ## 3. A bad start
#
# Newton's method trusts its parabola however far away its top is. Take the intercept alone, whose maximum is the
# logit of the share of users. Beyond a certain distance the log-likelihood is nearly a straight line, its parabola
# nearly flat, and the jump goes further out on the other side than one stood before.

# %%
share = y.mean()


def newton_map(b: np.ndarray | float) -> np.ndarray | float:
    """Return where Newton's method goes from intercept b."""
    p = special.expit(b)
    return b - (p - share) / (p * (1 - p))


starts = np.linspace(-6, 6, 1201)
ends = starts.copy()
with np.errstate(all="ignore"):
    for _ in range(30):
        ends = newton_map(ends)
reached = starts[np.abs(ends - special.logit(share)) < 1e-6]
print(f"maximum {special.logit(share):.3f}; Newton's method finds it from {reached.min():.2f} to {reached.max():.2f}")
assert len(reached) == np.sum((starts >= reached.min()) & (starts <= reached.max()))  # one interval
assert reached.max() < 3

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
b = np.linspace(-7, 5, 400)
curve = np.array([logit_parts(np.full_like(y, value), y)[0].mean() for value in b])
left.plot(b, curve, color="#222222", linewidth=1.8, label="log-likelihood per woman")
for start, colour in ((1.0, "#009E73"), (2.5, "#D55E00")):
    value, slope, weight = (part.mean() for part in logit_parts(np.full_like(y, start), y))
    left.plot(
        b, value + slope * (b - start) - 0.5 * weight * (b - start) ** 2, color=colour, linewidth=1, linestyle="--"
    )
    left.plot(start, value, "o", color=colour, label=f"start {start:g}, next {newton_map(start):.2f}")
    left.axvline(newton_map(start), color=colour, linewidth=0.7, linestyle=":")
left.set(ylim=(-3.2, 0.2), xlabel="intercept", title="The parabola at the start, and where its top is")
left.legend(fontsize=8, loc="lower center")
for name, colour in (("Newton, observed", "#0072B2"), ("Fisher scoring", "#D55E00")):
    shown = errors[name][errors[name] > 1e-14]
    right.semilogy(shown, "o-", color=colour, markersize=4, label=name)
right.set(xlabel="iteration", title="Probit: error in standard errors")
right.legend(fontsize=8)
figure.savefig(figures / "02-newton.png", dpi=150)

# %% [markdown]
# The remedy is to check: if the log-likelihood did not rise, halve the step. It is concave for logit and probit, so a
# short enough step always rises, and the maximum is found from anywhere.

# %%
start = np.array([2.5, 0, 0, 0, 0, 0])
lost = fit_glm(logit_parts, X, y, start=start)[2]
saved, _, halved = fit_glm(logit_parts, X, y, start=start, halving=True)
print("without halving:", lost["loglik"].round(1).tolist()[:6])
print("with halving:   ", halved["loglik"].round(1).tolist())
assert lost["loglik"].iloc[-1] < lost["loglik"].iloc[0] or not np.isfinite(lost["loglik"].iloc[-1])
assert np.all(np.diff(halved["loglik"]) > -1e-9)
assert np.allclose(saved, beta, atol=1e-6)

# %% [markdown]
# ## 4. No maximum at all: separation
#
# A coefficient for each of the 60 districts: in district 11 none of 21 women used contraception, and the likelihood
# rises for ever as its coefficient falls. Newton's method does not crash. Where $p \approx 0$ its step is
# $-p/(p(1-p)) \approx -1$: one unit down at each iteration, while the log-likelihood no longer changes and the
# standard error explodes.

# %%
inside = (women["district"] == "11").to_numpy()
steps = fit_glm(logit_parts, np.ones((inside.sum(), 1)), y[inside], most=16)[2]
steps["coefficient"] = [float(value[0]) for value in steps["beta"]]
p = special.expit(steps["coefficient"])
steps["se"] = 1 / np.sqrt(inside.sum() * p * (1 - p))
print(steps[["loglik", "coefficient", "se"]].iloc[::3].round(4))
assert np.all(np.diff(steps["coefficient"]) < -0.99)

# %% [markdown]
# Software that stops when the likelihood changes little prints such numbers as if they were estimates. The model says
# so before it is fitted, and the fit has a verdict:

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    separated = bg.Model("use ~ 0 + district", women, family="bernoulli")
print(caught[0].message)
flat = separated.fit("laplace", objective="ml")
print(flat.verdict)
assert flat.verdict.word == "bad"

# %% [markdown]
# Two remedies: a prior for the coefficients, or districts that come from a common distribution, whose width is
# estimated. Both add a penalty to the log-likelihood, and the maximum is back.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", bg.errors.ModelWarning)
    prior = bg.Model(
        "use ~ 0 + district", women, family="bernoulli", priors={"fixed": bg.Prior("Normal", mu=0, sigma=1.5)}
    )
pooled = bg.Model("use ~ 1 + (1 | district)", women, family="bernoulli").fit("laplace", objective="ml")
districts = ["1", "3", "11", "49"]
counts = women.assign(yes=y).groupby("district", observed=True)["yes"].agg(["sum", "size"]).loc[districts].astype(int)
counts["ML"] = flat.fixed().loc[[f"district[{d}]" for d in districts], "estimate"].to_numpy()
shrunk = prior.fit("laplace", seed=1).fixed()
counts["Normal(0, 1.5)"] = shrunk.loc[[f"district[{d}]" for d in districts], "mean"].to_numpy()
counts["(1 | district)"] = pooled.coef().set_index("level").loc[districts, "estimate"]
print(counts.round(2))
assert counts.loc["11", "ML"] < -10
assert -4 < counts.loc["11", "Normal(0, 1.5)"] < counts.loc["11", "(1 | district)"]

# %% [markdown]
# ## 5. The same steps inside a mixed model
#
# Given $\beta$ and $\sigma$, the effects $b_j \sim N(0, \sigma^2)$ of the districts have the log density
# $\sum_i \ell_i(x_i'\beta + b_{j(i)}) - \sum_j b_j^2 / 2\sigma^2$. One Newton step of it is *penalised* least
# squares: $1/\sigma^2$ joins the weights on the diagonal. The results are the conditional modes, `fit.ranef()`, and
# from the curvature there comes Laplace's approximation of the likelihood: every evaluation of the engine's objective
# is a short run of these steps.

# %%
mixed = bg.Model(formula + " + (1 | district)", women, family="bernoulli").fit("laplace", objective="ml")
eta = mixed.predict(groups="typical", scale="link")["estimate"].to_numpy()
sigma = float(mixed.varcorr()["estimate"].iloc[0])
district = women["district"].cat.codes.to_numpy()
modes = np.zeros(district.max() + 1)
for iteration in range(20):
    value, u, w = logit_parts(eta + modes[district], y)
    curvature = np.bincount(district, w) + 1 / sigma**2
    step = (np.bincount(district, u) - modes / sigma**2) / curvature
    modes += step
    print(f"iteration {iteration}: largest step {np.abs(step).max():.1e}")
    if np.abs(step).max() < 1e-10:
        break
value, u, w = logit_parts(eta + modes[district], y)
curvature = np.bincount(district, w) + 1 / sigma**2
laplace = value.sum() - np.sum(modes**2) / (2 * sigma**2) - 0.5 * np.sum(np.log(sigma**2 * curvature))
print(f"Laplace's log-likelihood by hand {laplace:.6f}, engine {mixed.loglik:.6f}")
assert np.allclose(mixed.ranef()["estimate"], modes, atol=1e-5)
assert np.allclose(mixed.ranef()["se"], curvature**-0.5, rtol=1e-5)
assert abs(laplace - mixed.loglik) < 1e-5

# %% [markdown]
# Districts with few women are pulled towards zero, those with many stay where their own women put them; infinite
# estimates (arrows at the edge) come back to where the others are.

# %%
tally = women.assign(yes=y, offset=eta).groupby("district", observed=True).agg(n=("yes", "size"), yes=("yes", "sum"))
alone = np.zeros(len(tally))
for _ in range(12 if quick else 25):
    _, u, w = logit_parts(eta + alone[district], y)
    alone += np.clip(np.bincount(district, u) / np.bincount(district, w), -1, 1)
finite = ((tally["yes"] > 0) & (tally["yes"] < tally["n"])).to_numpy()
figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
edge = 2.4
ax.plot([-edge, edge], [-edge, edge], color="#767676", linewidth=0.8, linestyle=":")
ax.axhline(0, color="#767676", linewidth=0.8)
ax.scatter(alone[finite], modes[finite], s=6 + tally["n"][finite], color="#0072B2", alpha=0.6, linewidth=0)
for j in np.flatnonzero(~finite):
    ax.annotate(
        "",
        (edge * np.sign(alone[j]), modes[j]),
        ((edge - 0.4) * np.sign(alone[j]), modes[j]),
        arrowprops={"arrowstyle": "->", "color": "#D55E00"},
    )
    ax.annotate(
        tally.index[j],
        ((edge - 0.5) * np.sign(alone[j]), modes[j]),
        color="#D55E00",
        fontsize=8,
        ha="center",
        va="center",
    )
ax.set(xlabel="effect of a district alone (logit)", ylabel="conditional mode", ylim=(-1.3, 1.1))
ax.set_title("Sixty districts: the area of a dot is the number of women")
figure.savefig(figures / "02-districts.png", dpi=150)
assert np.all(np.abs(modes[finite]) <= np.abs(alone[finite]) + 1e-6)

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* Write `poisson_parts` for the log link. Are observed and expected information the same? Fit the ticks of
#    `bg.load_dataset("grouseticks")` on `HEIGHT` (centred and divided by 100) and compare with the engine.
# 2. *(easy)* What is the working response $z_i$ of the logit for $y_i = 1$ and $\hat p_i = 0.01$? What does that say
#    about outliers?
# 3. *(medium)* Add `cloglog_parts`. Which rows can have a negative observed weight, and what should a program do
#    then?
# 4. *(medium)* Prove that the ends of the interval of convergence of part 3 are a cycle of length two: Newton's
#    method jumps from one end to the other and back. Find it by solving $b = N(N(b))$.
# 5. *(hard)* Firth's penalty adds $\tfrac12 \log |X'WX|$ to the log-likelihood. Show that for one group of $n$ rows
#    it adds half a success and half a failure, and fit district 11 with it.
# 6. *(hard)* Extend part 5 to find $\beta$ and $b$ in one penalised least squares problem of 66 columns. Why is the
#    resulting $\beta$ not exactly the engine's?
#
# ## Hints
#
# 1. The log link is canonical for counts: both weights are $\mu$.
# 2. $z = \eta + (y - p)/(p(1-p)) = -4.6 + 100$, with weight 0.0099: far out, but with little weight.
# 3. $u$ can be smaller than its tangent where $y = 1$ and $\eta$ is large; use the expected weight there, or halve
#    steps.
# 4. $N$ is continuous and decreasing outside of the interval in which it contracts; the boundary maps to itself.
# 5. The penalty is $\tfrac12 \log(n p (1 - p))$ with slope $\tfrac12 - p$. District 11: $\log(0.5/21.5) = -3.76$.
# 6. The engine's $\beta$ maximises the likelihood *after* integrating $b$ out; the determinant of the curvature
#    depends on $\beta$ through $W$.
