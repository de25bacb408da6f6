"""A head of masked language modelling for a BERT that has none, trained on the frozen encoder."""

import os

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.runs import evaluation
from bert_tf.runs.optimization import decaying_adam
from bert_tf.runs.run_checkpoints import RunCheckpoints
from bert_tf.runs.trainer import Trainer
from bert_tf.tasks.mlm import MlmTask

#: Model directory of the dense BERT with the head, in the folder of the search.
DENSE_FOLDER = "dense"


def train(options, data):
    """Trains the head, unless that is done already, and writes the BERT with it.

    The rate decays from `head_learning_rate` to 0 over `head_steps`; gradients are clipped to
    norm 1.

    Args:
      options: `MaskOptions`.
      data: `SearchData`.

    Returns:
      The BERT with its head, a `bert_tf.checkpoints.Source`.
    """
    folder = os.path.join(options.output_dir, DENSE_FOLDER)
    if not os.path.isfile(os.path.join(folder, model_dir.INFO_FILE)):
        model = _compiled(options, data)
        data.text.total_steps = steps = options.head_steps
        checkpoints = RunCheckpoints(folder, options.keep_checkpoints)
        Trainer(model, checkpoints, steps, max(1, steps // 4)).run(data.text.train_batches)
        size = options.eval_batch_size
        scores, task = evaluation.score(model, data.task, data.text.splits, size)
        model_dir.save(
            folder,
            model,
            data.tokenizer,
            task=task.to_dict(),
            data_dir=os.path.abspath(options.data_dir),
            max_seq_length=options.max_seq_length,
            step=steps,
            scores=scores,
            **model_dir.family_of(data.source.info),
        )
    return read_source(folder)


def _compiled(options, data):
    model = data.source.model(**MlmTask.head)
    model.encoder.trainable = False
    steps = max(1, options.head_steps)
    optimizer = decaying_adam(options.head_learning_rate, steps, model.weight_variables())
    model.compile(optimizer, loss=data.task.loss(), seed=options.seed)
    return model
