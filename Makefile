# One line a verb; CI runs the same checks. VENV=path uses the tools of a virtual environment.
BIN := $(if $(VENV),$(VENV)/bin/,)

.PHONY: install format check test slow bench docs

install:  ## the package with what development needs
	$(BIN)pip install -e '.[dev]'

format:  ## rewrite the sources in the house style
	$(BIN)ruff format .
	$(BIN)ruff check --fix .

check:  ## style and types
	$(BIN)ruff check .
	$(BIN)ruff format --check .
	$(BIN)mypy

test:  ## fast tests, no network
	$(BIN)python -m pytest -n 2

slow:  ## long proofs on real data; HEADSTART_DATA names the folder that holds it
	$(BIN)python -m pytest -m slow

bench:  ## the table of docs/benchmarks.md
	set -e; for program in benchmarks/*.py; do $(BIN)python $$program; done

docs:  ## the documentation site in site/; a warning fails it
	$(BIN)mkdocs build --strict
