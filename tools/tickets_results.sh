#!/usr/bin/env bash
# Makes the runs on tickets of docs/results.md; started again, it goes on where it stopped.
# Usage: tools/tickets_results.sh BERT_DIR GLUE_DIR OUTPUT_DIR
# BERT_DIR is a folder of tools/fetch_minilm.py. About six hours on two cores.
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

# Super tickets: winning, random and losing ones, scores against weights left.
for task in WNLI STS-B RTE; do
  tickets "$task" --percents=20,50,80 --seeds=0,1,2
done
tickets SST-2 --percents=20,50 --seeds=0 --epochs=1 --finetune_flags=--train_examples=20000

# The lottery: the smallest subnetworks that keep .9 of the score, random and bad ones of their size.
for task in STS-B RTE; do
  tickets "$task" --method=lottery,magnitude --pruned --seeds=0,1,2
done
flop analyze_tickets "--tickets_dirs=$out/tickets" "--output_dir=$out/lottery_study"
flop analyze_tickets "--tickets_dirs=$out/tickets" --method=super --ticket=winning-36-3 "--output_dir=$out/super_study"

# One encoder for all four, plain and with the super ticket of each task.
each=$(printf "%s=$out/tickets," $tasks)
flop share_tickets "--tickets=${each%,}" "--output_dir=$out/shared"
for seed in 0 1 2; do
  multi=("--tasks=${tasks// /,}" "--glue_dir=$glue" "--init_checkpoint=$bert" --num_train_epochs=3
    --train_examples=6000 "--seed=$seed")
  flop finetune "${multi[@]}" "--output_dir=$out/multi/plain-$seed"
  masks=$(for task in $tasks; do printf '%s,' "$task=$out/shared/masks/$task.safetensors"; done)
  flop finetune "${multi[@]}" "--task_masks=${masks%,}" "--output_dir=$out/multi/tickets-$seed"
done
