start <- as.numeric(Sys.time())
source(commandArgs(trailingOnly = TRUE)[3])
suppressMessages({library(brms); library(posterior)})
imported <- clock()
data <- read_data()
left <- left_side(sprintf("%s | trials(%s)", given$response, given$trials))
right <- given$right_side
more <- list()
if (isTRUE(given$kinship)) {
  group <- names(given$factors)[1]
  levels <- given$factors[[group]]
  K <- matrix(readBin(file.path(folder, "kinship.f64"), "double", length(levels)^2), length(levels))
  dimnames(K) <- list(levels, levels)
  right <- sub(paste0("| ", group, ")"), paste0("| gr(", group, ", cov = K))"), right, fixed = TRUE)
  more$data2 <- list(K = K)
}
formula <- as.formula(paste(left, "~", right))
scales <- given$scales
prior <- set_prior(sprintf("normal(%g, %g)", given$intercept[1], given$intercept[2]), class = "Intercept")
if (given$fixed != "1" || length(given$smooths)) prior <- prior + set_prior(sprintf("normal(0, %g)", scales$fixed), class = "b")
if (length(given$groups)) prior <- prior + set_prior(sprintf("normal(0, %g)", scales$sd), class = "sd")
if (length(given$smooths)) prior <- prior + set_prior(sprintf("normal(0, %g)", scales$sd), class = "sds")
if (given$family == "gaussian") prior <- prior + set_prior(sprintf("normal(0, %g)", scales$sigma), class = "sigma")
sloped <- !grepl("^ *1 *[|]", given$groups)
if (any(sloped)) prior <- prior + set_prior(sprintf("lkj(%g)", scales$cor), class = "cor")
headers <- if (nzchar(system.file("include", package = "BH"))) list() else list(boost_lib = "/usr/include")
read <- clock()
compiled <- do.call(brm, c(list(formula, data, family = given$family, prior = prior, chains = 0, seed = 1, refresh = 0,
                                silent = 2, stan_model_args = headers), more))
built <- clock()
cores <- min(4, parallel::detectCores())
fit <- suppressWarnings(update(compiled, recompile = FALSE, chains = 4, iter = 2000, warmup = 1000, cores = cores,
                               seed = 1, refresh = 0, silent = 2))
ready <- clock()
draws <- as_draws_array(fit)
kept <- grep("^(b_|sd_|cor_|sigma$|r_|sds_|s_|bs_)", variables(draws), value = TRUE)
draws <- subset_draws(draws, variable = kept)
means <- apply(draws, 3, mean)
sds <- apply(draws, 3, sd)
# brms names columns of formulas in its own way; their order is that of R's model matrix.
population <- model.matrix(as.formula(paste("~", given$fixed)), data)
coefficients <- grep("^b_", kept, value = TRUE)
named <- setNames(vapply(colnames(population), label, ""), coefficients)
estimates <- estimates_of(named, means[coefficients], sds[coefficients])
for (name in grep("^(sd|cor)_", kept, value = TRUE)) {
  pieces <- strsplit(sub("^(sd|cor)_", "", name), "__", fixed = TRUE)[[1]]
  terms <- vapply(pieces[-1], label, "")
  estimates[[paste0(sub("_.*", "", name), "[", pieces[1], ", ", paste(terms, collapse = ", "), "]")]] <- c(means[[name]], sds[[name]])
}
if ("sigma" %in% kept) estimates$sigma <- c(means[["sigma"]], sds[["sigma"]])
file <- file(file.path(out, "draws.f64"), "wb")
# Iterations run fastest, then chains: (parameter, chain, draw) as the reader expects.
for (name in kept) writeBin(as.vector(draws[, , name]), file)
close(file)
# Stan's own clock: starting R processes for the chains is part of the cold time alone.
stan <- sum(rstan::get_elapsed_time(fit$fit)) / cores
divergent <- sum(subset(nuts_params(fit), Parameter == "divergent__")$Value)
answer(c(import = imported - start, data = read - imported, compile = built - read, sample = stan,
         fit = ready - read), estimates, c("brms", "rstan"), ready, divergences = divergent,
       names = kept, shape = c(length(kept), dim(draws)[2], dim(draws)[1]))
