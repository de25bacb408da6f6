#!/usr/bin/env bash
# Makes the runs of docs/results.md on flop-compress; started again, it goes on where it stopped.
# Usage: tools/compress_results.sh BERT_DIR GLUE_DIR OUTPUT_DIR [WHAT...]
# BERT_DIR is a folder of tools/fetch_minilm.py. WHAT is any of: SST-2 STS-B RTE SST-2_20k, then a
# colon and a seed, such as STS-B:0; by default all, three seeds, about ten hours on two cores.
source "$(dirname "${BASH_SOURCE[0]}")/results_head.sh"
need three 3 $#
bert=$1 glue=$2 out=$3
shift 3
all=(SST-2:0 STS-B:0 RTE:0 SST-2_20k:0 STS-B:1 RTE:1 SST-2:1 STS-B:2 RTE:2 SST-2:2)
targets=.5,.33,.25,.15
mkdir -p "$out"

# held_out NAME SIZE: a folder with the first SIZE sentences of training, and the last 5,000 as dev set.
held_out() {
  local data=$out/data/$1
  if [ ! -f "$data/dev.tsv" ]; then
    mkdir -p "$data"
    head -n "$(($2 + 1))" "$glue/SST-2/train.tsv" >"$data/train.tsv"
    (head -n 1 "$glue/SST-2/train.tsv" && tail -n 5000 "$glue/SST-2/train.tsv") >"$data/dev.part"
    mv "$data/dev.part" "$data/dev.tsv"
  fi
  echo "$data"
}

# study NAME SEED: dense, FLOP, dropped layers and two families of one task.
study() {
  local name=$1 seed=$2 data epochs dense_epochs task=${1%_*}
  local run=$out/$name/$seed
  case $name in
    SST-2) data=$(held_out all 62349) epochs=1 dense_epochs=1 ;;
    SST-2_20k) data=$(held_out 20k 20000) epochs=1 dense_epochs=2 ;;
    *) data=$glue/$name epochs=6 dense_epochs=4 ;;
  esac
  local shared=("--task_name=$task" "--data_dir=$data" "--seed=$seed")
  local distill=(--teacher="$run/dense" --distill_alpha=.3 --distill_layers=.6
    --hidden_dropout_prob=0 --attention_probs_dropout_prob=0)
  local recover=("--num_train_epochs=$epochs" --learning_rate=2e-4)
  flop finetune "${shared[@]}" "--init_checkpoint=$bert" "--output_dir=$run/dense" \
    "--num_train_epochs=$dense_epochs" --learning_rate=5e-5

  # Baselines: FLOP, and layers dropped with the same loss and epochs.
  flop factorize "${shared[@]}" "--checkpoint=$run/dense" --finetuned "--output_dir=$run/factorized"
  for sparsity in .6 .8; do
    flop finetune "${shared[@]}" "--init_checkpoint=$run/factorized" "--teacher=$run/dense" \
      "--output_dir=$run/flop_$sparsity-gated" "--target_sparsity=$sparsity" \
      "--num_train_epochs=$epochs" --learning_rate=5e-5
    flop remove_mask "--checkpoint=$run/flop_$sparsity-gated" \
      "--output_folder_dir=$run/flop_$sparsity"
  done
  for blocks in 0,2,4 0,3; do
    flop make_mask "--checkpoint=$run/dense" --kind=blocks "--blocks=$blocks" \
      "--output=$run/blocks_$blocks.safetensors"
    flop finetune "${shared[@]}" "--init_checkpoint=$run/dense" "${distill[@]}" "${recover[@]}" \
      "--mask=$run/blocks_$blocks.safetensors" "--output_dir=$run/blocks_${blocks//,/_}"
  done

  # Families. Without training each model is cut from the one before too.
  local compress=("${shared[@]}" "--init_checkpoint=$run/dense" "--targets=$targets")
  local others="$run/flop_.6,$run/flop_.8,$run/blocks_0_2_4,$run/blocks_0_3"
  flop compress "${compress[@]}" "--train=$epochs" "--baselines=$others" \
    "--output_dir=$run/8x128"
  flop compress "${compress[@]}" "--train=$epochs" --optimize_for=1x64 --dense_engines=same \
    "--output_dir=$run/1x64"
  flop compress "${compress[@]}" --train=none --dense_engines=same \
    "--latency_table=$run/8x128/latency_table.json" "--output_dir=$run/untrained"
  [ "$seed" = 0 ] && ablate
  return 0
}

# ablate: what each part is worth; takes the variables of `study`.
ablate() {
  local more=("${compress[@]}" --dense_engines=same
    "--latency_table=$run/8x128/latency_table.json")
  flop compress "${more[@]}" --norepair "--train=$epochs" "--output_dir=$run/no_repair"
  flop compress "${more[@]}" --norepair --train=none "--output_dir=$run/untrained_no_repair"
  flop compress "${more[@]}" --unit_importance=fisher --train=none "--output_dir=$run/untrained_fisher"
  flop compress "${more[@]}" --distill_layers=0 --distill_alpha=.9 "--train=$epochs" \
    "--output_dir=$run/no_layer_distillation"
  flop compress "${more[@]}" --recovery_dropout=.1 "--train=$epochs" "--output_dir=$run/dropout"
  flop compress "${more[@]}" "--train=$((2 * epochs))" "--output_dir=$run/twice_as_long"
  flop compress "${more[@]}" --distill_match=moving "--train=$epochs" "--output_dir=$run/moving"
  for groups in heads,neurons sublayers,heads,neurons,{head_dimensions,ranks}; do
    flop compress "${more[@]}" "--groups=$groups" --train=none \
      "--output_dir=$run/untrained_${groups//,/_}"
    flop compress "${more[@]}" "--groups=$groups" "--train=$epochs" \
      "--output_dir=$run/${groups//,/_}"
  done
  for groups in sublayers,heads,neurons heads,neurons; do
    flop compress "${more[@]}" "--gate_epochs=$epochs" "--groups=$groups" "--train=$epochs" \
      "--output_dir=$run/gates_${groups//,/_}"
  done
}

for one in "${@:-${all[@]}}"; do
  study "${one%:*}" "${one#*:}"
done
