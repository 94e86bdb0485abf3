# Monotonic effects in brms, ls ~ mo(income) * age, 12,000 draws. Reads the data from monotonic.json and writes the fit into it.
suppressMessages(library(brms))
rstan::rstan_options(boost_lib = "/usr/include")  # where Debian keeps boost
whole <- jsonlite::read_json("monotonic.json", simplifyVector = TRUE)
d <- as.data.frame(whole$data)
d$income <- factor(d$income, levels = whole$levels, ordered = TRUE)
priors <- c(
  prior(normal(0, 50), class = "b", coef = "Intercept"), prior(normal(0, 20), class = "b", coef = "moincome"),
  prior(normal(0, 5), class = "b", coef = "age"), prior(normal(0, 5), class = "b", coef = "moincome:age"),
  prior(exponential(0.1), class = "sigma"))
fit <- brm(ls ~ 0 + Intercept + mo(income) * age, data = d, prior = priors, chains = 4, cores = 1, iter = 4000,
           warmup = 1000, seed = 1, refresh = 0)
draws <- as_draws_df(fit)
keep <- c("b_Intercept", "b_age", "bsp_moincome", "bsp_moincome:age", "sigma",
          paste0("simo_moincome1[", 1:3, "]"), paste0("simo_moincome:age1[", 1:3, "]"))
s <- posterior::summarise_draws(draws[, keep], "mean", "sd", ~quantile(.x, c(0.025, 0.975)), "ess_bulk", "ess_tail")
out <- lapply(seq_len(nrow(s)), function(i) as.list(s[i, -1]))
names(out) <- s$variable
whole$fit <- out
whole$versions <- list(brms = as.character(packageVersion("brms")))
writeLines(jsonlite::toJSON(whole, auto_unbox = TRUE, digits = 6), "monotonic.json")
