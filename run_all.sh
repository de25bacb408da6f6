#!/usr/bin/env bash
# From a pretrained BERT to smaller ones that score about the same. Without arguments: the
# demonstration, 10 minutes on two cores (and 4 for .venv, once). On real data, one model
# (the last three are optional):
#   ./run_all.sh --task_name=SST-2 --data_dir=glue/SST-2 --bert_dir=uncased_L-12_H-768_A-12 \
#                --output_dir=runs/sst2 --sparsity=.6 --epochs=3
# or many, and a report on them; this is the grid of the original, with three seeds:
#   ./run_all.sh --tasks=RTE,STS-B,WNLI,SST-2,MRPC,QNLI,QQP,MNLI,CoLA --glue_dir=glue \
#                --bert_dir=uncased_L-12_H-768_A-12 --output_dir=runs/sweep \
#                --learning_rates=5e-5,4e-5,3e-5,2e-5 --sparsities=.6 --seeds=0,1,2 --epochs=3
# Started again with the same arguments, it resumes where it stopped; with others it needs --overwrite.
# The rest: --tfds_data_dir, --finetune_flags, --nobenchmark, --benchmark_flags, --noexport,
# --export_flags (such as --export_flags=--allow_slower=true), --nocompress, --compress_flags
# and --configs_dir, as `flop-sweep --help` has them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
task=demo output_dir=""
for argument in "$@"; do
  case $argument in
    --output_dir=?*) output_dir=${argument#*=} ;;
    --sparsity=?* | --epochs=?*) ;;
    --task_name=?*) task=$(tr -d '_-' <<<"${argument#*=}" | tr '[:upper:]' '[:lower:]') ;;
    --data_dir=?* | --bert_dir=?*) [ "$task" != demo ] || task="" ;;
    --tasks=?* | --glue_dir=?* | --tfds_data_dir=?* | --learning_rates=?* | --sparsities=?* | \
      --seeds=?* | --finetune_flags=?*) task=sweep ;;
    --overwrite | --benchmark | --nobenchmark | --benchmark_flags=?* | --export | --noexport | \
      --export_flags=?* | --compress | --nocompress | --compress_flags=?* | --configs_dir=?*) ;;
    -h | --help)
      sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit ;;
    *)
      echo "run_all.sh: error: unknown argument '$argument', expected --name=value;" \
        "./run_all.sh --help shows all." >&2
      exit 1 ;;
  esac
done
if [ -z "$task" ]; then
  echo "run_all.sh: error: --data_dir and --bert_dir need --task_name next to them, or --tasks." >&2
  exit 1
fi
output_dir=${output_dir:-$root/runs/$task}

(cd "$root" && source tools/setup_env.sh && setup_env)

if [ "$task" = demo ]; then
  "$root/.venv/bin/flop-fetch-minilm" --output_dir="$output_dir/minilm"
  "$root/.venv/bin/flop-make-demo-task" --output_dir="$output_dir/data"
  set -- "$@" --task_name=demo --data_dir="$output_dir/data" --bert_dir="$output_dir/minilm"
fi
exec "$root/.venv/bin/flop-sweep" "$@" --output_dir="$output_dir"
