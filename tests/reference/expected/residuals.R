# Correlated and heteroscedastic residuals: nlme (gls, lme) and glmmTMB. Writes residuals.json and residuals_gaps.csv.
suppressMessages({library(nlme); library(glmmTMB); library(jsonlite)})
out <- list()
versions <- list(R = as.character(getRversion()), nlme = as.character(packageVersion("nlme")),
  glmmTMB = as.character(packageVersion("glmmTMB")))
both <- function(key, make, correlation = NULL) for (method in c("ML", "REML")) {
  f <- make(method)
  lme <- inherits(f, "lme")
  beta <- if (lme) fixef(f) else coef(f)
  cs <- f$modelStruct$corStruct
  vs <- f$modelStruct$varStruct
  own <- list(engine = paste0("nlme::", class(f)[1]), versions = versions, method = method, logLik = as.numeric(logLik(f)),
    AIC = AIC(f), fixef = as.list(beta), se = as.list(sqrt(diag(vcov(f)))), sigma = f$sigma)
  if (lme) own$random_sd <- unname(as.numeric(VarCorr(f)[, "StdDev"]))
  if (!is.null(cs)) own$correlation <- unname(as.numeric(coef(cs, unconstrained = FALSE)))
  if (!is.null(vs)) own$ratios <- as.list(coef(vs, unconstrained = FALSE, allCoef = TRUE))
  out[[paste(key, tolower(method), sep = "_")]] <<- own
  cat(key, method, own$logLik, own$correlation, "\n")
}
d <- as.data.frame(Orthodont); d$Subject <- factor(as.character(d$Subject)); d$time <- (d$age - 6) / 2
growth <- distance ~ age * Sex
both("orthodont_cs", function(m) gls(growth, d, corCompSymm(form = ~ 1 | Subject), method = m))
both("orthodont_ar1", function(m) gls(growth, d, corAR1(form = ~ time | Subject), method = m))
both("orthodont_us", function(m) gls(growth, d, corSymm(form = ~ time | Subject), method = m))
both("orthodont_us_by_age", function(m) gls(growth, d, corSymm(form = ~ time | Subject), varIdent(form = ~ 1 | age), method = m))
both("orthodont_by_sex", function(m) lme(growth, d, ~ 1 | Subject, weights = varIdent(form = ~ 1 | Sex), method = m))
both("orthodont_ar1_by_sex", function(m) lme(growth, d, ~ 1 | Subject, corAR1(form = ~ time | Subject),
  varIdent(form = ~ 1 | Sex), method = m))
o <- as.data.frame(Oxboys); o$Subject <- factor(as.character(o$Subject)); o$visit <- as.integer(as.character(o$Occasion))
long <- lmeControl(opt = "optim", maxIter = 500, msMaxIter = 2000, msTol = 1e-10, tolerance = 1e-9)
both("oxboys_ar1", function(m) lme(height ~ age, o, ~ age | Subject, corAR1(form = ~ visit | Subject), method = m, control = long))
both("oxboys_ou", function(m) lme(height ~ age, o, ~ 1 | Subject, corCAR1(form = ~ age | Subject), method = m, control = long))
both("oxboys_cs", function(m) gls(height ~ age, o, corCompSymm(form = ~ 1 | Subject), method = m))
both("oxboys_us", function(m) gls(height ~ age, o, corSymm(form = ~ visit | Subject), method = m))
# Gaps, different times per group, rows out of order, precision weights; and a negative correlation within groups.
set.seed(20261121)
g <- expand.grid(time = 1:7, id = sprintf("g%02d", 1:24))
g <- g[runif(nrow(g)) > .25, ]; g <- g[sample(nrow(g)), ]
g$x <- round(rnorm(nrow(g)), 3); g$w <- sample(c(1, 2, 4), nrow(g), TRUE)
e <- numeric(nrow(g)); n <- numeric(nrow(g))
for (l in unique(g$id)) {
  i <- which(g$id == l); t <- g$time[i]
  e[i] <- drop(t(chol(.7^abs(outer(t, t, "-")))) %*% rnorm(length(i)))
  n[i] <- drop(t(chol(diag(length(i)) * 1.12 - .12)) %*% rnorm(length(i)))
}
g$y <- round(1 + .5 * g$x + 1.5 * e / sqrt(g$w), 4); g$z <- round(2 - .3 * g$x + n, 4)
write.csv(g[, c("id", "time", "x", "w", "y", "z")], "residuals_gaps.csv", row.names = FALSE)
g$id <- factor(g$id)
both("gaps_ar1", function(m) gls(y ~ x, g, corAR1(form = ~ time | id), varFixed(~ I(1 / w)), method = m))
both("gaps_ou", function(m) gls(y ~ x, g, corCAR1(form = ~ time | id), method = m))
part <- d[-c(3, 17, 18, 40, 81), ]  # children without some of the ages
both("orthodont_us_part", function(m) gls(growth, part, corSymm(form = ~ time | Subject), method = m))
both("gaps_cs", function(m) gls(z ~ x, g, corCompSymm(form = ~ 1 | id), method = m))
both("gaps_order", function(m) gls(y ~ x, g, corAR1(form = ~ 1 | id), method = m))
for (reml in c(FALSE, TRUE)) {
  f <- glmmTMB(distance ~ age * Sex + (1 | Subject), d, dispformula = ~ Sex, REML = reml)
  key <- paste0("tmb_by_sex_", if (reml) "reml" else "ml")
  out[[key]] <- list(engine = "glmmTMB", versions = versions, logLik = as.numeric(logLik(f)), fixef = as.list(fixef(f)$cond),
    disp = as.list(fixef(f)$disp))
  cat(key, out[[key]]$logLik, unlist(out[[key]]$disp), "\n")
}
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "residuals.json")
