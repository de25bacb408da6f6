"""Units that gates choose while the model trains, in place of their output energy.

Gates over sublayers, heads and neurons start in the order of their importance per second; a
Lagrangian steers the expected seconds to the target, and halfway the gates are fixed. The units
that are closed are then removed, and what is left is repaired on the inputs that it gets.
"""

import dataclasses
import os

from bert_tf.checkpoints import model_dir
from bert_tf.methods.compress import block_repair
from bert_tf.runs import finetuning
from bert_tf.runs.run_scores import RESULTS_FILE
from bert_tf.surgery import compression, units


def write(target, training, dataset, folder, with_repair=True):
    """Trains gates and writes the model without the units that they close; resumes as runs do.

    Args:
      target: text that names the target, for `info.json`.
      training: `FinetuneOptions` of the run, with a target, `latency_table` and `groups`.
      dataset: see `block_repair.repair`.
      folder: path for the smaller model.
      with_repair: whether its projections are repaired; default True.
    """
    if not os.path.isfile(os.path.join(training.output_dir, RESULTS_FILE)):
        finetuning.finetune(training)
    source, before = model_dir.read(training.output_dir), model_dir.read(training.init_checkpoint)
    gated = source.model()
    smaller, report = compression.remove_masks(gated), {}
    if with_repair:
        config, weights = units.remove(before.config, before.weights, units.kept(gated))
        aims = dataclasses.replace(before, config=config, weights=weights)
        report = block_repair.repair(smaller, before.model(), aims.model(), dataset)
    known = {"target": target, "repair": report, **source.inherited}
    model_dir.save(folder, smaller, source.tokenizer(), **known)
