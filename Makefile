# One command surface: the README, CI and everybody's fingers use these.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Strict editable installs list every file, so a new file asks for a new install.
SOURCES := $(shell find host plugins sandbox -type f -not -path '*/__pycache__/*')
FILES  := $(VENV)/.files
# mypy sees the three folders as one package through the strict editable install.
EDITABLE := --config-settings editable_mode=strict

.PHONY: run test check bench bench-cep chaos soak fuzz cep-oracle clean
.DEFAULT_GOAL := run

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip 'setuptools>=77'
	touch $@

# Changes only when a file comes or goes: its content is the list of the package's files.
$(FILES): $(VENV)/.pip $(SOURCES)
	@echo '$(sort $(SOURCES))' | cmp -s - $@ || echo '$(sort $(SOURCES))' > $@

$(VENV)/.run: $(FILES) setup.cfg
	$(BIN)/python -m pip install -qq --editable . $(EDITABLE)
	touch $@

$(VENV)/.dev: $(FILES) setup.cfg
	$(BIN)/python -m pip install -qq --editable '.[dev]' $(EDITABLE)
	touch $@ $(VENV)/.run

run: $(VENV)/.run
	$(BIN)/trimtab run

# Installs the servers that the tests start (as root on Debian), or says how.
test: $(VENV)/.dev
	$(BIN)/python -m tests.servers.install
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p trimtab
	$(BIN)/mypy tests benchmarks

bench: $(VENV)/.dev
	$(BIN)/python -m pip install -qq --editable '.[bench]' $(EDITABLE)
	$(BIN)/python -m benchmarks

# Pattern rules, beside Apache Flink CEP in the same rounds (needs a JDK; about ten minutes).
bench-cep: $(VENV)/.dev
	$(BIN)/python -m benchmarks.cep

# Accidents, each round with its own seed: `make chaos ROUNDS=1 SEED=137` repeats one.
ROUNDS ?= 200
SEED   ?= 0
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.servers.install
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED)

# Ten minutes of steady load: does the host grow, or slow down?
SECONDS ?= 600
soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

# Seconds for each kind of bytes; then the other fuzz tests, with many more inputs than in `make test`.
FOR    ?= 60
FUZZED := body configuration events expression javascript lane_wire python words
fuzz: $(VENV)/.dev
	for target in $(FUZZED); do \
		mkdir -p .fuzz/$$target && \
		$(BIN)/python -m tests.fuzz.atheris_targets $$target --seconds $(FOR) .fuzz/$$target || exit 1; \
	done
	TRIMTAB_FUZZ_EFFORT=20 $(BIN)/python -m pytest tests/fuzz --numprocesses auto --timeout 3600

# Records what Apache Flink CEP makes of random rules (needs a JDK), or compares the host with it on fresh ones:
# `make cep-oracle COMPARE=1 N=2000 SEED=7`.
N ?= 6500
cep-oracle: $(VENV)/.dev
	$(BIN)/python -m tests.cep.oracle.record --count $(N) --seed $(SEED) $(if $(COMPARE),--compare)

clean:
	rm -rf $(VENV) build dist *.egg-info
