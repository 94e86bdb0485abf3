# Areal effects: mgcv's Markov random field (an intrinsic autoregression) on the Columbus data, REML. Writes areal.json.
suppressMessages({library(mgcv); library(jsonlite)})
data(columb); data(columb.polys)
nb <- mgcv:::pol2nb(columb.polys)$nb  # districts that share a border
columb$count <- round(columb$crime)
out <- list(neighbours = lapply(nb, function(own) names(columb.polys)[own]))
xt <- list(polys = columb.polys)
for (case in c("crime", "home.value", "count")) {
  # With a covariate there would be more coefficients than districts, which gam refuses.
  f <- as.formula(paste(case, '~ s(district, bs = "mrf", xt = xt)'))
  g <- gam(f, data = columb, method = "REML", family = if (case == "count") poisson else gaussian)
  v <- suppressWarnings(gam.vcomp(g, rescale = TRUE))
  v <- if (is.list(v)) v$vc else v
  p <- predict(g, se.fit = TRUE)
  out[[case]] <- list(call = deparse1(f), versions = list(R = as.character(getRversion()), mgcv = as.character(packageVersion("mgcv"))),
    coefficients = as.list(coef(g)[!grepl("^s\\(", names(coef(g)))]), sd = unname(v[1, 1]), sigma = sqrt(g$sig2),
    predictor = as.numeric(p$fit), se = as.numeric(p$se.fit), REML = as.numeric(g$gcv.ubre), edf = sum(g$edf))
  cat(case, unname(v[1, 1]), sqrt(g$sig2), g$gcv.ubre, sum(g$edf), "\n")
}
write_json(out, "areal.json", digits = NA, auto_unbox = TRUE, pretty = FALSE)
if (length(commandArgs(TRUE))) {
  d <- data.frame(district = columb$district, crime = columb$crime, home_value = columb$home.value, income = columb$income, x = columb$x, y = columb$y,
    neighbours = vapply(nb, function(own) paste(names(columb.polys)[own], collapse = " "), ""))
  write.csv(d, commandArgs(TRUE)[1], row.names = FALSE, quote = FALSE)
}
