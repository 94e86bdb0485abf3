"""What to cite: the software, and the methods that a fit used."""

from __future__ import annotations

from collections.abc import Mapping

PYMC = (
    "Abril-Pla, O., Andreani, V., Carroll, C. et al. (2023). PyMC: a modern, and comprehensive probabilistic "
    "programming framework in Python. PeerJ Computer Science 9, e1516. doi:10.7717/peerj-cs.1516"
)
ARVIZ = (
    "Martin, O. A., Abril-Pla, O., Deklerk, J. et al. (2026). ArviZ: a modular and flexible library for exploratory "
    "analysis of Bayesian models. Journal of Open Source Software 11(119), 9889. doi:10.21105/joss.09889"
)
R_HAT = (
    "Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. and Bürkner, P.-C. (2021). Rank-normalization, folding, and "
    "localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16, 667-718. "
    "doi:10.1214/20-BA1221"
)
PSIS = (
    "Vehtari, A., Simpson, D., Gelman, A., Yao, Y. and Gabry, J. (2024). Pareto smoothed importance sampling. "
    "Journal of Machine Learning Research 25(72), 1-58."
)
TIERNEY = (
    "Tierney, L. and Kadane, J. B. (1986). Accurate approximations for posterior moments and marginal densities. "
    "Journal of the American Statistical Association 81, 82-86. doi:10.1080/01621459.1986.10478240"
)
RUE = (
    "Rue, H., Martino, S. and Chopin, N. (2009). Approximate Bayesian inference for latent Gaussian models by using "
    "integrated nested Laplace approximations. Journal of the Royal Statistical Society B 71, 319-392. "
    "doi:10.1111/j.1467-9868.2008.00700.x"
)
BATES = (
    "Bates, D., Mächler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. "
    "Journal of Statistical Software 67(1), 1-48. doi:10.18637/jss.v067.i01"
)
NUTS = (
    "Hoffman, M. D. and Gelman, A. (2014). The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian "
    "Monte Carlo. Journal of Machine Learning Research 15, 1593-1623."
)
GAMERMAN = (
    "Gamerman, D. (1997). Sampling from the posterior distribution in generalized linear mixed models. Statistics "
    "and Computing 7, 57-68. doi:10.1023/A:1018509429360"
)
MINKA = (
    "Minka, T. P. (2001). Expectation propagation for approximate Bayesian inference. Proceedings of the 17th "
    "Conference on Uncertainty in Artificial Intelligence, 362-369."
)
CSEKE = (
    "Cseke, B. and Heskes, T. (2011). Approximate marginals in latent Gaussian models. Journal of Machine Learning "
    "Research 12, 417-454."
)
WOOD = (
    "Wood, S. N. (2017). Generalized additive models: an introduction with R (2nd ed.). Chapman and Hall/CRC. "
    "doi:10.1201/9781315370279"
)

BY_ENGINE: Mapping[str, tuple[str, ...]] = {
    "nuts": (NUTS, R_HAT),
    "metropolis": (GAMERMAN, R_HAT),
    "laplace": (TIERNEY, RUE, PSIS),
    "ep": (MINKA, CSEKE, PSIS),
}
OF_LIKELIHOOD = (TIERNEY, BATES)


def references(engine: str, posterior: bool, smooths: bool) -> tuple[str, ...]:
    """Return what to cite for the methods.

    Parameters
    ----------
    engine : str
        Registered name.
    posterior : bool
        Whether it is a posterior, and not a maximum likelihood fit.
    smooths : bool
        Whether the model has smooth functions.
    """
    method = BY_ENGINE.get(engine, ()) if posterior else OF_LIKELIHOOD
    return (*method, *((WOOD,) if smooths else ()), PYMC, *((ARVIZ,) if posterior else ()))
