# Fits of mgcv that tests/reference/test_mgcv.py compares with: Rscript smooths_mgcv.R DATA_FOLDER > smooths_mgcv.json
# DATA_FOLDER holds mcycle.csv (MASS) and basis_points.csv (100 points: x, x1 in [0, 1], x2 in [0, 2], fac).
# Smoothing parameters are estimated by REML, then held at a tenth of that so that the curves are not at an optimum
# where errors in the map between penalties and standard deviations would hide.
suppressMessages({library(mgcv); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
mcycle <- read.csv(file.path(folder, "mcycle.csv"))
points <- read.csv(file.path(folder, "basis_points.csv"))
points$fac <- factor(points$fac)
i <- seq_len(nrow(points))
# a response without random numbers, so that any R makes the same
points$y <- sin(6 * points$x1) * cos(2 * points$x2) + 0.4 * points$x2 + 0.3 * sin(7.3 * i) + 0.5 * (points$fac == "b") * points$x1
points$ofac <- ordered(points$fac)
points$w <- 1 + sin(i)
cases <- list(
  tp = list("accel ~ s(times, bs='tp', k=20)", mcycle),
  cr = list("accel ~ s(times, bs='cr', k=20)", mcycle),
  ps = list("accel ~ s(times, bs='ps', k=20)", mcycle),
  ps_m = list("accel ~ s(times, bs='ps', k=15, m=c(1, 1))", mcycle),
  cc = list("accel ~ s(times, bs='cc', k=12)", mcycle),
  ts = list("accel ~ s(times, bs='ts', k=20)", mcycle),
  cs = list("accel ~ s(times, bs='cs', k=20)", mcycle),
  tp_m3 = list("accel ~ s(times, bs='tp', k=15, m=3)", mcycle),
  gp = list("accel ~ s(times, bs='gp', k=15)", mcycle),
  gp_exponential = list("accel ~ s(times, bs='gp', k=15, m=c(2, 10, 1))", mcycle),
  gp_stationary = list("accel ~ s(times, bs='gp', k=15, m=c(-4, 20))", mcycle),
  fx = list("accel ~ s(times, bs='cr', k=8, fx=TRUE)", mcycle),
  tp_2d = list("y ~ s(x1, x2, bs='tp', k=30)", points),
  gp_2d = list("y ~ s(x1, x2, bs='gp', k=30)", points),
  te = list("y ~ te(x1, x2)", points),
  te_tp_ps = list("y ~ te(x1, x2, bs=c('tp', 'ps'), k=c(5, 6))", points),
  ti = list("y ~ s(x1, bs='cr') + s(x2, bs='cr') + ti(x1, x2)", points),
  by_factor = list("y ~ fac + s(x1, bs='cr', k=6, by=fac)", points),
  by_ordered = list("y ~ fac + s(x1, bs='cr', k=6) + s(x1, bs='cr', k=6, by=ofac)", points),
  by_numeric = list("y ~ s(x1, bs='cr', k=6, by=w)", points),
  te_3d = list("y ~ te(x1, x2, w, d=c(2, 1), k=c(12, 4), bs=c('tp', 'cr'))", points),
  re = list("y ~ x1 + s(fac, bs='re')", points)
)
one <- function(case) {
  form <- as.formula(case[[1]]); data <- case[[2]]
  reml <- gam(form, data = data, method = "REML")
  held <- if (length(reml$sp)) gam(form, data = data, sp = reml$sp / 10, scale = reml$sig2, method = "REML") else reml
  new <- if ("times" %in% names(data)) data.frame(times = seq(2, 60, length = 30)) else
    data.frame(x1 = seq(0, 1, length = 30), x2 = 2 - seq(0, 2, length = 30), fac = rep(c("a", "b", "c"), 10)[1:30],
               ofac = ordered(rep(c("a", "b", "c"), 10), levels(points$ofac)), w = seq(0, 2, length = 30))
  scales <- unlist(lapply(held$smooth, function(s) s$S.scale))
  list(formula = case[[1]], sp = unname(reml$sp) / 10, S_scale = unname(scales), sigma2 = held$sig2,
       labels = sapply(held$smooth, function(s) s$label),
       fitted = unname(fitted(held)), edf = unname(sapply(held$smooth, function(s) sum(held$edf[s$first.para:s$last.para]))),
       new = as.list(new[intersect(names(new), c("times", "x1", "x2", "fac", "ofac", "w"))]),
       predicted = unname(c(predict(held, new, se.fit = FALSE))),
       se = unname(c(predict(held, se.fit = TRUE)$se.fit)),
       reml = list(sp = unname(reml$sp), sigma2 = reml$sig2, fitted = unname(fitted(reml)),
                   edf = unname(sapply(reml$smooth, function(s) sum(reml$edf[s$first.para:s$last.para])))))
}
out <- lapply(cases, one)
out$points <- as.list(points[c("x", "x1", "x2", "fac", "y", "w")])
out$versions <- list(R = as.character(getRversion()), mgcv = as.character(packageVersion("mgcv")))
cat(toJSON(out, digits = NA, auto_unbox = TRUE))
