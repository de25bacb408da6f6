"""The objective of a fine-tuning run: the task alone, under a Lagrangian, or by magnitude."""

import dataclasses

from absl import logging

from bert_tf.latency import LatencyTable
from bert_tf.models.latency_budget import latency_budget
from bert_tf.runs import callbacks, optimization
from flop_tf import gates, order_gates, surgery
from flop_tf.importance.rank_importance import group_importance
from flop_tf.training.lagrangian_objective import LagrangianObjective
from flop_tf.training.magnitude_objective import MagnitudeObjective
from flop_tf.training.task_objective import TaskObjective


def make(options, model, total_steps):
    """Returns the objective of a model, an `Objective`.

    Args:
      options: `FinetuneOptions`.
      model: a `BertModel`. Gates that nothing prunes are no longer trainable.
      total_steps: int, of the run.

    Raises:
      ValueError: if the target is out of reach of the gates, or if nothing is to be trained.
    """
    sparsity, target = budget_of(model, options), options.target_sparsity
    fix_step = max(1, round(options.gate_freeze_fraction * total_steps))
    settings = optimization.task_settings(options)
    if target is not None and sparsity.gates:
        if options.latency_table:
            table = LatencyTable.load(options.latency_table)
            logging.info("The target is of the latency of %s at %dx%d.", table.engine, *table.shape)
        with sparsity.calibrated(target):
            pass  # Raises now rather than in the middle of the run if it is out of reach.
        training = optimization.gate_training(options, model, sparsity, fix_step)
        fixing = callbacks.LoggedFixGates(sparsity, target, fix_step)
        return LagrangianObjective(**training, fixing=fixing, **settings)
    gradual = None
    if target is not None and sparsity.by_magnitude():
        ramp = options.target_sparsity_warmup, options.mask_update_steps
        gradual = callbacks.LoggedGradualPruning(sparsity, target, fix_step, *ramp)
    for gate in model.gates:
        gate.trainable = False
    if options.do_train and not options.learning_rate:
        raise ValueError(
            "Argument `learning_rate=0` trains the gates alone, which needs a model with "
            f"gates and `target_sparsity`, received target_sparsity={target}."
        )
    if gradual is not None:
        return MagnitudeObjective(gradual, **settings)
    return TaskObjective(**settings)


def budget_of(model, options):
    """Returns the budget that the target refers to: of the projections' parameters, or of seconds.

    Args:
      model: a `BertModel`.
      options: `FinetuneOptions`.

    Raises:
      ValueError: if the latency table does not fit.
    """
    if not options.latency_table:
        return model.budget()
    return latency_budget(model, LatencyTable.load(options.latency_table))


def with_ordered_gates(inputs):
    """Returns the source of a run with its new gates in the order of importance.

    Args:
      inputs: the `RunInputs` of a run that has no checkpoint yet.

    Returns:
      A `bert_tf.checkpoints.Source`; the inputs' own if no gate is new or none is ordered.
    """
    options, source = inputs.options, inputs.source
    prunes = options.target_sparsity is not None and options.do_train
    prunes = prunes and options.gate_name in gates.CALIBRATED and options.gate_order_examples
    if "layers" not in inputs.changes or not prunes:
        return source
    model = source.model(**inputs.changes)
    sparsity = budget_of(model, options)
    batches = inputs.data.small_batches(options.gate_order_examples)
    importance = group_importance(model, sparsity.steered, batches, inputs.task.importance_loss())
    order_gates(sparsity, importance, options.target_sparsity, options.initial_log_alpha)
    return dataclasses.replace(source, config=model.config, weights=surgery.named_weights(model))
