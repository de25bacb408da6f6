#!/usr/bin/env bash
# Makes the runs on differences of docs/results.md; started again, it goes on where it stopped.
# Usage: tools/diff_results.sh BERT_DIR GLUE_DIR OUTPUT_DIR [FLAGS...]
# BERT_DIR is a folder of tools/fetch_minilm.py; FLAGS go to every run of flop-diff-prune. About
# eight hours on two cores; the report in OUTPUT_DIR/report grows with each task.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -lt 3 ]; then
  echo "diff_results.sh: error: three folders are needed, received $#; see the head of this file." >&2
  exit 1
fi
bert=$1 glue=$2 out=$3
extra=("${@:4}")

# flop PROGRAM FLAGS...: one program of the tools.
flop() {
  echo "$(date +%H:%M:%S) $*"
  .venv/bin/python "tools/$1.py" "${@:2}"
}

# settings TASK: the flags of its training. Lambda times the size is that of the paper for
# BERT-large, so that gates nobody needs close in about 100 steps; WNLI has 60 in all.
settings() {
  local all=--sparsity_penalty=1.8e-6
  case $1 in
    WNLI) echo $all --num_train_epochs=3 --finetune_epochs=3 --alpha_learning_rate=.3 ;;
    STS-B) echo $all --num_train_epochs=3 --finetune_epochs=3 ;;
    RTE) echo $all --num_train_epochs=4 --finetune_epochs=3 ;;
    SST-2) echo $all --num_train_epochs=1 --finetune_epochs=1 ;;
  esac
}

# prune TASK SEED DENSITY: by all methods. What non_adaptive learns is full fine-tuning.
prune() {
  local task=$1 seed=$2 density=$3 flags method
  read -ra flags <<<"$(settings "$task")"
  flags+=("--task_name=$task" "--data_dir=$glue/$task" "--init_checkpoint=$bert" "--seed=$seed")
  for method in --structured --nostructured --method=non_adaptive; do
    flop diff_prune all "${flags[@]}" "$method" "--target_density=$density" \
      "--output_dir=$out/$task/seed-$seed/${method##*[-=]}" ${extra[@]+"${extra[@]}"}
  done
}

# report: of all differences so far.
report() {
  flop diff report "--runs_dir=$out" "--output_dir=$out/report"
}

for seed in 0 1 2; do
  prune WNLI "$seed" .005
done
report
for density in .005 .001 .01; do
  prune STS-B 0 "$density"
done
report
for seed in 1 2; do
  prune STS-B "$seed" .005
done
report
for seed in 0 1 2; do
  prune RTE "$seed" .005
done
report
prune SST-2 0 .005
report
