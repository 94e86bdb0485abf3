# Makes nonlinear.json: growth of orange trees and the Puromycin reaction, data sets of R (`?Orange`, `?Puromycin`).
# From this folder:  Rscript nonlinear.R
# - orange_asym: lme4::nlmer, one random effect that enters linearly, so that Laplace's approximation is exact.
# - orange_xmid: lme4::nlmer, one random effect that enters nonlinearly, by Laplace's approximation.
# - orange_xmid_exact: the same likelihood with every integral by `integrate`, maximised by `optim`: no approximation.
# - puromycin: stats::nls, and its standard errors with the maximum likelihood estimate of the residual.
# Made with R 4.2.2, lme4 1.1-31 (Debian's package r-cran-lme4).
suppressMessages({library(jsonlite); library(lme4)})
versions <- list(R = paste(R.version$major, R.version$minor, sep = "."), lme4 = as.character(packageVersion("lme4")))
Orange$Tree <- factor(as.character(Orange$Tree))
strict <- nlmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), tolPwrss = 1e-13)
by_nlmer <- function(call) {
  fit <- eval(call)
  list(engine = "lme4", call = paste(deparse(call, width.cutoff = 500), collapse = " "), versions = versions,
       fixef = as.list(fixef(fit)), sd = unname(attr(VarCorr(fit)$Tree, "stddev")), sigma = sigma(fit),
       logLik = as.numeric(logLik(fit)), levels = rownames(ranef(fit)$Tree), modes = ranef(fit)$Tree[[1]])
}
start <- c(Asym = 192, xmid = 728, scal = 348)
asym <- by_nlmer(quote(nlmer(circumference ~ SSlogis(age, Asym, xmid, scal) ~ Asym | Tree, Orange, start = start,
                             control = strict)))
xmid <- by_nlmer(quote(nlmer(circumference ~ SSlogis(age, Asym, xmid, scal) ~ xmid | Tree, Orange, start = start,
                             control = strict)))
negative <- function(p, random) {
  s <- exp(p[4]); sigma <- exp(p[5])
  -sum(sapply(split(Orange, Orange$Tree), function(d) {
    inside <- function(z) sapply(z, function(one) {
      q <- p[1:3]; q[random] <- q[random] + s * one
      sum(dnorm(d$circumference, q[1] / (1 + exp(-(d$age - q[2]) / q[3])), sigma, log = TRUE)) + dnorm(one, log = TRUE)
    })
    best <- optimize(inside, c(-5, 5), maximum = TRUE, tol = 1e-10)
    best$objective + log(integrate(function(z) exp(inside(z) - best$objective), best$maximum - 4, best$maximum + 4,
                                   rel.tol = 1e-10, subdivisions = 500)$value)
  }))
}
exact <- function(first, random) {
  p <- c(unlist(first$fixef), log(first$sd), log(first$sigma))
  for (k in 1:4) p <- optim(p, negative, random = random, method = if (k %% 2) "Nelder-Mead" else "BFGS",
                            control = list(parscale = c(100, 100, 100, 1, 1), reltol = 1e-14, maxit = 5000))$par
  list(engine = "integrate, optim", call = paste("random", random), versions = versions, fixef = as.list(p[1:3]),
       sd = exp(p[[4]]), sigma = exp(p[[5]]), logLik = -negative(p, random))
}
treated <- subset(Puromycin, state == "treated")
fit <- nls(rate ~ Vm * conc / (K + conc), treated, start = c(Vm = 200, K = 0.05), control = nls.control(tol = 1e-7))
n <- nrow(treated)
ml <- sqrt(sum(resid(fit)^2) / n)
puromycin <- list(engine = "nls", call = deparse(fit$call$formula), versions = versions, fixef = as.list(coef(fit)),
                  sigma_ml = ml, se_ml = as.list(sqrt(diag(vcov(fit))) * ml / sigma(fit)),
                  logLik = as.numeric(logLik(fit)))
blocks <- list(orange_asym = asym, orange_xmid = xmid, orange_xmid_exact = exact(xmid, 2), puromycin = puromycin)
writeLines(toJSON(blocks, auto_unbox = TRUE, digits = NA, pretty = TRUE, na = "null", null = "null"), "nonlinear.json")
