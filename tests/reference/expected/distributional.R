# Makes distributional.json and ordinal.json: models with formulas for dispersion and zero inflation by glmmTMB, ordered
# responses by ordinal::clmm. From this folder:  Rscript distributional.R FOLDER_OF_THE_DATA
# glmmTMB's dispersion formula is for log sigma^2 in gaussian models and for log size in nbinom2. clmm's optimiser stops early:
# `max_gradient` says how near to its optimum a block is. The distribution function of its cloglog is exp(-exp(-x)), that of its loglog 1 - exp(-exp(x)).
# Made with R 4.2.2, glmmTMB 1.1.5 (TMB 1.9.2), ordinal 2022.11-16; Debian's packages r-cran-glmmtmb, r-cran-ordinal.
suppressMessages({library(jsonlite); library(glmmTMB); library(ordinal)})
folder <- commandArgs(trailingOnly = TRUE)[1]
table_of <- function(name) read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
versions <- function(...) {
  packages <- c(...)
  c(list(R = paste(R.version$major, R.version$minor, sep = ".")),
    setNames(lapply(packages, function(p) as.character(packageVersion(p))), packages))
}
sds <- function(v) lapply(v, function(m) list(terms = names(attr(m, "stddev")), sd = unname(attr(m, "stddev")),
                                              corr = unname(matrix(as.numeric(attr(m, "correlation")), nrow(m)))))
write <- function(x, name)
  writeLines(toJSON(x, auto_unbox = TRUE, digits = NA, pretty = TRUE, na = "null", null = "null"), paste0(name, ".json"))

# glmmTMB ------------------------------------------------------------------------------------------------------------
tight <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4))
by_glmmTMB <- function(call) {
  fit <- eval(call)
  stopifnot(fit$fit$convergence == 0, fit$sdr$pdHess)
  V <- vcov(fit)
  effects <- lapply(Filter(length, ranef(fit)), function(part) lapply(part, function(d)
    list(levels = rownames(d), terms = colnames(d), modes = unname(as.matrix(d)))))
  list(engine = "glmmTMB", call = paste(deparse(call, width.cutoff = 500), collapse = " "), versions = versions("glmmTMB", "TMB"),
       nobs = nobs(fit), fixef = lapply(Filter(length, fixef(fit)), as.list),
       se = lapply(Filter(length, V), function(m) as.list(sqrt(diag(m)))),
       sd_cor = lapply(Filter(Negate(is.null), unclass(VarCorr(fit))[c("cond", "zi")]), sds), sigma = sigma(fit),
       logLik = as.numeric(logLik(fit)), df = attr(logLik(fit), "df"), ranef = effects)
}
Owls <- table_of("Owls"); Salamanders <- table_of("Salamanders"); sleepstudy <- table_of("sleepstudy")
Salamanders$mined <- relevel(Salamanders$mined, "yes")
sleepstudy$Subject <- factor(sleepstudy$Subject)
write(list(
  owls_shape = by_glmmTMB(quote(glmmTMB(SiblingNegotiation ~ FoodTreatment + offset(log(BroodSize)) + (1 | Nest),
    dispformula = ~ SexParent + ArrivalTime, family = nbinom2, data = Owls, control = tight))),
  owls_zi = by_glmmTMB(quote(glmmTMB(SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest),
    ziformula = ~ FoodTreatment + ArrivalTime, family = poisson, data = Owls, control = tight))),
  owls_zi_nest = by_glmmTMB(quote(glmmTMB(SiblingNegotiation ~ FoodTreatment + offset(log(BroodSize)) + (1 | Nest),
    ziformula = ~ FoodTreatment + (1 | Nest), family = poisson, data = Owls, control = tight))),
  owls_zi_nbinom2 = by_glmmTMB(quote(glmmTMB(SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest),
    ziformula = ~ FoodTreatment, dispformula = ~ FoodTreatment, family = nbinom2, data = Owls, control = tight))),
  salamanders_zi = by_glmmTMB(quote(glmmTMB(count ~ spp + mined + (1 | site), ziformula = ~ 1,
    family = poisson, data = Salamanders, control = tight))),
  salamanders_zi_mined = by_glmmTMB(quote(glmmTMB(count ~ spp + mined + (1 | site), ziformula = ~ mined,
    family = poisson, data = Salamanders, control = tight))),
  sleepstudy_sigma = by_glmmTMB(quote(glmmTMB(Reaction ~ Days + (Days | Subject), dispformula = ~ Days,
    data = sleepstudy, control = tight)))
), "distributional")

# clmm ---------------------------------------------------------------------------------------------------------------
VerbAgg <- table_of("VerbAgg")
VerbAgg$resp <- factor(VerbAgg$resp, c("no", "perhaps", "yes"), ordered = TRUE)
VerbAgg$id <- factor(VerbAgg$id)
by_clmm <- function(call) {
  fit <- eval(call)
  V <- vcov(fit)
  parts <- c(names(fit$alpha), names(fit$beta))
  list(engine = "ordinal", call = paste(deparse(call, width.cutoff = 500), collapse = " "), versions = versions("ordinal"), nobs = nobs(fit),
       cutpoints = as.list(fit$alpha), fixef = as.list(fit$beta), se = as.list(sqrt(diag(V))[names(fit$beta)]),
       cutpoints_se = as.list(unname(sqrt(diag(V))[seq_along(fit$alpha)])), sd_cor = sds(VarCorr(fit)),
       logLik = as.numeric(logLik(fit)), df = attr(logLik(fit), "df"), max_gradient = max(abs(fit$gradient)),
       ranef = lapply(ranef(fit), function(d) list(levels = rownames(d), modes = unname(as.matrix(d)))))
}
strict <- clmm.control(method = "nlminb", maxIter = 200, gradTol = 1e-6, innerCtrl = "warnOnly")
write(list(
  logit = by_clmm(quote(clmm(resp ~ Anger + Gender + btype + (1 | id), data = VerbAgg, control = strict))),
  logit_9_nodes = by_clmm(quote(clmm(resp ~ Anger + Gender + btype + (1 | id), data = VerbAgg, nAGQ = 9, control = strict))),
  probit = by_clmm(quote(clmm(resp ~ Anger + Gender + btype + (1 | id), data = VerbAgg, link = "probit", control = strict))),
  cloglog = by_clmm(quote(clmm(resp ~ Anger + Gender + btype + (1 | id), data = VerbAgg, link = "cloglog", control = strict))),
  loglog = by_clmm(quote(clmm(resp ~ Anger + Gender + btype + (1 | id), data = VerbAgg, link = "loglog", control = strict))),
  crossed = by_clmm(quote(clmm(resp ~ Anger + Gender + btype + situ + (1 | id) + (1 | item), data = VerbAgg, control = strict)))
), "ordinal")
