#!/usr/bin/env bash
# Makes the runs on tickets of docs/results.md; started again, it goes on where it stopped.
# Usage: tools/tickets_results.sh BERT_DIR GLUE_DIR OUTPUT_DIR
# BERT_DIR is a folder of tools/fetch_minilm.py. Seven hours or more on two cores; what tells most comes first: after
# three hours each table has seed 0, then come seeds 1 and 2.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -ne 3 ]; then
  echo "tickets_results.sh: error: three folders are needed, received $#; see the head of this file." >&2
  exit 1
fi
bert=$1 glue=$2 out=$3
tasks="WNLI STS-B RTE SST-2"

# flop PROGRAM FLAGS...: one program of the tools.
flop() {
  echo "$(date +%H:%M:%S) $*"
  .venv/bin/python "tools/$1.py" "${@:2}"
}

# tickets TASK FLAGS...: finds tickets of a task and trains each one.
tickets() {
  flop train_tickets "--task_name=$1" "--data_dir=$glue/$1" "--bert_dir=$bert" "--output_dir=$out/tickets" \
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
  flop analyze_tickets "--tickets_dirs=$out/tickets" "--output_dir=$out/lottery_study"
  flop analyze_tickets "--tickets_dirs=$out/tickets" --method=magnitude "--output_dir=$out/magnitude_study"
  # 50 % of MiniLM's 72 heads and, beside them, 2 of its 6 FFNs.
  flop analyze_tickets "--tickets_dirs=$out/tickets" --method=super --ticket=winning-36-2 "--output_dir=$out/super_study"
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

super STS-B 0
lottery STS-B 0
studies
tickets SST-2 --percents=20,50 --seeds=0 --epochs=1 --finetune_flags=--train_examples=10000
super WNLI 0
tickets RTE --percents=20 --seeds=0
# Once: the masks stay those of seed 0, whichever tickets turn out best over all seeds.
each=$(printf "%s=$out/tickets," $tasks)
flop share_tickets "--tickets=${each%,}" "--output_dir=$out/shared"
multi 0
for seeds in 0,1 0,1,2; do
  super STS-B "$seeds"
  lottery STS-B "$seeds"
  multi "${seeds##*,}"
  super WNLI "$seeds"
  studies
done
# MiniLM is hardly better on RTE than its larger class, so these tell least; a search may find that it needs nothing of the model,
# and a training under such a mask fails.
super RTE 0,1,2
lottery RTE 0,1,2 || echo "tickets_results.sh: not all subnetworks of RTE could be trained." >&2
studies
