# Sourced by the scripts tools/*_results.sh: their working directory, errors, and the call of a program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# fail SENTENCE: ends the script.
fail() {
  echo "$(basename "$0"): error: $1" >&2
  exit 1
}

# need WORD NUMBER RECEIVED: ends a script that was not given all of its folders.
need() {
  [ "$3" -ge "$2" ] || fail "$1 folders are needed, received $3; see the head of this file."
}

# flop PROGRAM FLAGS...: one program of the tools.
flop() {
  echo "$(date +%H:%M:%S) $*"
  .venv/bin/python "tools/$1.py" "${@:2}"
}
