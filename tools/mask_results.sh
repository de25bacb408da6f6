#!/usr/bin/env bash
# Makes the runs on masks trained on text of docs/results.md; started again, it resumes where it stopped.
# Usage: tools/mask_results.sh BERT_DIR GLUE_DIR TEXT_DIR OUTPUT_DIR [TASK...]
# BERT_DIR is a folder of tools/fetch_minilm.py, TEXT_DIR has WikiText-2; tasks are RTE, STS-B and SST-2, all by default. Six
# hours on two cores, estimated. Once the masks are there, tasks can run side by side, each on a core by taskset, which does half as much again.
# HEAD_STEPS, MASK_STEPS and TUNE_FLAGS (flags of finetune.py) make it shorter, to try it out.
source "$(dirname "${BASH_SOURCE[0]}")/results_head.sh"
need four 4 $#
bert=$1 glue=$2 text=$3 out=$4
tasks=("${@:5}")
[ ${#tasks[@]} -gt 0 ] || tasks=(RTE STS-B SST-2)
# There is no train split at hand: the small valid split trains, test is for the scores.
test_file=wiki.test.tokens
texts=("--data_dir=$text" --train_file=wiki.valid.tokens "--dev_file=$test_file")
head_steps=${HEAD_STEPS:-1000} mask_steps=${MASK_STEPS:-600}
read -ra shorter <<<"${TUNE_FLAGS:-}"
kinds="trained distilled magnitude random imp"
sparsities="0.5 0.7"
mkdir -p "$out"

# flop LOG PROGRAM FLAGS...: what it prints goes to LOG.log. A finished run reports that at once.
flop() {
  local log=$out/$1.log
  mkdir -p "$(dirname "$log")"
  echo "$(date +%H:%M:%S) $1"
  if ! .venv/bin/python "tools/$2.py" "${@:3}" >>"$log" 2>&1; then
    fail "$(tail -n 1 "$log")"
  fi
}

# mask KIND SPARSITY: the path of a mask.
mask() {
  case $1 in
    trained | distilled | imp) echo "$out/masks/$1-$2/mask.safetensors" ;;
    *) echo "$out/masks/$1-$2.safetensors" ;;
  esac
}

# make_mask KIND SPARSITY: makes a mask, all searches with the same number of steps: from masked words, from the dense model's hidden
# states and attention scores, or by iterative magnitude.
make_mask() {
  local name=masks/$1-$2 search=(train_mask "${texts[@]}" "--init_checkpoint=$out/head/dense"
    "--num_train_steps=$mask_steps" "--sparsity=$2" "--output_dir=$out/masks/$1-$2")
  case $1 in
    trained) flop "$name" "${search[@]}" ;;
    distilled) flop "$name" "${search[@]}" --mlm=false --distill_hidden=cosine --distill_attention ;;
    imp) flop "$name" "${search[@]}" --method=imp ;;
    *) [ -f "$(mask "$@")" ] ||
      flop "$name" make_mask "--kind=$1" "--sparsity=$2" "--checkpoint=$bert" "--output=$(mask "$@")" ;;
  esac
}

# lose NAME FLAGS...: the loss of pre-training on test, under the one head.
lose() {
  [ -f "$out/loss/$1/scores.json" ] ||
    flop "loss/$1" evaluate "--model_dir=$out/head/dense" --task_name=mlm "--data_dir=$text" \
      "--dev_file=$test_file" "--output_dir=$out/loss/$1" "${@:2}"
}

# distance NAME MASK: the mean cosine distance of hidden states from those of the dense model, over about 500 blocks of test.
distance() {
  [ -f "$out/part.tokens" ] || head -c 300000 "$text/$test_file" >"$out/part.tokens"
  [ -f "$out/distance/$1/results.json" ] ||
    flop "distance/$1" train_mask "${texts[@]}" "--dev_file=$out/part.tokens" "--init_checkpoint=$out/head/dense" \
      --num_train_steps=0 --mlm=false --distill_hidden=cosine "--output_dir=$out/distance/$1" "--mask=$2"
}

# tune NAME TASK SEED FLAGS...: fine-tunes the pretrained model on a task.
tune() {
  local task=$2 flags=(--num_train_epochs=3)
  [ "$task" = SST-2 ] && flags=(--num_train_epochs=1 --train_examples=20000)
  flop "$task/$1-$3" finetune "--task_name=$task" "--data_dir=$glue/$task" "--init_checkpoint=$bert" \
    --learning_rate=5e-5 "--seed=$3" "--output_dir=$out/$task/$1-$3" "${flags[@]}" "${shorter[@]}" "${@:4}"
  # What a run that is done needs no more: half a gigabyte of each.
  rm -rf "$out/$task/$1-$3/checkpoints"
}

# tune_all TASK SEED: of the dense model and under all masks.
tune_all() {
  tune dense "$1" "$2"
  for sparsity in $sparsities; do
    for kind in $kinds; do
      tune "$kind-$sparsity" "$1" "$2" "--mask=$(mask "$kind" "$sparsity")"
    done
  done
}

# mean METRIC FOLDER...: the mean over the runs in these folders that are done.
mean() {
  cat "${@:2}" 2>/dev/null | awk -F ' = ' -v name="$1" \
    '$1 == name { sum += $2; n++ } END { if (n) printf "%.4f", sum / n; else printf "-" }'
}

# value NAME FILE: a number of a JSON file, the last of that name.
value() {
  cat "$2" 2>/dev/null | sed -nE "s/.*\"$1\": ([-+0-9.e]+),?.*/\1/p" |
    awk '{ last = $1 } END { if (NR) printf "%.5g", last; else printf "-" }'
}

# table: what is known so far.
table() {
  echo "| mask | loss on text | distance | search, s | RTE | STS-B | SST-2 |"
  echo "|---|---|---|---|---|---|---|"
  local names=(dense)
  for sparsity in $sparsities; do
    for kind in $kinds; do names+=("$kind-$sparsity"); done
  done
  for name in "${names[@]}"; do
    echo "| $name | $(value eval_loss "$out/loss/$name/scores.json") |" \
      "$(value distance "$out/distance/$name/results.json") |" \
      "$(value seconds "$out/masks/$name/results.json") |" \
      "$(mean eval_accuracy "$out/RTE/$name"-*/eval_results.txt) |" \
      "$(mean pearson "$out/STS-B/$name"-*/eval_results.txt) |" \
      "$(mean eval_accuracy "$out/SST-2/$name"-*/eval_results.txt) |"
  done
}

# The head on the frozen dense model; all masks are compared under it.
flop head train_mask "${texts[@]}" "--init_checkpoint=$bert" --train_head "--head_steps=$head_steps" \
  --num_train_steps=0 "--output_dir=$out/head"
lose dense

# The masks and the loss under them: quick ones first, searches last.
for kind in magnitude random trained distilled imp; do
  for sparsity in $sparsities; do
    make_mask "$kind" "$sparsity"
    lose "$kind-$sparsity" "--mask=$(mask "$kind" "$sparsity")"
    distance "$kind-$sparsity" "$(mask "$kind" "$sparsity")"
  done
done
for sparsity in $sparsities; do
  named=$(for kind in $kinds; do printf '%s,' "$kind=$(mask "$kind" "$sparsity")"; done)
  [ -f "$out/compared-$sparsity/masks.json" ] ||
    flop "compared-$sparsity" compare_masks "--masks=${named%,}" "--output_dir=$out/compared-$sparsity"
done
table

# Fine-tuning: one seed of every task, then the others; of SST-2 one alone.
for seed in 0 1 2; do
  for task in "${tasks[@]}"; do
    if [ "$task" != SST-2 ] || [ "$seed" = 0 ]; then tune_all "$task" "$seed"; fi
  done
  table | tee "$out/table.md"
done
