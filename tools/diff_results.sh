#!/usr/bin/env bash
# Makes the runs on differences of docs/results.md; started again, it goes on where it stopped.
# Usage: tools/diff_results.sh BERT_DIR GLUE_DIR OUTPUT_DIR [TASK...] [FLAGS...]
# BERT_DIR is a folder of tools/fetch_minilm.py; tasks are WNLI, STS-B, RTE and SST-2, all by default. FLAGS go to every run of
# flop-diff-prune. About five hours on two cores; the report in OUTPUT_DIR/report grows with each task. Tasks can run side by side,
# each on a core by taskset, which does half as much again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -lt 3 ]; then
  echo "diff_results.sh: error: three folders are needed, received $#; see the head of this file." >&2
  exit 1
fi
bert=$1 glue=$2 out=$3
tasks=() extra=()
for word in "${@:4}"; do
  if [[ $word = --* ]]; then extra+=("$word"); else tasks+=("$word"); fi
done
[ ${#tasks[@]} -gt 0 ] || tasks=(WNLI STS-B RTE SST-2)

# flop PROGRAM FLAGS...: one program of the tools.
flop() {
  echo "$(date +%H:%M:%S) $*"
  .venv/bin/python "tools/$1.py" "${@:2}"
}

# settings TASK METHOD: the flags of its training, see docs/decisions.md. WNLI has 60 steps, in which gates must close, but not all of them.
settings() {
  local all="--finetune_learning_rate=2e-3 --mixed_precision=bfloat16" penalty=1.8e-6
  [ "$2" != --structured ] || penalty=1e-7
  case $1$2 in
    WNLI--structured) echo $all --sparsity_penalty=5e-8 --num_train_epochs=3 --finetune_epochs=3 --alpha_learning_rate=.1 ;;
    WNLI*) echo $all --sparsity_penalty=$penalty --num_train_epochs=3 --finetune_epochs=3 --alpha_learning_rate=.2 ;;
    STS-B*) echo $all --sparsity_penalty=$penalty --num_train_epochs=3 --finetune_epochs=3 ;;
    RTE*) echo $all --sparsity_penalty=$penalty --num_train_epochs=4 --finetune_epochs=3 ;;
    SST-2*) echo $all --sparsity_penalty=$penalty --num_train_epochs=1 --finetune_epochs=1 ;;
  esac
}

# prune TASK SEED DENSITY: by all methods. What non_adaptive learns is full fine-tuning.
prune() {
  local task=$1 seed=$2 density=$3 flags method
  for method in --structured --nostructured --method=non_adaptive; do
    local rate=5e-4
    [ "$method" != --method=non_adaptive ] || rate=5e-5
    read -ra flags <<<"$(settings "$task" "$method")"
    flags+=("--task_name=$task" "--data_dir=$glue/$task" "--init_checkpoint=$bert" "--seed=$seed")
    flop diff_prune all "${flags[@]}" "$method" "--learning_rate=$rate" "--target_density=$density" \
      "--output_dir=$out/$task/seed-$seed/${method##*[-=]}" ${extra[@]+"${extra[@]}"}
  done
}

# report: of all differences so far.
report() {
  flop diff report "--runs_dir=$out" "--output_dir=$out/report"
}

# prune_all TASK: all its seeds and densities.
prune_all() {
  local seed density
  prune "$1" 0 .005
  if [ "$1" = STS-B ]; then
    for density in .001 .01; do prune "$1" 0 "$density"; done
  fi
  if [ "$1" != SST-2 ]; then
    for seed in 1 2; do prune "$1" "$seed" .005; done
  fi
}

for task in "${tasks[@]}"; do
  prune_all "$task"
  report || echo "diff_results.sh: no report this time; start it again when nothing else runs." >&2
done
