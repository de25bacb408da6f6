#!/usr/bin/env bash
# Makes the runs of docs/results.md; started again, it resumes where it stopped.
# Usage: tools/sst2_results.sh BERT_DIR SST2_DIR OUTPUT_DIR
# BERT_DIR is a folder of tools/fetch_minilm.py. About four hours on two cores.
source "$(dirname "${BASH_SOURCE[0]}")/results_head.sh"
[ $# -eq 3 ] || fail "three folders are needed, received $#; see the head of this file."
bert=$1 data=$2 out=$3
task=(--task_name=sst-2 "--data_dir=$data")
held=(--holdout_examples=5000)
mkdir -p "$out"

# run FOLDER PROGRAM FLAGS...: what it prints goes to FOLDER.log. A finished program reports that.
run() {
  local folder=$out/$1 program=$2 to=--output_dir
  shift 2
  echo "$(date +%H:%M:%S) $folder"
  [ "$program" = remove_mask ] && to=--output_folder_dir
  if ! .venv/bin/python "tools/$program.py" "$to=$folder" "$@" >>"$folder.log" 2>&1; then
    fail "$(tail -n 1 "$folder.log")"
  fi
}

# prune NAME SPARSITY GATES DISTILL FLAGS...: one pruned model, from the dense one to the compact one.
prune() {
  local name=$1 sparsity=$2 gates=$3 distill=$4
  shift 4
  local flags=("${task[@]}" "${held[@]}" --num_train_epochs=1 --learning_rate=5e-5 "$@")
  [ "$distill" = yes ] && flags+=("--teacher=$out/dense" --distill_alpha=0.9 --distill_temperature=2)
  if [ "$gates" = yes ]; then
    run "$name-gated" finetune "${flags[@]}" "--init_checkpoint=$out/full" "--target_sparsity=$sparsity"
    run "$name" remove_mask "--checkpoint=$out/$name-gated"
  else
    local density
    density=$(awk "BEGIN { print 1 - $sparsity }")
    factorize "whitened-$density" "--density=$density" --init=whitened
    run "$name" finetune "${flags[@]}" "--init_checkpoint=$out/whitened-$density"
  fi
}

# factorize NAME FLAGS...: the dense model, by SVDs that have not seen the held-out sentences.
factorize() {
  run "$1" factorize "${task[@]}" "${held[@]}" "--checkpoint=$out/dense" --finetuned "${@:2}"
}

# best SPARSITY: whether gates and distillation did best on the held-out sentences, "yes no".
best() {
  grep -H '^holdout_eval_accuracy' "$out/20k-$1"-*/eval_results.txt | sort -t= -k2 -n | tail -n 1 |
    sed -E 's/.*gates_([a-z]+)-distill_([a-z]+).*/\1 \2/'
}

run dense finetune "${task[@]}" "${held[@]}" "--init_checkpoint=$bert" --num_train_epochs=2 \
  --learning_rate=5e-5

# Without any training after it.
for density in 0.4 0.75; do
  for init in svd whitened; do
    factorize "$init-$density" "--density=$density" "--init=$init"
    run "$init-$density-scores" finetune "${task[@]}" "${held[@]}" --nodo_train \
      "--init_checkpoint=$out/$init-$density"
  done
done

# With and without gates and distillation, on the first 20,000 sentences.
factorize full
for sparsity in 0.6 0.8; do
  for gates in no yes; do
    for distill in no yes; do
      prune "20k-$sparsity-gates_$gates-distill_$distill" "$sparsity" "$gates" "$distill" \
        --train_examples=20000
    done
  done
done

# The best of each sparsity on the whole training set, three seeds, and uniform ranks next to them.
for seed in 0 1 2; do
  for sparsity in 0.6 0.8; do
    read -r gates distill <<<"$(best "$sparsity")"
    prune "all-$sparsity-seed_$seed" "$sparsity" "$gates" "$distill" "--seed=$seed"
  done
done
prune all-0.6-uniform 0.6 no yes
