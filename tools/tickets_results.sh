#!/usr/bin/env bash
# Makes the runs on tickets of docs/results.md; started again, it resumes where it stopped.
# Usage: tools/tickets_results.sh BERT_DIR GLUE_DIR OUTPUT_DIR [PART...]
# BERT_DIR is a folder of tools/fetch_minilm.py. Parts, all by default and in this order: "tasks" STS-B, SST-2 and WNLI, "rte",
# "multi" (one encoder for all four, with tickets of the two before), "seeds" (more of the curves and of multi). "tasks" and "rte" can run side by
# side. Three to four hours of two cores for the first three, as much again for the last.
source "$(dirname "${BASH_SOURCE[0]}")/results_head.sh"
need three 3 $#
bert=$1 glue=$2 out=$3
parts=("${@:4}")
tasks="WNLI STS-B RTE SST-2"

# folder TASK: of its tickets. A folder serves one program at a time, and RTE takes as long as the others together.
folder() {
  if [ "$1" = RTE ]; then echo "$out/rte"; else echo "$out/tickets"; fi
}

# tickets TASK FLAGS...: finds tickets of a task and trains each one.
tickets() {
  flop train_tickets "--task_name=$1" "--data_dir=$glue/$1" "--bert_dir=$bert" "--output_dir=$(folder "$1")" \
    "${@:2}"
}

# super TASK SEEDS: winning, random and losing tickets, scores against weights left.
super() {
  tickets "$1" --percents=20,50,80 "--seeds=$2"
}

# lottery TASK SEEDS: the smallest subnetworks that keep .9 of the score, random and bad ones of their size.
lottery() {
  tickets "$1" --method=lottery,magnitude --pruned "--seeds=$2"
}

# studies: how far seeds and tasks agree.
studies() {
  local dirs=--tickets_dirs=$out/tickets,$out/rte
  flop analyze_tickets "$dirs" "--output_dir=$out/lottery_study"
  flop analyze_tickets "$dirs" --method=magnitude "--output_dir=$out/magnitude_study"
  # 50 % of MiniLM's 72 heads and 2 of its 6 FFNs.
  flop analyze_tickets "$dirs" --method=super --ticket=winning-36-2 "--output_dir=$out/super_study"
}

# multi SEED: one encoder for all four, plain and with the super ticket of each task.
multi() {
  local name flags=("--tasks=${tasks// /,}" "--glue_dir=$glue" "--init_checkpoint=$bert" --num_train_epochs=3
    --train_examples=6000 "--seed=$1")
  local masks=""
  for name in $tasks; do
    masks+="$name=$out/shared/masks/$name.safetensors,"
  done
  flop finetune "${flags[@]}" "--output_dir=$out/multi/plain-$1"
  flop finetune "${flags[@]}" "--task_masks=${masks%,}" "--output_dir=$out/multi/tickets-$1"
}

tasks_part() {
  super STS-B 0
  lottery STS-B 0
  tickets SST-2 --percents=20,50 --seeds=0 --epochs=1 --finetune_flags=--train_examples=10000
  super WNLI 0
  lottery STS-B 0,1
  lottery STS-B 0,1,2
}

# MiniLM is hardly better on RTE than its larger class: a search may find that it needs nothing of the model, and a
# training under such a mask fails.
rte_part() {
  super RTE 0
  for seeds in 0 0,1 0,1,2; do
    lottery RTE "$seeds" || echo "tickets_results.sh: not all subnetworks of RTE could be trained." >&2
  done
}

multi_part() {
  # Once: the masks stay those of seed 0, whichever tickets turn out best over all seeds.
  local each="" name
  for name in $tasks; do
    each+="$name=$(folder "$name"),"
  done
  flop share_tickets "--tickets=${each%,}" "--output_dir=$out/shared"
  multi 0
  studies
}

seeds_part() {
  for seeds in 0,1 0,1,2; do
    super STS-B "$seeds"
    super WNLI "$seeds"
    super RTE "$seeds"
    multi "${seeds##*,}"
  done
  studies
}

[ ${#parts[@]} -gt 0 ] || parts=(tasks rte multi seeds)
for part in "${parts[@]}"; do
  case $part in
    tasks | rte | multi | seeds) "${part}_part" ;;
    *)
      fail "a part must be tasks, rte, multi or seeds, received '$part'."
      ;;
  esac
done
