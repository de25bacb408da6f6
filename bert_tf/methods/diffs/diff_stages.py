"""The three stages of diff pruning: learn a difference, project it, fine-tune what is left.

Each has a folder of its own below the output folder, by the rule of output folders, with the
difference, `info.json` and `eval_results.txt` in it. The checkpoints, several times the size of the
model, go when a stage is finished.
"""

import dataclasses
import os

from absl import logging

from bert_tf.checkpoints import read_source
from bert_tf.methods.diffs import base_model
from bert_tf.methods.diffs.diff_store import DIFF_FILE, save
from bert_tf.methods.diffs.diff_training import DiffTraining
from bert_tf.runs import evaluation, finetuning, run_folder
from bert_tf.runs.run_data import RunData
from bert_tf.runs.run_scores import RESULTS_FILE
from bert_tf.tasks import model_task
from flop_tf import files
from flop_tf.diffs import diff_projection
from flop_tf.files import diff_file

#: Names of the stages, in their order.
STAGES = ("learn", "project", "finetune")

_FINETUNING = ("finetune_start", "finetune_learning_rate", "finetune_epochs")

#: Options that say nothing of a stage: those of later ones.
NOT_OF_STAGE = {
    "learn": ("target_density", *_FINETUNING),
    "project": _FINETUNING,
    "finetune": (),
}


def folder_of(output_dir, stage, options):
    """Returns the folder of a stage; each density has its own.

    Args:
      output_dir: folder of all stages.
      stage: one of `STAGES`.
      options: `DiffOptions`.
    """
    if stage == "learn":
        return os.path.join(output_dir, stage)
    return os.path.join(output_dir, f"{stage}-{options.target_density:g}")


def stages_of(stage, method):
    """Returns the stages of a name.

    Args:
      stage: one of `STAGES`, or "all".
      method: see `DiffOptions`.

    Raises:
      ValueError: if the method has no such stage.
    """
    if method != "last_layer":
        return STAGES if stage == "all" else (stage,)
    if stage not in ("all", "learn"):
        raise ValueError(
            f"The method last_layer has the stage learn alone, received the stage {stage!r}."
        )
    return ("learn",)


def run(stage, options, folder):
    """Runs one stage in its folder; the one before it must be finished.

    Args:
      stage: one of `STAGES`.
      options: `DiffOptions`, whose `output_dir` holds the folders of all stages.
      folder: where to write; `folder_of`.

    Returns:
      Scores by split.

    Raises:
      ValueError: if an option or a file does not fit, or the stage before is missing.
      OSError: if a file cannot be written.
    """
    function = {"learn": _learn, "project": _project, "finetune": _finetune}[stage]
    scores = function(options, folder)
    run_folder.delete_checkpoints(folder)
    return scores


def _learn(options, folder):
    options = dataclasses.replace(options, output_dir=folder)
    return finetuning.finetune(options, training=DiffTraining())


def _project(options, folder):
    """Keeps the largest entries, and scores the difference before and after."""
    learned, path = _finished(options, "learn")
    source = read_source(options.init_checkpoint, options.bert_config_file, options.vocab_file)
    diff_file.check_base(learned, base_model.base_weights(source), path)
    kept = projected(learned, options.target_density)
    if not kept.num_entries:
        raise ValueError(
            f"At least one of the {learned.num_entries} entries of {path!r} must stay, received "
            f"target_density={options.target_density:g}, which keeps none; raise it, or learn with "
            "a lower sparsity_penalty."
        )
    scores = {}
    if options.do_eval:
        score = _scorer(options, source, learned)
        before, scores = score(learned, path), score(kept, path)
        kept = dataclasses.replace(kept, info={**kept.info, "scores_before": before})
    stage = {"diff_stage": "project", "target_density": options.target_density}
    info = {**kept.info, "scores": scores, **stage}
    save(folder, dataclasses.replace(kept, info=info), options.dtype)
    lines = [f"density_before = {learned.density:.6f}", f"density = {kept.density:.6f}"]
    for split, values in scores.items():
        lines += [f"{split}_{key} = {value:.6f}" for key, value in sorted(values.items())]
    files.write_text(os.path.join(folder, RESULTS_FILE), "\n".join(lines) + "\n")
    logging.info("Density %.4f%% before, %.4f%% after.", 100 * learned.density, 100 * kept.density)
    return scores


def projected(diff, target_density):
    """Returns a difference with its largest entries alone, exactly as many as the density allows.

    Args:
      diff: a `flop_tf.files.diff_file.Diff`.
      target_density: share of the base's weights, in (0, 1].

    Raises:
      ValueError: if the density is another number.
    """
    number = diff_projection.budget(target_density, diff.num_parameters)
    chosen = diff_projection.largest(diff.values, number)

    def at(by_name):
        return {name: by_name[name][where] for name, where in chosen.items()}

    return dataclasses.replace(
        diff,
        positions=at(diff.positions),
        values=at(diff.values),
        weights=None if diff.weights is None else at(diff.weights),
    )


def _finetune(options, folder):
    diff, path = _finished(options, "project")
    options = dataclasses.replace(options.of_finetuning(), output_dir=folder)
    return finetuning.finetune(options, training=DiffTraining(diff, path))


def _finished(options, stage):
    """Returns the difference of an earlier stage and its path."""
    folder = folder_of(options.output_dir, stage, options)
    if not os.path.isfile(os.path.join(folder, RESULTS_FILE)):
        raise ValueError(
            f"The stage {stage} must be finished in {folder!r}, found no {RESULTS_FILE}; run it "
            f"first, by flop-diff-prune {stage}, or all of them."
        )
    path = os.path.join(folder, DIFF_FILE)
    return diff_file.read(path), path


def _scorer(options, source, diff):
    """Returns a function that scores a difference."""
    task, _ = model_task.find_task(diff.info, data_dir=options.data_dir, tfds=options.tfds)
    options = dataclasses.replace(options.of_scoring(), max_seq_length=diff.info["max_seq_length"])
    tokenizer = source.tokenizer(options.do_lower_case)
    data = RunData(options, task, tokenizer)

    def score(one, path):
        model = base_model.build(source, one, path)
        batch_size = options.eval_batch_size
        return evaluation.score(model, task, data.splits, batch_size, data.widths)[0]

    return score
