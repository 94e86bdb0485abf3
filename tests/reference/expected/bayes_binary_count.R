# Makes bayes_Contraception.json and bayes_epilepsy.json: posteriors by brms under explicit priors on the intercept of the user's
# columns (0 + Intercept). From this folder:  Rscript bayes_binary_count.R FOLDER_OF_THE_DATA
# Made with R 4.2.2, brms 2.18.0 (rstan 2.21.7); Debian's package r-cran-brms. Minutes: Stan compiles each model.
suppressMessages({library(jsonlite); library(brms); library(posterior)})
folder <- commandArgs(trailingOnly = TRUE)[1]
table_of <- function(name) read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
versions <- function(...) {
  packages <- c(...)
  c(list(R = paste(R.version$major, R.version$minor, sep = ".")),
    setNames(lapply(packages, function(p) as.character(packageVersion(p))), packages))
}
# Debian's packages of Boost's headers for R name no folder.
headers <- if (nzchar(system.file("include", package = "BH"))) list() else list(boost_lib = "/usr/include")
columns <- list("mean", "sd", q5 = ~ quantile(.x, 0.05), q50 = ~ quantile(.x, 0.5), q95 = ~ quantile(.x, 0.95),
                "rhat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_sd")
by_brms <- function(name, formula, family, seed) {
  prior <- c(set_prior("normal(0, 2.5)", class = "b"), set_prior("normal(0, 1)", class = "sd"))
  fit <- brm(formula, table_of(name), family = family, prior = prior, chains = 4, iter = 4000, warmup = 1000, seed = seed,
             control = list(adapt_delta = 0.95), refresh = 0, stan_model_args = headers)
  draws <- as_draws_array(fit)
  draws <- subset_draws(draws, variable = grep("^(b|sd)_", variables(draws), value = TRUE))
  found <- as.data.frame(do.call(summarise_draws, c(list(draws), columns)))
  names(found) <- c("variable", "mean", "sd", "q5", "q50", "q95", "rhat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_sd")
  rows <- lapply(seq_len(nrow(found)), function(i) as.list(found[i, -1]))
  x <- list(engine = "brms/rstan",
            call = paste0("brms::brm(", paste(deparse(formula, width.cutoff = 500), collapse = " "), ", family=", family,
                          ", chains=4, iter=4000, warmup=1000, seed=", seed, ", control=list(adapt_delta=0.95))"),
            priors = "all b (incl. uncentred Intercept; treatment contrasts) ~ normal(0,2.5); sd ~ half-normal(0,1)",
            versions = versions("brms", "rstan", "StanHeaders", "posterior"), n_draws = ndraws(draws),
            parameters = setNames(rows, found$variable),
            divergences = sum(subset(nuts_params(fit), Parameter == "divergent__")$Value))
  writeLines(toJSON(x, auto_unbox = TRUE, digits = NA, pretty = TRUE), paste0("bayes_", name, ".json"))
}
by_brms("epilepsy", count ~ 0 + Intercept + zAge + zBase * Trt + (1 | patient), "poisson", 103)
by_brms("Contraception", use ~ 0 + Intercept + age + I(age^2) + urban + livch + (1 | district), "bernoulli", 104)
