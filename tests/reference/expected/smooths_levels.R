# Fits of mgcv that tests/reference/test_mgcv.py compares with: Rscript smooths_levels.R DATA_FOLDER > smooths_levels.json
# Smooths whose unpenalised columns are penalised, too: "fs" and t2(). mgcv scales and rotates those columns in ways of
# its own, so standard deviations are not compared, but distributions over functions: `size` of a penalty is the mean
# over rows of the prior variance of what it penalises, with a smoothing parameter (over phi) of one.
# DATA_FOLDER holds basis_points.csv (100 points: x, x1 in [0, 1], x2 in [0, 2], fac).
suppressMessages({library(mgcv); library(jsonlite)})
points <- read.csv(file.path(commandArgs(TRUE)[1], "basis_points.csv"))
points$fac <- factor(points$fac)
i <- seq_len(nrow(points))
# a response without random numbers, so that any R makes the same
points$y <- sin(6 * points$x1) * cos(2 * points$x2) + 0.4 * points$x2 + 0.3 * sin(7.3 * i) + 0.5 * (points$fac == "b") * points$x1
cases <- list(
  fs = "y ~ s(x1, fac, bs='fs', k=6)",
  fs_constant = "y ~ s(x1, fac, bs='fs', k=6, m=1)",
  t2_constant = "y ~ t2(x1, x2, bs='ps', k=5, m=1)",
  t2 = "y ~ t2(x1, x2, k=5)"
)
one <- function(text) {
  form <- as.formula(text)
  reml <- gam(form, data = points, method = "REML")
  # the polynomials of "fs" share a smoothing parameter: mgcv rotates them
  sp <- if (text == cases$fs) c(reml$sp[1], 1, 1) / 10 else reml$sp / 10
  held <- gam(form, data = points, sp = sp, scale = reml$sig2, method = "REML")
  smooth <- held$smooth[[1]]
  X <- predict(held, type = "lpmatrix")[, smooth$first.para:smooth$last.para]
  size <- sapply(smooth$S, function(S) {
    own <- which(diag(S) > 1e-12 * max(diag(S)))
    mean(rowSums((X[, own] %*% solve(S[own, own])) * X[, own]))
  })
  list(formula = text, sp = unname(sp), size = size, sigma2 = held$sig2, fitted = unname(fitted(held)),
       edf = sum(held$edf[smooth$first.para:smooth$last.para]),
       reml = list(sp = unname(reml$sp), fitted = unname(fitted(reml)), se = unname(c(predict(reml, se.fit = TRUE)$se.fit)),
                   edf = sum(reml$edf[smooth$first.para:smooth$last.para])))
}
out <- lapply(cases, one)
out$points <- as.list(points[c("x1", "x2", "fac", "y")])
out$versions <- list(R = as.character(getRversion()), mgcv = as.character(packageVersion("mgcv")))
cat(toJSON(out, digits = NA, auto_unbox = TRUE))
