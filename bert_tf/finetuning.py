"""Training of whatever a checkpoint holds: dense, factorized, gated or compact."""

import dataclasses
import json
import os

import tensorflow as tf
from absl import logging

from bert_tf import (
    batching,
    callbacks,
    compression,
    distribution,
    evaluation,
    files,
    losses,
    model_dir,
    optimization,
    predictions,
    tasks,
)
from bert_tf.checkpoints import read_source
from bert_tf.run_checkpoints import RunCheckpoints
from bert_tf.run_data import RunData
from flop_tf import order_gates, rank_importance, surgery
from flop_tf.backend import keras

#: Written last; a folder with it holds a finished run.
RESULTS_FILE = "eval_results.txt"

# Steps between two looks at the model where parameter servers hold it.
_PIECE = 50


def finetune(options, strategy=None):
    """Trains a model, evaluates it at every checkpoint and keeps the best.

    Args:
      options: `FinetuneOptions`.
      strategy: a `tf.distribute.Strategy`; None makes the one that the options name.

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
        return _Run(options, strategy or distribution.make_strategy(options)).start()
    finally:
        keras.mixed_precision.set_global_policy(policy)


class _Run:
    """One run: its data, model, optimizers and files."""

    def __init__(self, options, strategy):
        self.options = options
        self.strategy = strategy
        self.is_chief = distribution.is_chief(options)
        self.folder = options.output_dir
        source = read_source(
            options.init_checkpoint, options.bert_config_file or None, options.vocab_file or None
        )
        self.tokenizer = model_dir.make_tokenizer(source, options.do_lower_case)
        self.task = tasks.get(
            options.task_name,
            data_dir=options.data_dir,
            text_columns=options.text_columns or None,
            label_column=options.label_column or None,
            label_type=options.label_type,
            language=options.language,
        )
        changes = _config_changes(options, source, self.task)
        self.data = RunData(options, self.task, self.tokenizer)
        self.total_steps = self.data.total_steps
        self.checkpoints = RunCheckpoints(self.folder, options.keep_checkpoints, self.is_chief)
        if "layers" in changes and self._orders_gates():
            # On one device, before the model is spread over several.
            ordered = self._order_gates(model_dir.build(source, **changes))
            source = dataclasses.replace(
                source, config=ordered.config, weights=surgery.named_weights(ordered)
            )
        with strategy.scope():
            self.model = model_dir.build(source, **changes)
            self._compile()
        self.loss = 0.0

    def start(self):
        """Trains from the last checkpoint, or from the start, to the end."""
        options = self.options
        with distribution.losing_workers(self.strategy):
            if options.do_train:
                self._train()
            else:
                self._evaluate(0)
        if not self.is_chief:
            return None
        results = self._read_best()
        if options.do_predict:
            self._predict()
        lines = [f"global_step = {results['step']}", f"loss = {results['loss']:.6f}"]
        for split, scores in results["scores"].items():
            prefix = "" if split == self.data.report_split else f"{split}_"
            lines += [f"{prefix}{key} = {value:.6f}" for key, value in sorted(scores.items())]
        files.write_text(os.path.join(self.folder, RESULTS_FILE), "\n".join(lines) + "\n")
        logging.info("Best model, of step %d: %s", results["step"], _brief(results["scores"]))
        return results["scores"]

    # Model.

    def _compile(self):
        options, model = self.options, self.model
        self.sparsity = model.kernel_sparsity()
        self.prunes = options.target_sparsity is not None and bool(self.sparsity.gates)
        gates = {}
        if self.prunes:
            with self.sparsity.calibrated(options.target_sparsity):
                pass  # Raises now rather than in the middle of the run if it is out of reach.
            self.fix_step = max(1, round(options.gate_freeze_fraction * self.total_steps))
            gates = optimization.gate_training(options, model, self.sparsity, self.fix_step)
        else:
            for gate in model.gates:
                gate.trainable = False
            if options.do_train and not options.learning_rate:
                raise ValueError(
                    "Argument `learning_rate=0` trains the gates alone, which needs a model with "
                    "gates and `target_sparsity`, received "
                    f"target_sparsity={options.target_sparsity}."
                )
        loss = losses.task_loss(self.task.is_regression)
        optimization.compile_model(options, model, loss, self.total_steps, **gates)

    def _orders_gates(self):
        options = self.options
        prunes = options.target_sparsity is not None and options.do_train
        return prunes and options.gate_order_examples and not self.checkpoints.found

    def _order_gates(self, model):
        """Returns the model with its gates in the order of importance."""
        options, sparsity = self.options, model.kernel_sparsity()
        layers = [layer for layer, *_ in sparsity.gated()]
        loss = losses.task_loss(self.task.is_regression)
        batches = self.data.small_batches(options.gate_order_examples)
        importance = rank_importance(model, layers, batches, loss)
        order_gates(sparsity, importance, options.target_sparsity, options.initial_log_alpha)
        return model

    # Training.

    def _train(self):
        model = self.model
        self.fixed = tf.Variable(False)
        self.best = tf.Variable(-float("inf"), dtype=tf.float64)
        parts = {
            "model": model,
            "optimizer": model.optimizer,
            "fixed": self.fixed,
            "best": self.best,
        }
        if self.prunes:
            parts["lagrangian"] = model.lagrangian
            parts["gate_optimizer"] = model.gate_optimizer
            parts["multiplier_optimizer"] = model.multiplier_optimizer
        self.checkpoints.track(model.optimizer.iterations, **parts)
        self.checkpoints.restore()
        if bool(self.fixed):
            model.fix_gates()
        first = int(model.optimizer.iterations.numpy())
        if first >= self.total_steps or (bool(self.fixed) and not model.train_weights):
            return
        batches = self._batches(first)
        self.writer = self._summary_writer()
        with self.writer.as_default(first):
            settings = json.dumps(dataclasses.asdict(self.options), indent=2)
            tf.summary.text("hyper-parameters", f"```\n{settings}\n```")
        self.shown = {}
        line = callbacks.ProgressLine(
            self.total_steps, self.shown, self._factorized_share(), disable=not self.is_chief
        )
        found = self._callbacks(line)
        try:
            if distribution.is_asynchronous(self.strategy):
                self._fit_in_pieces(found)
            else:
                steps = self.total_steps - first
                model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=found)
        finally:
            line.on_train_end()  # Before an error is shown.
        self.checkpoints.finish()
        self.writer.close()

    def _batches(self, first):
        def batches(context):
            return self.data.train_batches(first, context)

        if distribution.is_asynchronous(self.strategy):
            return keras.utils.experimental.DatasetCreator(batches)
        return self.strategy.distribute_datasets_from_function(batches)

    def _fit_in_pieces(self, found):
        """Trains with parameter servers; callbacks see the model while no step runs."""
        model = self.model
        for callback in found:
            callback.set_model(model)
            callback.on_train_begin()
        step = int(model.optimizer.iterations.numpy())
        while step < self.total_steps and not model.stop_training:
            steps = min(_PIECE, self.total_steps - step)
            history = model.fit(self._batches(step), steps_per_epoch=steps, verbose=0)
            step = int(model.optimizer.iterations.numpy())
            logs = {name: values[-1] for name, values in history.history.items()}
            for callback in found:
                callback.on_train_batch_end(step, logs)
        for callback in found:
            callback.on_train_end()

    def _summary_writer(self):
        if not self.is_chief:
            return tf.summary.create_noop_writer()
        return tf.summary.create_file_writer(os.path.join(self.folder, "tensorboard"))

    def _factorized_share(self):
        if not self.prunes or self.options.sparsity_base != "factorized":
            return None
        return self.sparsity.original_parameters / self.sparsity.factorized_parameters

    def _callbacks(self, line):
        found = []
        if self.prunes and not bool(self.fixed):
            found.append(
                callbacks.FixGatesAndSay(
                    self.sparsity, self.options.target_sparsity, self.fix_step, self.fixed
                )
            )
        return [
            *found,
            callbacks.Summaries(self.writer),
            callbacks.AtSteps(self._checkpoint, self.data.save_steps, self.total_steps),
            line,
            callbacks.StopOnSigterm(self.checkpoints, line),
        ]

    def _checkpoint(self, step, logs):
        self.loss = float(logs["loss"])
        if self.data.splits:
            if self.prunes and not bool(self.fixed):
                with self.sparsity.calibrated(self.options.target_sparsity):
                    self._evaluate(step)
            else:
                self._evaluate(step)
        elif step == self.total_steps or self.model.stop_training:
            self._save_best(step, {})
        self.checkpoints.save()

    # Evaluation.

    def _evaluate(self, step):
        scores = evaluation.score(
            self.model, self.task, self.data.splits, self.options.eval_batch_size
        )
        selected = scores[self.data.select_split][self.task.primary_metric] if scores else 0.0
        if not self.options.do_train:
            self._save_best(step, scores)
            return
        self.shown["score"] = selected
        with self.writer.as_default(step):
            for split, values in scores.items():
                for key, value in values.items():
                    tag = key if split == self.data.report_split else f"{split}/{key}"
                    tf.summary.scalar(tag, value)
        callbacks.write_survivors(self.writer, step, self.model)
        if selected > float(self.best):
            self.best.assign(selected)
            self._save_best(step, scores)

    def _save_best(self, step, scores):
        if not self.is_chief:
            return
        model_dir.save(
            self.folder,
            self.model,
            self.tokenizer,
            task=self.task.to_dict(),
            data_dir=os.path.abspath(self.options.data_dir),
            max_seq_length=self.options.max_seq_length,
            step=step,
            loss=self.loss,
            stored_sparsity=float(self.sparsity.stored_sparsity()),
            scores=scores,
        )

    def _read_best(self):
        return model_dir.load_info(self.folder)

    def _predict(self):
        best = model_dir.load(self.folder)
        for split, examples in self.data.tests.items():
            encoded = batching.encode(examples, self.tokenizer, self.options.max_seq_length)
            logits = evaluation.predict(best, encoded, self.options.predict_batch_size)
            predictions.write(self.task, split, examples.ids, logits, self.folder)


def _config_changes(options, source, task):
    config = source.config
    changes = {"num_labels": task.num_outputs}
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    if options.max_seq_length > config.max_position_embeddings:
        raise ValueError(
            f"Argument `max_seq_length` must be at most {config.max_position_embeddings}, the "
            f"positions of the checkpoint, received {options.max_seq_length}."
        )
    has_gates = any(spec.gate is not None for _, _, spec, _ in config.projections())
    if options.factorized and has_gates:
        raise ValueError(
            "Argument `factorized` trains factors without gates, but the checkpoint "
            f"{options.init_checkpoint!r} has gates; remove them first with remove_mask.py."
        )
    if options.gate_name and not has_gates:
        changes["layers"] = compression.with_gates(
            config, options.gate_name, initial_log_alpha=options.initial_log_alpha
        ).layers
    return changes


def _brief(scores):
    return "; ".join(
        f"{split} " + ", ".join(f"{key} {value:.4f}" for key, value in values.items())
        for split, values in scores.items()
    )
