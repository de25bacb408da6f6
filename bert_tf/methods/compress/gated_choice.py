"""Units that gates choose while the model trains, in place of their output energy.

Gates over sublayers, heads and neurons start in the order of their importance per second; a
Lagrangian steers the expected seconds to the target, and halfway the gates are fixed. The units
that are closed then go, and what is left is repaired on the inputs that it gets.
"""

import os

import numpy as np

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import PARENTS
from bert_tf.methods.compress import block_repair
from bert_tf.runs import finetuning
from bert_tf.runs.run_scores import RESULTS_FILE
from bert_tf.surgery import compression


def write(training, dataset, folder, with_repair=True):
    """Trains gates and writes the model without the units that they close; goes on as runs do.

    Args:
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
        kept = kept_units(gated)
        report = block_repair.repair(smaller, before.model(), kept, dataset)
    known = {"target": training.target_sparsity, "repair": report, **source.inherited}
    model_dir.save(folder, smaller, source.tokenizer(), **known)


def kept_units(model):
    """Returns which heads and neurons gates keep, boolean arrays by path; none of closed parents.

    Args:
      model: a `BertModel` with gates on its units.
    """
    kept = {path: gate.keep().numpy() for path, gate in model.encoder.unit_gates()}
    found = {}
    for index, layer in enumerate(model.config.layers):
        for kind, sublayer in PARENTS.items():
            own, parent = (kept.get(f"blocks.{index}.{one}") for one in (kind, sublayer))
            if own is None and parent is None:
                continue
            units = np.ones(layer.num_units(kind), bool) if own is None else own
            found[f"blocks.{index}.{kind}"] = units if parent is None else units & parent
    return found
