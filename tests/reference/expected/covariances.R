# Covariance structures: glmmTMB (ML) on data of nlme and on simulated ones. Writes covariances.json.
suppressMessages({library(glmmTMB); library(nlme); library(jsonlite)})
out <- list()
one <- function(call, fit, extra = list()) c(list(call = call, engine = "glmmTMB", versions = list(R = as.character(getRversion()),
  glmmTMB = as.character(packageVersion("glmmTMB"))), logLik = as.numeric(logLik(fit)), fixef = as.list(fixef(fit)$cond), sigma = sigma(fit)), extra)
vc <- function(fit, g, k = 1) { v <- VarCorr(fit)$cond[[k]]; list(sd = unname(attr(v, "stddev")), corr = unname(attr(v, "correlation"))) }
d <- as.data.frame(Orthodont); d$Subject <- factor(as.character(d$Subject)); d$occ <- factor(d$age)
write.csv(d[, c("distance", "age", "Subject", "Sex")], "covariances_orthodont.csv", row.names = FALSE)
for (w in c("us", "cs", "ar1", "toep", "diag")) {
  call <- sprintf("distance ~ age * Sex + %s(0 + occ | Subject)", w)
  f <- glmmTMB(as.formula(call), d, dispformula = ~0, control = glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 3000)))
  out[[paste0("orthodont_", w)]] <- one(paste(call, "with dispformula = ~0"), f, vc(f))
  cat(w, logLik(f), "\n")
}
for (w in c("us", "cs", "ar1")) {
  cor <- switch(w, us = corSymm(form = ~ 1 | Subject), cs = corCompSymm(form = ~ 1 | Subject), ar1 = corAR1(form = ~ 1 | Subject))
  wt <- if (w == "ar1") NULL else varIdent(form = ~ 1 | occ)
  f <- gls(distance ~ age * Sex, d, correlation = cor, weights = wt, method = "ML")
  out[[paste0("orthodont_gls_", w)]] <- list(call = deparse1(f$call), engine = "nlme::gls", versions = list(nlme = as.character(packageVersion("nlme"))),
    logLik = as.numeric(logLik(f)), fixef = as.list(coef(f)), sigma = f$sigma)
  cat("gls", w, logLik(f), "\n")
}
# Counts: a latent process beside Poisson noise; and points of the plane.
set.seed(20261121)
n <- 40; times <- 8
e <- as.data.frame(expand.grid(time = 1:times, id = factor(1:n)))
b <- t(replicate(n, { z <- numeric(times); z[1] <- rnorm(1); for (t in 2:times) z[t] <- .7 * z[t - 1] + sqrt(1 - .49) * rnorm(1); .6 * z }))
e$x <- round(rnorm(nrow(e)), 3); e$y <- rpois(nrow(e), exp(.8 + .3 * e$x + c(t(b))))
gap <- c(0, .5, 2, 2.5, 4, 7, 7.5, 9); e$hour <- gap[e$time]
e$f <- factor(e$time); e$nf <- numFactor(e$hour)
write.csv(e[, c("id", "time", "hour", "x", "y")], "covariances_counts.csv", row.names = FALSE)
for (w in c("ar1(0 + f | id)", "cs(0 + f | id)", "toep(0 + f | id)", "ou(0 + nf | id)", "exp(0 + nf | id)", "gau(0 + nf | id)", "rr(0 + f | id, d = 2)")) {
  call <- paste("y ~ x +", w)
  f <- try(glmmTMB(as.formula(call), e, family = poisson, control = glmmTMBControl(optCtrl = list(iter.max = 3000, eval.max = 4000))))
  key <- paste0("counts_", sub("\\(.*", "", w))
  out[[key]] <- one(call, f, c(vc(f), list(theta = unname(f$fit$par[names(f$fit$par) == "theta"]), convergence = f$fit$convergence)))
  cat(key, logLik(f), f$fit$convergence, "\n")
}
set.seed(7)
s <- data.frame(lon = round(runif(90), 3), lat = round(runif(90), 3), one = factor(1))
D <- as.matrix(dist(s[, 1:2])); s$z <- round(2 + drop(t(chol(exp(-D / .3))) %*% rnorm(90)) + rnorm(90, 0, .4), 4)
s$p <- numFactor(s$lon, s$lat)
write.csv(s[, c("lon", "lat", "z")], "covariances_plane.csv", row.names = FALSE)
for (w in c("exp", "gau", "mat")) {
  call <- sprintf("z ~ 1 + %s(p + 0 | one)", w)
  start <- list(theta = c(0, log(.2), log(1.5))[seq_len(ifelse(w == "mat", 3, 2))])
  f <- if (w == "mat") glmmTMB(as.formula(call), s, map = list(theta = factor(c(1, 2, NA))), start = start) else glmmTMB(as.formula(call), s, start = start)
  th <- f$obj$env$parList()$theta
  out[[paste0("plane_", w)]] <- one(call, f, list(sd = exp(th[1]), theta = th, convergence = f$fit$convergence))
  cat(w, logLik(f), th, f$fit$convergence, "\n")
}
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "covariances.json")
