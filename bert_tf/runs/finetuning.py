"""Training of every model that a checkpoint holds: dense, factorized, gated or compact."""

import dataclasses
import json
import time

from bert_tf.runs import distribution, optimization, task_objectives
from bert_tf.runs.model_store import ModelStore
from bert_tf.runs.run_checkpoints import RunCheckpoints
from bert_tf.runs.run_inputs import RunInputs
from bert_tf.runs.run_scores import RunScores
from bert_tf.runs.trainer import Trainer
from flop_tf.backend import keras
from flop_tf.training.lagrangian_objective import LagrangianObjective


def task_training(inputs, model):
    """Compiles a model for its task and returns where the best one is stored.

    Args:
      inputs: `RunInputs`.
      model: the BERT that was built of them, in the scope of the run's strategy.

    Returns:
      The `ModelStore`.
    """
    options, total_steps = inputs.options, inputs.data.total_steps
    if options.do_train:
        inputs.task.check_training(inputs.data.train, bool(options.teacher))
    objective = task_objectives.make(options, model, total_steps)
    optimization.compile_model(options, model, inputs.task.loss(), total_steps, objective)
    return ModelStore(inputs)


def finetune(options, strategy=None, training=task_training):
    """Trains a model, evaluates it at every checkpoint and keeps the best.

    Args:
      options: `FinetuneOptions`.
      strategy: a `tf.distribute.Strategy`; None makes the one that the options name.
      training: function of `RunInputs` and model that compiles the model with its objective and
        returns what stores it, as `task_training`.

    Returns:
      Scores of the best model by split, a dict of dicts; None in a worker that writes no files.

    Raises:
      ValueError: if a file, an option or what the checkpoint holds does not fit.
      OSError: if a file cannot be written or another worker does not answer.
    """
    distribution.serve(options)
    keras.utils.set_random_seed(options.seed)
    policy = keras.mixed_precision.global_policy()
    if options.mixed_precision != "none":
        keras.mixed_precision.set_global_policy(f"mixed_{options.mixed_precision}")
    try:
        return Run(options, strategy or distribution.make_strategy(options), training).start()
    finally:
        keras.mixed_precision.set_global_policy(policy)


class Run:
    """One run: its data, model, trainer and scores.

    Args:
      options: `FinetuneOptions`.
      strategy: a `tf.distribute.Strategy`.
      training: see `finetune`.
    """

    def __init__(self, options, strategy, training=task_training):
        self.strategy = strategy
        self.is_chief = distribution.is_chief(options)
        inputs = RunInputs(options)
        self.options, self.data = inputs.options, inputs.data
        self.checkpoints = RunCheckpoints(
            options.output_dir, options.keep_checkpoints, self.is_chief
        )
        if not self.checkpoints.found:
            # On one device, before the model is spread over several.
            inputs.source = task_objectives.with_ordered_gates(inputs)
        with strategy.scope():
            self.model = inputs.source.model(**inputs.changes)
            store = training(inputs, self.model)
        self.scores = RunScores(inputs, store, self.is_chief)

    def start(self):
        """Trains from the last checkpoint, or from the start, to the end.

        Returns:
          Scores of the best model by split, a dict of dicts; None in a worker that writes no files.
        """
        began = time.perf_counter()
        with distribution.losing_workers(self.strategy):
            if self.options.do_train:
                self._train()
            else:
                self.scores.score_untrained(self.model)
        return self.scores.finish(time.perf_counter() - began) if self.is_chief else None

    def _train(self):
        steps = self.data.total_steps, self.data.save_steps
        Trainer(self.model, self.checkpoints, *steps, self.strategy).run(
            self.data.train_batches,
            self._look,
            tracked={"best": self.scores.best},
            settings=json.dumps(dataclasses.asdict(self.options), indent=2),
            factorized_share=self._factorized_share(),
        )

    def _look(self, step, logs, writer):
        """Scores the model and keeps it if it is the best; returns what the line shows."""
        model, loss = self.model, float(logs["loss"])
        if self.data.splits:
            with model.objective.scored(step):
                return {"score": self.scores.update(model, step, loss, writer)}
        if step == self.data.total_steps or model.stop_training:
            self.scores.save(model, step, loss, {})
        return {}

    def _factorized_share(self):
        objective = self.model.objective
        prunes = isinstance(objective, LagrangianObjective)
        if not prunes or self.options.sparsity_base != "factorized":
            return None
        return objective.sparsity.original_parameters / objective.sparsity.factorized_parameters
