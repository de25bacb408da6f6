# Sourced in the root of the repository: makes .venv, or reuses the one of the same setup.py.

setup_env() {
  local python stamp
  stamp="$PWD $(cksum <setup.py)"
  [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ] && return
  for python in python3.11 python3 none; do
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && break
  done
  if [ "$python" = none ]; then
    echo "setup_env: error: Python 3.11 or 3.12 is needed, found $(python3 -V 2>&1)." >&2
    return 1
  fi
  echo "Setting up .venv (once, about 3 minutes) ..."
  "$python" -m venv .venv && .venv/bin/python -m pip install -qq --editable '.[test,export,analysis]' || {
    echo "setup_env: error: .venv could not be set up, the reason stands above." >&2
    return 1
  }
  echo "$stamp" >.venv/stamp
}
