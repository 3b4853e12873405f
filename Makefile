# Two commands are enough: `make run` and `make test`. Both do all their own set-up in .venv.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup run test lint format bench image lock

help:
	@echo "make run     the server on http://127.0.0.1:8080, on its own database, with a demo tenant"
	@echo "make test    all tests"
	@echo "make lint    ruff, pyright and the import contracts"
	@echo "make bench   what is promised, measured here"
	@echo "make image   a container image, with docker, podman or buildah"
	@echo "make lock    choose the versions anew, within the ranges of pyproject.toml"

setup: $(READY)

$(READY): requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Consentry needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Consentry needs Python 3.11 or newer; $(PYTHON) is older: set PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

run: setup
	$(BIN)/consentry serve --demo

# A file's tests stay together, on as many processes as there are cores, up to four: each has a PostgreSQL of its own.
# They are not ordered anew by how many tests a file has: tests/conftest.py puts those first that take longest.
test: setup
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m benchmarks

image:
	@tool=$$(command -v docker || command -v podman || command -v buildah) \
		|| { echo "make image needs docker, podman or buildah" >&2; exit 1; }; \
	case $$tool in \
		*buildah) set -x; $$tool bud $(IMAGE_OPTIONS) -f docker/Dockerfile -t consentry . ;; \
		*) set -x; $$tool build $(IMAGE_OPTIONS) -f docker/Dockerfile -t consentry . ;; \
	esac

# uv writes hashes for every platform; it is fetched for this alone.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	.venv-lock/bin/uv pip compile --no-config --upgrade --universal --generate-hashes --python-version 3.11 --no-header \
		pyproject.toml -o requirements.lock
	.venv-lock/bin/uv pip compile --no-config --upgrade --universal --generate-hashes --python-version 3.11 --no-header \
		pyproject.toml --extra dev -o requirements-dev.lock
	rm -rf .venv-lock
