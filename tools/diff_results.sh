#!/usr/bin/env bash
# Makes the runs on differences of docs/results.md; started again, it resumes where it stopped.
# Usage: tools/diff_results.sh BERT_DIR GLUE_DIR OUTPUT_DIR [TASK...] [FLAGS...]
# BERT_DIR is a folder of tools/fetch_minilm.py; tasks are WNLI, STS-B, RTE and SST-2, all by default. FLAGS go to every run of
# flop-diff-prune. The report in OUTPUT_DIR/report grows with each task. Tasks can run side by side, each on a core by taskset:
# of an AMD EPYC WNLI takes 11 minutes, STS-B 165, RTE 155 and SST-2 95, together 3.6 hours of both cores.
source "$(dirname "${BASH_SOURCE[0]}")/results_head.sh"
need three 3 $#
bert=$1 glue=$2 out=$3
tasks=() extra=()
for word in "${@:4}"; do
  if [[ $word = --* ]]; then extra+=("$word"); else tasks+=("$word"); fi
done
[ ${#tasks[@]} -gt 0 ] || tasks=(WNLI STS-B RTE SST-2)
for task in "${tasks[@]}"; do
  case $task in WNLI | STS-B | RTE | SST-2) continue ;; esac
  fail "tasks are WNLI, STS-B, RTE and SST-2, received '$task'."
done

# config NAME: the flag files of a task. Those with values of their own have a file, which names the two others.
config() {
  if [ -f "configs/diff_$1.flags" ]; then
    echo "--flagfile=configs/diff_$1.flags"
  else
    echo "--flagfile=configs/tasks/$1.flags --flagfile=configs/methods/diff.flags"
  fi
}

# changes TASK METHOD: what differs from these, which are for gates of elements alone. See docs/decisions.md.
changes() {
  case $1$2 in
    WNLI--structured) echo --sparsity_penalty=5e-8 --alpha_learning_rate=.1 ;;
    RTE--structured) echo --sparsity_penalty=3e-9 --alpha_learning_rate=.05 ;;
    *--structured) echo --sparsity_penalty=1e-7 ;;
    *--method=non_adaptive) echo --learning_rate=5e-5 ;;
  esac
}

# prune TASK SEED DENSITY: by all methods. What non_adaptive learns is full fine-tuning.
prune() {
  local task=$1 seed=$2 density=$3 name files own method
  name=${task,,}
  read -ra files <<<"$(config "${name//-/}")"
  for method in --structured --nostructured --method=non_adaptive; do
    read -ra own <<<"$(changes "$task" "$method")"
    flop diff_prune all "${files[@]}" "$method" ${own[@]+"${own[@]}"} \
      "--data_dir=$glue/$task" "--init_checkpoint=$bert" "--seed=$seed" "--target_density=$density" --mixed_precision=bfloat16 \
      "--output_dir=$out/$task/seed-$seed/${method##*[-=]}" ${extra[@]+"${extra[@]}"}
  done
}

# report: of all differences so far.
report() {
  flop diff report "--runs_dir=$out" "--output_dir=$out/report"
}

# prune_all TASK: all its seeds and densities; WNLI, which says little, and SST-2, which takes long, have one.
prune_all() {
  local seed density
  prune "$1" 0 .005
  if [ "$1" = STS-B ]; then
    for density in .001 .01; do prune "$1" 0 "$density"; done
  fi
  if [ "$1" = STS-B ] || [ "$1" = RTE ]; then
    for seed in 1 2; do prune "$1" "$seed" .005; done
  fi
}

for task in "${tasks[@]}"; do
  prune_all "$task"
  report || echo "diff_results.sh: no report this time; start it again when nothing else runs." >&2
done
