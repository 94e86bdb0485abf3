"""Covariance structures of random blocks, one file each; the first look-up in `COVARIANCES` imports them all."""

from bayesglmm.covariances.base import COVARIANCES, Covariance, CovarianceParameter, Setting

__all__ = ["COVARIANCES", "Covariance", "CovarianceParameter", "Setting"]
