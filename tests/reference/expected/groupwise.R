# Group-wise covariances in lme4: a term of dummy variables for each level of another factor (ML). Writes groupwise.json.
suppressMessages({library(lme4); library(jsonlite)})
d <- read.csv("covariances_orthodont.csv")
d$M <- as.numeric(d$Sex == "Male"); d$F <- as.numeric(d$Sex == "Female")
out <- list()
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5))
for (kind in c("us", "diag", "intercept")) {
  f <- switch(kind, us = distance ~ age * Sex + (0 + M + M:age | Subject) + (0 + F + F:age | Subject),
    diag = distance ~ age * Sex + (0 + M | Subject) + (0 + M:age | Subject) + (0 + F | Subject) + (0 + F:age | Subject),
    intercept = distance ~ age * Sex + (0 + M | Subject) + (0 + F | Subject))
  m <- suppressMessages(lmer(f, d, REML = FALSE, control = tight))
  v <- as.data.frame(VarCorr(m))
  out[[kind]] <- list(call = deparse1(f), versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))),
    logLik = as.numeric(logLik(m)), fixef = as.list(fixef(m)), sd = v$sdcor[is.na(v$var2)], cor = v$sdcor[!is.na(v$var2)], sigma = sigma(m))
  cat(kind, logLik(m), out[[kind]]$sd, out[[kind]]$cor, "\n")
}
write_json(out, "groupwise.json", digits = NA, auto_unbox = TRUE, pretty = TRUE)
