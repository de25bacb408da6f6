#!/usr/bin/env bash
# Makes the runs of docs/results.md; started again, it goes on where it stopped.
# Usage: tools/sst2_results.sh BERT_DIR SST2_DIR OUTPUT_DIR
# BERT_DIR is a folder of tools/fetch_minilm.py. About three hours on two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -ne 3 ]; then
  echo "sst2_results.sh: error: three folders are needed, received $#; see the head of this file." >&2
  exit 1
fi
bert=$1 data=$2 out=$3
task=(--task_name=sst-2 "--data_dir=$data")
mkdir -p "$out"

# run FOLDER PROGRAM FLAGS...: once; what it prints goes to FOLDER.log.
run() {
  local folder=$out/$1 program=$2 done_file
  shift 2
  case $program in finetune) done_file=eval_results.txt ;; *) done_file=info.json ;; esac
  [ -f "$folder/$done_file" ] && return
  echo "$(date +%H:%M:%S) $folder"
  local to=--output_dir
  [ "$program" = remove_mask ] && to=--output_folder_dir
  .venv/bin/python "tools/$program.py" "$to=$folder" "$@" >>"$folder.log" 2>&1 ||
    echo "$folder failed: $(tail -n 1 "$folder.log")"
}

# prune NAME SPARSITY GATES DISTILL FLAGS...: one pruned model, from the dense one to the compact one.
prune() {
  local name=$1 sparsity=$2 gates=$3 distill=$4 density
  shift 4
  local flags=("${task[@]}" --num_train_epochs=1 --learning_rate=5e-5 "$@")
  [ "$distill" = yes ] && flags+=("--teacher=$out/dense" --distill_alpha=0.9 --distill_temperature=2)
  if [ "$gates" = yes ]; then
    run "$name-gated" finetune "${flags[@]}" "--init_checkpoint=$out/full" "--target_sparsity=$sparsity"
    run "$name" remove_mask "--checkpoint=$out/$name-gated"
  else
    density=$(awk "BEGIN { print 1 - $sparsity }")
    run "uniform-$density" factorize "${task[@]}" "--checkpoint=$out/dense" --finetuned "--density=$density"
    run "$name" finetune "${flags[@]}" "--init_checkpoint=$out/uniform-$density"
  fi
}

run dense finetune "${task[@]}" "--init_checkpoint=$bert" --num_train_epochs=2 --learning_rate=5e-5 \
  --holdout_examples=5000

# Without any training after it.
for density in 0.4 0.75; do
  for init in svd whitened; do
    run "$init-$density" factorize "${task[@]}" "--checkpoint=$out/dense" --finetuned \
      "--density=$density" "--init=$init"
    run "$init-$density-scores" finetune "${task[@]}" "--init_checkpoint=$out/$init-$density" \
      --nodo_train --holdout_examples=5000
  done
done

# With and without gates and distillation, on the first 20,000 sentences.
run full factorize "${task[@]}" "--checkpoint=$out/dense" --finetuned
for sparsity in 0.6 0.8; do
  for gates in no yes; do
    for distill in no yes; do
      prune "20k-$sparsity-gates_$gates-distill_$distill" "$sparsity" "$gates" "$distill" \
        --train_examples=20000 --holdout_examples=5000
    done
  done
done

# The best of each sparsity on the whole training set, three seeds.
for seed in 0 1 2; do
  for sparsity in 0.6 0.8; do
    prune "all-$sparsity-seed_$seed" "$sparsity" yes yes "--seed=$seed" --holdout_examples=5000
  done
done
