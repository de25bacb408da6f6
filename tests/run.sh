#!/usr/bin/env bash
# Lints and tests everything. Arguments go to pytest: tests/run.sh tests/flop_tf -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source tools/setup_env.sh
setup_env
.venv/bin/ruff check --quiet
.venv/bin/ruff format --check --quiet || {
  echo "ruff: error: some files are not formatted, run .venv/bin/ruff format." >&2
  exit 1
}
# The slowest tests are named, for the whole must stay quick.
exec .venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=40 --durations-min=5 "$@"
