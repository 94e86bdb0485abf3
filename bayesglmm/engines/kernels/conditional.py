"""The conditional mode x-hat(theta), Laplace's approximation of p(theta | y), and how x-hat moves with theta."""

from bayesglmm.engines.kernels.newton import ConditionalMode, conditional_mode
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import Optimum, laplace_mode, maximise, mode_jacobian

__all__ = [
    "ConditionalMode",
    "LaplaceObjective",
    "Optimum",
    "conditional_mode",
    "laplace_mode",
    "maximise",
    "mode_jacobian",
]
