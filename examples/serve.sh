#!/usr/bin/env bash
# Serves an export of flop-export by TensorFlow Serving, REST on port 8501 and gRPC on port 8500:
#   examples/serve.sh served/sst2
# More arguments go to tensorflow_model_server; --port and --rest_api_port choose other ports.
set -euo pipefail

fail() {
  echo "serve: error: $1" >&2
  exit 1
}

[ $# -gt 0 ] || fail "the folder of an export is needed, received none."
[ -d "$1" ] || fail "the folder '$1' does not exist; make one by flop-export."
ls "$1"/*/saved_model.pb >/dev/null 2>&1 ||
  fail "the folder '$1' has no version with a saved_model.pb; make one by flop-export."
command -v tensorflow_model_server >/dev/null ||
  fail "tensorflow_model_server is not on the PATH; install TensorFlow Serving, or use its container."
folder=$(cd "$1" && pwd)
shift
exec tensorflow_model_server --model_name="$(basename "$folder")" --model_base_path="$folder" \
  --port=8500 --rest_api_port=8501 --enable_model_warmup=true "$@"
