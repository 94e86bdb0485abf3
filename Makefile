# Nothing but python3 and make is needed: every target first makes or updates .venv (see .ci/bootstrap).

PYTHON := .venv/bin/python
WORKERS ?= 2
# Workers run in parallel, so each keeps its linear algebra to one thread.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

SUITE := PYTHONPATH=tests/benchmarks $(ONE_THREAD) $(PYTHON) -m suite

.PHONY: help demo bench bench-setup test test-all check lint types format docs docs-links venv venv-data clean

help:
	@echo "make demo      fit two real data sets, print the answers, write figures to demo-output/"
	@echo "make test      the tests, with this week's share of the slow ones"
	@echo "make test-all  all tests, slow ones included"
	@echo "make check     lint, formatting, types and tests: what the continuous integration runs"
	@echo "make docs      the documentation as web pages in build/site/; notebooks and examples are executed (some ten minutes the first time)"
	@echo "make bench     bayesglmm beside its peers, in fresh processes; ONLY=cbpp,VerbAgg WITH=bayesglmm,bambi MODES=nuts,ml PAGE=1"
	@echo "make bench-setup   install the peers: Debian's R packages (as root) and virtual environments"
	@echo "make format    let ruff mend style and formatting"
	@echo "make clean     remove .venv and everything that was generated"

venv:
	@.ci/bootstrap dev

venv-data:
	@.ci/bootstrap data

demo: venv-data
	$(PYTHON) examples/demo.py

test: venv
	$(ONE_THREAD) $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile

test-all: venv
	$(ONE_THREAD) $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile --all-slow

lint: venv
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: venv
	$(PYTHON) -m mypy

check: lint types test

# BAYESGLMM_QUICK=1 draws less; BAYESGLMM_DOCS_EXECUTE=off runs no notebook at all.
docs: venv
	$(ONE_THREAD) $(PYTHON) -m sphinx -W --keep-going -b html docs build/site

docs-links: venv
	BAYESGLMM_DOCS_EXECUTE=off $(PYTHON) -m sphinx -q -b linkcheck docs build/links

# ONLY: problems; WITH: contestants; MODES; ROUNDS: runs of each; LIMIT: seconds per run; PAGE=1 writes docs/benchmarks.md.
# A run replaces what was kept of its problems in its modes: ratios are of one run.
bench: venv
	$(SUITE) --only "$(ONLY)" --with "$(WITH)" --modes "$(MODES)" --rounds $(or $(ROUNDS),3) --limit $(or $(LIMIT),0) $(if $(PAGE),--write-page)

bench-setup: venv
	$(SUITE) --setup --with "$(WITH)"

format: venv
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist demo-output teaching-figures docs/teaching/teaching-figures
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
