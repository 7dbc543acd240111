# `make demo` trains on scikit-learn's digits; `make test` is the whole check. Both make .venv first if it is not there.
BIN := .venv/bin
ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: demo test check lint clean

demo: .venv/ready
	$(BIN)/latens train digits --output runs/demo --epochs 120 --overwrite

test: .venv/ready
	@$(MAKE) --no-print-directory -j 2 lint check

check: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

.venv/ready: pyproject.toml constraints.txt
	@python=; for p in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$p -c '$(ENOUGH)' >/dev/null 2>&1; then python=$$p; break; fi; done; \
	if [ -z "$$python" ]; then echo "latens needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3"; exit 2; fi; \
	$$python -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv runs build
