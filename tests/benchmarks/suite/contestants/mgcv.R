start <- as.numeric(Sys.time())
source(commandArgs(trailingOnly = TRUE)[3])
suppressMessages(library(mgcv))
imported <- clock()
data <- read_data()
read <- clock()
work <- function() gam(formula_of(given$response), family = family_of(), data = data, method = "REML")
fit <- work()
table <- summary(fit)$p.table
ready <- clock()
estimates <- estimates_of(vapply(rownames(table), label, ""), table[, 1], table[, 2])
answer(c(import = imported - start, data = read - imported, fit = ready - read,
         warm = warm(work, ready - read)), estimates, "mgcv", ready)
