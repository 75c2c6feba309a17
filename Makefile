# make train   set up, train the default experiment on the built-in corpus
# make test    set up, run all tests
# make soak    set up, ten minutes of kills, faults and random input
# make reproducible, make audit, make lock   docs/dependencies.md
# make bench   set up with its peers, time everything on the CPU, write docs/performance.md
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
BENCH_VENV := .venv-bench
LOCK_VENV := .venv-lock
BENCH_READY := $(BENCH_VENV)/.ready
BENCH := startup crf train predict sweep growth ddp
DATA ?=
VECTORS ?=
ARGS ?=

.PHONY: train test soak lint format docs bench reproducible audit lock clean

train: $(READY)
	$(VENV)/bin/ner-lab train $(ARGS)

test: $(READY)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile $(ARGS)

# ten minutes of what the suite tests briefly: kills, faults, random input
soak: $(READY)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 8 -m soak $(ARGS)

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(READY)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(READY)
	$(VENV)/bin/python docs/generate.py

# DATA=FOLDER measures on CoNLL-2003 and VECTORS=FILE with GloVe, in place of the built-in corpus and random vectors
bench: $(BENCH_READY)
	for script in $(BENCH); do \
		$(BENCH_VENV)/bin/python benchmarks/$$script.py \
			$(if $(DATA),--data $(DATA)) $(if $(VECTORS),--vectors $(VECTORS)) $(ARGS) || exit 1; \
	done
	$(BENCH_VENV)/bin/python docs/performance.py

# the tested environment to the byte: every file of it has the checksum in requirements.txt
reproducible: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

# known faults of what is installed; asks a public service for them
audit:
	$(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(LOCK_VENV)/bin/pip-audit --require-hashes --disable-pip -r requirements.txt

# requirements.txt from constraints.txt, when that changes
lock: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	sed '/^[^#]/,$$d' requirements.txt > requirements.new
	$(LOCK_VENV)/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --all-build-deps \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header \
		--extra dev --constraint constraints.txt --output-file $(LOCK_VENV)/locked.txt pyproject.toml
	cat $(LOCK_VENV)/locked.txt >> requirements.new
	mv requirements.new requirements.txt

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(LOCK_VENV) build dist .pytest_cache .ruff_cache .mypy_cache

# set up once; again only when the versions change
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(BENCH_READY): pyproject.toml constraints-bench.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-bench.txt -e '.[bench]'
	@touch $@
