"""bayesglmm: Bayesian generalized linear mixed models on PyMC.

One formula, one PyMC graph, several inference engines, one result type. The public names, nothing else.
"""

from bayesglmm import errors, plots, steps
from bayesglmm.checkup import doctor
from bayesglmm.covariances.matrices import known_factor, known_precision
from bayesglmm.covariances.pedigree import inbreeding, pedigree_precision
from bayesglmm.covariances.phylogeny import phylogeny_precision
from bayesglmm.datasets import list_datasets, load_dataset
from bayesglmm.families import FAMILIES, Family, FamilyParameter
from bayesglmm.formula import nonlinear
from bayesglmm.links import LINKS, Link
from bayesglmm.loading import load, resume
from bayesglmm.maps import odds_ratio_map
from bayesglmm.model import Model
from bayesglmm.priors import Prior
from bayesglmm.results.compare import compare_engines
from bayesglmm.results.effects.grid import grid
from bayesglmm.results.evaluation.bayes_factor import bayes_factor
from bayesglmm.results.evaluation.comparison import compare_models
from bayesglmm.results.likelihood_ratio import likelihood_ratio
from bayesglmm.results.scan import scan
from bayesglmm.version import __version__ as __version__

__all__ = [
    "FAMILIES",
    "LINKS",
    "Family",
    "FamilyParameter",
    "Link",
    "Model",
    "Prior",
    "bayes_factor",
    "compare_engines",
    "compare_models",
    "doctor",
    "errors",
    "grid",
    "inbreeding",
    "known_factor",
    "known_precision",
    "likelihood_ratio",
    "list_datasets",
    "load",
    "load_dataset",
    "nonlinear",
    "odds_ratio_map",
    "pedigree_precision",
    "phylogeny_precision",
    "plots",
    "resume",
    "scan",
    "steps",
]
