# make demo: a first shard set from synthetic videos, and the networks trained on it. make test: everything that is checked. See README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo

.PHONY: demo test bench dist docs install install-test lint format clean

demo: install
	$(BIN)/ipdata build --dataset synthetic --out $(DEMO)
	$(BIN)/ipshards verify $(DEMO)
	$(BIN)/ipshards show $(DEMO) move_left_000 --out $(DEMO)-move_left.png
	$(BIN)/ipshards show $(DEMO) rotate_cw_000 --out $(DEMO)-rotate_cw.png
	$(BIN)/ipmodel train --shards $(DEMO) --recipe tiny --out $(DEMO)-run
	$(BIN)/ipmodel eval $(DEMO)-run --shards $(DEMO)
	@echo
	@echo "The shard set lies in $(DEMO). What to look at next:"
	@echo "  $(DEMO)-move_left.png, $(DEMO)-rotate_cw.png   what was extracted, for two of its videos"
	@echo "  $(DEMO)-run/split-1/curves.png, .../scores/*.png     how it trained, and what it takes for what"
	@echo "  $(BIN)/ipshards info $(DEMO) --keys          what the set holds"
	@echo "  $(DEMO)/README.md                             how to read it, with and without this package"
	@echo "  $(BIN)/ipdata datasets                       how to build HMDB51, UCF101, Kinetics, or your own videos"

# Two modules at a time: most tests wait for processes that they start.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

bench: install build/peers/installed
	$(BIN)/python -m benchmarks.run

# What is measured against: it brings an OpenCV of its own, so it gets an environment of its own.
build/peers/installed:
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check motion-vector-extractor==2.0.0
	@touch $@

# A wheel and a source distribution. The wheel is made from the latter, so nothing else from the checkout is in it.
dist: install-test
	rm -rf dist
	$(BIN)/python -m build --outdir dist

# The site: README as its front page, the documents, a page for each module. Warnings, as of broken links, are errors.
docs: build/docs-env/installed
	rm -rf build/docs site
	mkdir -p build/docs
	cp -r CHANGELOG.md docs build/docs
	cat README.md docs/site/contents.md > build/docs/README.md
	build/docs-env/bin/python -m sphinx --quiet --fail-on-warning --keep-going --jobs auto \
		--conf-dir docs/site --doctree-dir build/docs/.doctrees build/docs site
	cp site/README.html site/index.html

# An environment of its own, so that locked versions meet nobody else's.
build/docs-env/installed: docs/requirements.txt
	$(PYTHON) -m venv --clear build/docs-env
	build/docs-env/bin/python -m pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	@touch $@

lint: install-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(VENV)/installed
install-test: $(VENV)/installed-test

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,train]'
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,train,test,dev]'
	@touch $@

clean:
	rm -rf $(DEMO) $(DEMO)-*.png $(DEMO)-run .pytest_cache .mypy_cache .ruff_cache .hypothesis
