# What the scripts of the contestants share. `given` holds the problem, `data` its rows; `answer` writes what was found.
suppressMessages(library(jsonlite))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
out <- arguments[2]
given <- fromJSON(file.path(folder, "problem.json"), simplifyVector = TRUE)
clock <- function() as.numeric(Sys.time())

read_data <- function() {
  factors <- names(given$factors)
  header <- names(read.csv(file.path(folder, "data.csv"), nrows = 1, check.names = FALSE))
  classes <- setNames(ifelse(header %in% factors, "character", "numeric"), header)
  data <- read.csv(file.path(folder, "data.csv"), colClasses = classes, check.names = FALSE, na.strings = character())
  for (name in factors) data[[name]] <- factor(data[[name]], levels = given$factors[[name]])
  data
}

# A column's label as bayesglmm writes it: chY is ch[Y].
label <- function(name) {
  if (name == "(Intercept)") return("Intercept")
  parts <- vapply(strsplit(name, ":", fixed = TRUE)[[1]], function(part) {
    for (factor in names(given$factors)) {
      level <- substring(part, nchar(factor) + 1)
      if (startsWith(part, factor) && level %in% given$factors[[factor]]) return(paste0(factor, "[", level, "]"))
    }
    part
  }, "")
  paste(gsub(" ", "", parts, fixed = TRUE), collapse = ":")
}

left_side <- function(trials) if (nzchar(given$trials)) trials else given$response
formula_of <- function(left) as.formula(paste(left, "~", given$right_side))
family_of <- function() if (given$family == "bernoulli") "binomial" else given$family

# Seconds of the quickest of some further fits; of the first where that took very long (as suite/fit.py does).
warm <- function(work, first) {
  seconds <- c()
  while (first < 100 && sum(seconds) < 10 && length(seconds) < 5) {
    start <- clock()
    work()
    seconds <- c(seconds, clock() - start)
  }
  if (length(seconds)) min(seconds) else first
}

estimates_of <- function(names, values, errors) {
  setNames(lapply(seq_along(names), function(i) c(values[[i]], errors[[i]])), names)
}
# Standard deviations and correlations from a list of covariance matrices by group.
components_of <- function(matrices) {
  found <- list()
  for (group in names(matrices)) {
    V <- as.matrix(matrices[[group]])
    terms <- vapply(rownames(V), label, "")
    sds <- sqrt(diag(V))
    for (i in seq_along(terms)) {
      found[[paste0("sd[", group, ", ", terms[i], "]")]] <- c(sds[[i]], NA)
      for (j in seq_len(i - 1)) {
        found[[paste0("cor[", group, ", ", terms[j], ", ", terms[i], "]")]] <- c(V[i, j] / (sds[[i]] * sds[[j]]), NA)
      }
    }
  }
  found
}

answer <- function(seconds, estimates, packages, ready, ...) {
  versions <- setNames(lapply(packages, function(p) as.character(packageVersion(p))), packages)
  found <- list(seconds = as.list(seconds), estimates = estimates, versions = versions, ready = ready, ...)
  writeLines(toJSON(found, auto_unbox = TRUE, digits = NA, na = "null"), file.path(out, "answer.json"))
}
