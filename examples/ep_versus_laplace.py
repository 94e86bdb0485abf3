# %% [markdown]
# # Expectation propagation where Laplace's approximation fails: few yes-or-no rows per group
#
# 150 people answer four times each, and differ a lot. The posterior of someone who always says yes has a long tail:
# nothing in the data says how much above everyone else this person is. Laplace's approximation puts a normal density
# at the mode, with the curvature there. One idea: expectation propagation puts it where the mean is, with the
# variance of the whole density, at about the same price.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde

import bayesglmm as bg

rng = np.random.default_rng(11)
people, answers, truth = 150, 4, 3.0
person, treated = np.repeat(np.arange(people), answers), np.repeat(rng.permutation(people) % 2, answers)
chance = 1 / (1 + np.exp(-(0.8 * treated + rng.normal(0, truth, people)[person])))
said = pd.DataFrame({"yes": (rng.random(len(person)) < chance).astype(int), "treated": treated, "person": person})
said["person"] = said["person"].astype(str)
model = bg.Model("yes ~ treated + (1 | person)", said, family="bernoulli")

# %% [markdown]
# Three engines see the same model. Every approximation says how good it is.

# %%
fits = {
    "nuts": model.fit("nuts", seed=1),
    "laplace": model.fit("laplace", seed=1, resample=False),
    "ep": model.fit("ep", seed=1, resample=False),
}
for name, fit in fits.items():
    print(f"{name}: sd {fit.draws['sd_person'].mean():.2f}, truth {truth}. Verdict: {fit.verdict.word}")
print(bg.compare_engines(fits))

# %% [markdown]
# Evidence: the average of the likelihood over the prior. Quadrature integrates each person out numerically.

# %%
exact = model.fit("laplace", seed=1, quadrature=25, resample=False).log_evidence
for name in ("laplace", "ep"):
    print(f"log evidence by {name}: {fits[name].log_evidence - exact:+.2f} from that by quadrature")

# %% [markdown]
# The standard deviation between people, and the effect of someone who said yes four times.

# %%
total = said.groupby("person")["yes"].sum()
always = str(total.index[total == answers][0])
colours = {"nuts": "0.2", "laplace": "tab:orange", "ep": "tab:blue"}
titles = {"nuts": "NUTS", "laplace": "Laplace", "ep": "expectation propagation"}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, fit in fits.items():
    effect = fit.draws["b_person"].sel(level_person=always)
    for axis, draws in zip(axes, (fit.draws["sd_person"], effect), strict=True):
        values = np.ravel(draws)
        grid = np.linspace(*np.quantile(values, [0.0005, 0.9995]), 300)
        axis.plot(
            grid,
            gaussian_kde(values)(grid),
            color=colours[name],
            lw=2.5 if name == "nuts" else 1.8,
            label=titles[name],
        )
axes[0].axvline(truth, color="0.6", ls=":", label="truth")
axes[0].set(title="Standard deviation between people", xlabel="sd", ylabel="posterior density")
axes[1].set(title="Someone who said yes four times", xlabel="effect on the logit scale")
for axis in axes:
    axis.set_ylim(0)
    axis.set_yticks([])
    axis.spines[["top", "right", "left"]].set_visible(False)
axes[0].legend(frameon=False)
figures = Path("ep-versus-laplace")
figures.mkdir(exist_ok=True)
figure.savefig(figures / "densities.png", dpi=200)
figure
