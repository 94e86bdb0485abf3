# A thin plate spline of more than 2,000 points on knots that are given: Rscript lansing_knots.R FOLDER > lansing_knots.json
# FOLDER holds lansing.csv (bayesglmm.load_dataset("lansing")) and knots.csv: columns x, y, and in its rows
# bayesglmm.bases.thin_plate.centres(numpy.unique(lansing[["x", "y"]], axis=0)), the 2,000 points that bayesglmm takes.
# Left to itself mgcv draws 2,000 others, by a seed of its own (xt=list(seed=)): `other` says how far two of its
# choices are apart, as a share of the range.
suppressMessages({library(mgcv); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
data <- read.csv(file.path(folder, "lansing.csv")); knots <- read.csv(file.path(folder, "knots.csv"))
fit <- function(...) gam(hickory ~ s(x, y, bs = "tp", k = 30, ...), data = data, family = binomial, method = "REML")
ours <- gam(hickory ~ s(x, y, bs = "tp", k = 30), data = data, family = binomial, method = "REML",
            knots = list(x = knots$x, y = knots$y))
one <- fit(); two <- fit(xt = list(seed = 99))
rows <- seq(1, nrow(data), by = 20)
cat(toJSON(list(rows = rows - 1, fitted = unname(predict(ours))[rows], edf = sum(ours$edf) - 1,
                other = max(abs(predict(one) - predict(two))) / diff(range(predict(one))),
                versions = list(R = as.character(getRversion()), mgcv = as.character(packageVersion("mgcv")))),
           digits = NA, auto_unbox = TRUE))
