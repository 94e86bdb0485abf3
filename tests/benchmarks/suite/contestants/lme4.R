start <- as.numeric(Sys.time())
source(commandArgs(trailingOnly = TRUE)[3])
suppressMessages(library(lme4))
imported <- clock()
data <- read_data()
formula <- formula_of(left_side(sprintf("cbind(%s, %s - %s)", given$response, given$trials, given$response)))
read <- clock()
work <- function() {
  suppressWarnings(if (given$family == "gaussian") lmer(formula, data, REML = FALSE) else
    glmer(formula, data, family = family_of()))
}
fit <- work()
beta <- fixef(fit)
errors <- sqrt(diag(as.matrix(vcov(fit))))
ready <- clock()
estimates <- c(estimates_of(vapply(names(beta), label, ""), beta, errors), components_of(VarCorr(fit)))
if (given$family == "gaussian") estimates$sigma <- c(sigma(fit), NA)
answer(c(import = imported - start, data = read - imported, fit = ready - read,
         warm = warm(work, ready - read)), estimates, "lme4", ready,
       loglik = as.numeric(logLik(fit)))
