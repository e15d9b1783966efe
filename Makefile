# make report            the book, from the published records      make test    everything that is tested
# make report PROFILE=quick   everything trained afresh, small      make lab     edit in JupyterLab
# make report FRESH=1    everything trained afresh, in full         make bench   seconds an epoch, as ratios
# make html              compile again what was executed            make lock    renew the pinned versions

PYTHON ?= python3
PROFILE ?= full
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCK := $(BIN)/uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet

.PHONY: report html test lab bench lock clean

report: .venv/report
	$(BIN)/kdutils report --profile $(PROFILE) $(if $(FRESH),--fresh)

html: .venv/report
	$(BIN)/kdutils report --profile $(PROFILE) --no-execute

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python -m pytest -n 2 --dist loadfile
	KERAS_BACKEND=jax JAX_ENABLE_X64=1 $(BIN)/python -m pytest -n 2 tests/methods

lab: .venv/test
	$(BIN)/jupyter lab notebooks

bench: .venv/report
	$(BIN)/python benchmarks/speed.py

# The package itself comes after its requirements: pip takes no editable line in hash mode.
.venv/report: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.txt
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

.venv/test: requirements-dev.txt .venv/report
	$(PIP) --require-hashes -r requirements-dev.txt
	touch $@

lock: .venv/test
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:
	rm -rf _build .venv
