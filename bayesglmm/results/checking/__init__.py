"""Does the model fit, and what stands in the way? Residuals, R-squared, sensitivity to priors, findings."""
