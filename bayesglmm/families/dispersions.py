"""Parameters beside the mean that several families share, with brms' default priors (from version 2.20 on)."""

from __future__ import annotations

from bayesglmm.families.base import FamilyParameter
from bayesglmm.priors import Prior

SIGMA = FamilyParameter("sigma", "positive", "log", scaled=True)
SHAPE = FamilyParameter("shape", "positive", "log", Prior("InverseGamma", 0.4, 0.3))
PHI = FamilyParameter("phi", "positive", "log", Prior("Gamma", 0.01, 0.01))
# brms' link is log(nu - 1); log lets nu go below 1, where the data rarely take it under this prior.
NU = FamilyParameter("nu", "positive", "log", Prior("Gamma", 2.0, 0.1))
ZI = FamilyParameter("zi", "unit", "logit", Prior("Beta", 1.0, 1.0))
HU = FamilyParameter("hu", "unit", "logit", Prior("Beta", 1.0, 1.0))
CUTPOINTS = FamilyParameter("cutpoints", "real", "identity", Prior("StudentT", 3.0, 0.0, 2.5), ordered=True)
