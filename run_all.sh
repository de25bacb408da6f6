#!/usr/bin/env bash
# From a pretrained BERT to a smaller one that scores about the same. Without arguments: the
# demonstration, under 10 minutes on two cores. On real data (the last three are optional):
#   ./run_all.sh --task_name=SST-2 --data_dir=glue/SST-2 --bert_dir=uncased_L-12_H-768_A-12 \
#                --output_dir=runs/sst2 --sparsity=.6 --epochs=3
# Started again with the same arguments, it goes on where it stopped.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
task_name="" data_dir="" bert_dir="" output_dir="" sparsity="" epochs=""

fail() {
  echo "run_all.sh: error: $*" >&2
  exit 1
}

for argument in "$@"; do
  case $argument in
    --task_name=?* | --data_dir=?* | --bert_dir=?* | --output_dir=?* | --sparsity=?* | --epochs=?*)
      name=${argument%%=*}
      printf -v "${name#--}" %s "${argument#*=}" ;;
    *) fail "unknown argument '$argument', expected --task_name=, --data_dir=, --bert_dir=," \
      "--output_dir=, --sparsity= or --epochs= with a value." ;;
  esac
done

demo=true
if [ -n "$task_name$data_dir$bert_dir" ]; then
  demo=false
  [ -n "$task_name" ] && [ -n "$data_dir" ] && [ -n "$bert_dir" ] ||
    fail "--task_name, --data_dir and --bert_dir belong together, pass all three or none."
  [ -d "$data_dir" ] || fail "the folder --data_dir=$data_dir does not exist."
  [ -e "$bert_dir" ] || [ -e "$bert_dir.index" ] ||
    fail "the folder or checkpoint --bert_dir=$bert_dir does not exist."
fi
[[ $sparsity =~ ^(|0|0?\.[0-9]+)$ ]] || fail "--sparsity must be in [0, 1), received $sparsity."
[[ $epochs =~ ^(|[0-9]*\.?[0-9]+)$ ]] || fail "--epochs must be a number, received $epochs."

task=$($demo && echo demo || tr -d '_-' <<<"${task_name,,}")
dense_flags=$root/configs/finetune_$task.flags flop_flags=$root/configs/flop_$task.flags
[ -f "$dense_flags" ] && [ -f "$flop_flags" ] ||
  fail "--task_name=$task_name has no configs/finetune_$task.flags and configs/flop_$task.flags."
out=${output_dir:-$root/runs/$task}

(cd "$root" && source tools/setup_env.sh && setup_env)

step() {
  printf '\n== %s\n' "$1"
  "$root/.venv/bin/$2" "${@:3}"
}

if $demo; then
  task_name=SST-2 data_dir=$out/data bert_dir=$out/minilm
  step "MiniLM" flop-fetch-minilm --output_dir="$bert_dir"
  step "Sentiment task" flop-make-demo-task --output_dir="$data_dir"
fi
data=(--task_name="$task_name" --data_dir="$data_dir")
train=("${data[@]}" ${epochs:+--num_train_epochs="$epochs"})

step "1 of 5: fine-tune the dense model" flop-finetune --flagfile="$dense_flags" "${train[@]}" \
  --init_checkpoint="$bert_dir" --output_dir="$out/dense"
step "2 of 5: factorize" flop-factorize --finetuned "${data[@]}" --checkpoint="$out/dense" \
  --output_dir="$out/factorized"
step "3 of 5: train gates and weights" flop-finetune --flagfile="$flop_flags" "${train[@]}" \
  ${sparsity:+--target_sparsity="$sparsity"} --teacher="$out/dense" \
  --init_checkpoint="$out/factorized" --output_dir="$out/gated"
step "4 of 5: remove what the gates closed" flop-remove-mask --checkpoint="$out/gated" \
  --output_folder_dir="$out/compact"
# The weights have recovered under the fixed gates already, so the last step is short and slow.
step "5 of 5: fine-tune the compact model" flop-finetune --flagfile="$dense_flags" "${data[@]}" \
  --learning_rate=1e-5 --num_train_epochs=1 --teacher="$out/dense" \
  --init_checkpoint="$out/compact" --output_dir="$out/final"

step "Evaluate the result" flop-evaluate "${data[@]}" --model_dir="$out/final" \
  --output_dir="$out/predictions"
step "Dense and pruned" flop-benchmark --model_dirs="$out/dense,$out/final" \
  --batch_sizes=1,32 --lengths=64 --rounds=10 --output_dir="$out/benchmark"
