# make demo: builds a first shard set from synthetic videos and trains the networks on it. make test: runs all checks. See README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo

.PHONY: demo test check faults bench dist docs install install-test lint format clean

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
	@echo "  $(DEMO)-run/split-1/curves.png, .../scores/*.png     its training curves and confusion matrices"
	@echo "  $(BIN)/ipshards info $(DEMO) --keys          what the set holds"
	@echo "  $(DEMO)/README.md                             how to read it, with and without this package"
	@echo "  $(BIN)/ipdata datasets                       how to build HMDB51, UCF101, Kinetics, or your own videos"

# Four test modules run at a time, because most tests wait for processes that they start.
SIDE_BY_SIDE := -n 4 --dist loadscope --no-loadscope-reorder

test: lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# For daily work: what needs no build, no cluster and no training.
check: lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/contract

# Breaks all that docs/reliability.md lists, in the long form of its tests, and prints how much that was.
# IPTSN_FAULTS_SEED=N draws other moments. Two modules at a time, because the long forms depend more on time.
FAULTS := tests/faults $(addprefix tests/integration/test_, \
	derive.py derive_places.py determinism.py fit_workers.py out_urls.py remote.py running_cluster.py \
	shard_order.py source_urls.py training.py webdataset.py webdataset_faults.py)

faults: install-test
	IPTSN_FAULTS=full $(BIN)/python -m pytest $(SIDE_BY_SIDE) -n 2 $(FAULTS)

bench: install build/peers/installed
	$(BIN)/python -m benchmarks.run

# The peer of `make bench` has its own environment, because it installs an OpenCV of its own.
build/peers/installed:
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check motion-vector-extractor==2.0.0
	@touch $@

# Builds a source distribution, and from it the wheel, so the wheel has no other files of the checkout.
dist: install-test
	rm -rf dist
	$(BIN)/python -m build --outdir dist

# Builds the site: README as its front page, the documents, and a page for each module. Warnings, such as those about
# broken links, are errors.
docs: build/docs-env/installed
	rm -rf build/docs site
	mkdir -p build/docs
	cp -r CHANGELOG.md docs build/docs
	cat README.md docs/site/contents.md > build/docs/README.md
	build/docs-env/bin/python -m sphinx --quiet --fail-on-warning --keep-going --jobs auto \
		--conf-dir docs/site --doctree-dir build/docs/.doctrees build/docs site
	cp site/README.html site/index.html

# Its own environment keeps the locked versions away from other packages.
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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,train,export,test,dev]'
	@touch $@

clean:
	rm -rf $(DEMO) $(DEMO)-*.png $(DEMO)-run .pytest_cache .mypy_cache .ruff_cache .hypothesis
