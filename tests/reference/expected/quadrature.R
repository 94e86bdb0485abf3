# Makes quadrature.json: Poisson models with one random intercept by lme4::glmer with adaptive Gauss-Hermite quadrature.
# From this folder:  Rscript quadrature.R FOLDER_OF_THE_DATA
# lme4 reports log-likelihoods relative to the saturated model where nAGQ > 1; `logLik_full` adds that of the saturated one.
# Made with R 4.2.2, lme4 1.1-31; Debian's package r-cran-lme4.
suppressMessages({library(jsonlite); library(lme4)})
folder <- commandArgs(trailingOnly = TRUE)[1]
Owls <- read.csv(file.path(folder, "Owls.csv"), stringsAsFactors = TRUE)
strict <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), tolPwrss = 1e-12)
by_glmer <- function(call) {
  fit <- eval(call)
  y <- model.response(model.frame(fit))
  saturated <- sum(dpois(y, y, log = TRUE))
  V <- VarCorr(fit)$Nest
  list(engine = "lme4", call = paste(deparse(call, width.cutoff = 500), collapse = " "),
       versions = list(R = paste(R.version$major, R.version$minor, sep = "."), lme4 = as.character(packageVersion("lme4"))),
       nobs = nobs(fit), fixef = as.list(fixef(fit)), se = as.list(sqrt(diag(as.matrix(vcov(fit))))),
       sd_cor = list(Nest = list(terms = "(Intercept)", sd = unname(attr(V, "stddev")), corr = matrix(1))), sigma = 1,
       logLik = as.numeric(logLik(fit)), logLik_saturated = saturated,
       logLik_full = as.numeric(logLik(fit)) + saturated, df = attr(logLik(fit), "df"),
       ranef = list(Nest = list(levels = rownames(ranef(fit)$Nest), terms = "(Intercept)",
                                modes = unname(as.matrix(ranef(fit)$Nest)))))
}
blocks <- lapply(list(owls_5 = 5, owls_25 = 25), function(nodes) by_glmer(substitute(
  glmer(SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest), data = Owls,
        family = poisson, nAGQ = n, control = strict), list(n = nodes))))
writeLines(toJSON(blocks, auto_unbox = TRUE, digits = NA, pretty = TRUE, na = "null", null = "null"), "quadrature.json")
