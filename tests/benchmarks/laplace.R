# Times of reference fits: Rscript laplace.R data.csv formula family repeats factors
# Prints one line per program: name, seconds of the quickest fit, log-likelihood.
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(arguments[1], check.names = FALSE)
for (column in strsplit(arguments[5], ",")[[1]]) data[[column]] <- factor(data[[column]])
formula <- as.formula(arguments[2])
family <- arguments[3]
repeats <- as.integer(arguments[4])

report <- function(name, fit) {
  seconds <- Inf
  for (i in seq_len(repeats)) seconds <- min(seconds, system.time(found <- suppressWarnings(fit()))[["elapsed"]])
  cat(name, seconds, format(as.numeric(logLik(found)), digits = 12), "\n")
}

if (requireNamespace("glmmTMB", quietly = TRUE) && family != "gaussian") {
  report("glmmTMB", function() glmmTMB::glmmTMB(formula, data, family = family))
}
if (requireNamespace("lme4", quietly = TRUE)) {
  if (family == "gaussian") {
    report("lmer", function() lme4::lmer(formula, data, REML = FALSE))
  } else {
    report("glmer", function() lme4::glmer(formula, data, family = family))
  }
}
