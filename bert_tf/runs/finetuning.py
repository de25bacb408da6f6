"""Training of whatever a checkpoint holds: dense, factorized, gated or compact."""

import contextlib
import dataclasses
import json
import os
import time

import tensorflow as tf

from bert_tf.checkpoints import read_source
from bert_tf.runs import callbacks, distribution, optimization
from bert_tf.runs.options import check_of_tasks
from bert_tf.runs.run_checkpoints import RunCheckpoints, check_end
from bert_tf.runs.run_data import RunData, check_length
from bert_tf.runs.run_scores import RunScores
from bert_tf.surgery import compression, masks, task_masks
from bert_tf.tasks import registry
from flop_tf import gates, order_gates, rank_importance, surgery
from flop_tf.backend import keras

# Steps between two looks at the model where parameter servers hold it.
_PIECE = 50


def finetune(options, strategy=None, run=None):
    """Trains a model, evaluates it at every checkpoint and keeps the best.

    Args:
      options: `FinetuneOptions`.
      strategy: a `tf.distribute.Strategy`; None makes the one that the options name.
      run: function of both that makes the run; None is `Run`.

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
        return (run or Run)(options, strategy or distribution.make_strategy(options)).start()
    finally:
        keras.mixed_precision.set_global_policy(policy)


class Run:
    """One run: its data, model, optimizers and files.

    Args:
      options: `FinetuneOptions`.
      strategy: a `tf.distribute.Strategy`.
    """

    def __init__(self, options, strategy):
        self.strategy = strategy
        self.is_chief = distribution.is_chief(options)
        self.folder = options.output_dir
        if options.glue_dir:
            options = dataclasses.replace(options, data_dir=options.glue_dir)
        self.task = _task(options)
        check_of_tasks(options, getattr(self.task, "names", (self.task.name,)))
        tied = self.task.head_class.is_tied
        source = read_source(
            options.init_checkpoint,
            options.bert_config_file or None,
            options.vocab_file or None,
            pretraining_head=tied,
        )
        source = _with_head(source, self.task, options)
        self.tokenizer = tokenizer = source.tokenizer(options.do_lower_case)
        if options.mask:
            source = masks.apply(source, masks.load(options.mask, source.config).masks, tied)
        if options.task_masks:
            found = task_masks.load(options.task_masks, self.task, source.config)
            source = task_masks.with_masks(source, found)
        length = options.max_seq_length or self.task.default_seq_length
        self.options = options = dataclasses.replace(options, max_seq_length=length)
        changes = _config_changes(options, source, self.task)
        self.data = RunData(options, self.task, tokenizer)
        self.total_steps = self.data.total_steps
        self.scores = RunScores(options, self.task, tokenizer, self.data, self.is_chief)
        self.checkpoints = RunCheckpoints(self.folder, options.keep_checkpoints, self.is_chief)
        if "layers" in changes and self._orders_gates():
            # On one device, before the model is spread over several.
            ordered = self._order_gates(source.model(**changes))
            source = dataclasses.replace(
                source, config=ordered.config, weights=surgery.named_weights(ordered)
            )
        self.source = source
        with strategy.scope():
            self.model = source.model(**changes)
            self._compile()

    def start(self):
        """Trains from the last checkpoint, or from the start, to the end; returns the scores."""
        began = time.perf_counter()
        with distribution.losing_workers(self.strategy):
            if self.options.do_train:
                self._train()
            else:
                self.scores.score_untrained(self.model)
        return self.scores.finish(time.perf_counter() - began) if self.is_chief else None

    # Model.

    def _compile(self):
        options, model = self.options, self.model
        self.sparsity = model.budget()
        self.prunes = options.target_sparsity is not None and bool(self.sparsity.gates)
        self.gradual = None
        self.fix_step = max(1, round(options.gate_freeze_fraction * self.total_steps))
        training = {}
        if self.prunes:
            with self.sparsity.calibrated(options.target_sparsity):
                pass  # Raises now rather than in the middle of the run if it is out of reach.
            training = optimization.gate_training(options, model, self.sparsity, self.fix_step)
        else:
            if options.target_sparsity is not None and self.sparsity.by_magnitude():
                self.gradual = callbacks.GradualPruningAndSay(
                    self.sparsity,
                    options.target_sparsity,
                    self.fix_step,
                    options.target_sparsity_warmup,
                    options.mask_update_steps,
                )
            for gate in model.gates:
                gate.trainable = False
            if options.do_train and not options.learning_rate:
                raise ValueError(
                    "Argument `learning_rate=0` trains the gates alone, which needs a model with "
                    "gates over ranks and `target_sparsity`, received "
                    f"target_sparsity={options.target_sparsity}."
                )
        loss = self.task.loss()
        optimization.compile_model(options, model, loss, self.total_steps, **training)

    def _orders_gates(self):
        options = self.options
        prunes = options.target_sparsity is not None and options.do_train
        prunes = prunes and options.gate_name in gates.CALIBRATED
        return prunes and options.gate_order_examples and not self.checkpoints.found

    def _order_gates(self, model):
        """Returns the model with its gates in the order of importance."""
        options, sparsity = self.options, model.budget()
        layers = [group.layer for group in sparsity.ranks]
        loss = self.task.loss()
        batches = self.data.small_batches(options.gate_order_examples)
        importance = rank_importance(model, layers, batches, loss)
        order_gates(sparsity, importance, options.target_sparsity, options.initial_log_alpha)
        return model

    # Training.

    def _train(self):
        model = self.model
        self.fixed = tf.Variable(False)
        self.checkpoints.track(model.optimizer.iterations, **self._parts())
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
        stopping = callbacks.StopOnSignal(self.checkpoints, line)
        found = [*self._callbacks(line), stopping]
        try:
            if distribution.is_asynchronous(self.strategy):
                self._fit_in_pieces(found)
            else:
                steps = self.total_steps - first
                model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=found)
            if not model.stop_training:
                check_end(model, self.total_steps, self.folder)
            self.checkpoints.finish()
        finally:
            line.on_train_end()  # Before an error is shown.
            stopping.give_back()
        stopping.stop_if_received()
        self.writer.close()

    def _parts(self):
        """Returns what a checkpoint holds, by name."""
        model = self.model
        parts = {
            "model": model,
            "optimizer": model.optimizer,
            "fixed": self.fixed,
            "best": self.scores.best,
        }
        if self.prunes:
            parts["lagrangian"] = model.lagrangian
            parts["gate_optimizer"] = model.gate_optimizer
            parts["multiplier_optimizer"] = model.multiplier_optimizer
        return parts

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
        if self.gradual is not None:
            found.append(self.gradual)
        return [
            *found,
            callbacks.Summaries(self.writer),
            callbacks.AtSteps(self._checkpoint, self.data.save_steps, self.total_steps),
            line,
        ]

    def _checkpoint(self, step, logs):
        loss = float(logs["loss"])
        if self.data.splits:
            with self._scored(step):
                self.shown["score"] = self.scores.update(self.model, step, loss, self.writer)
        elif step == self.total_steps or self.model.stop_training:
            self.scores.save(self.model, step, loss, {})
        self.checkpoints.save()

    def _scored(self, step):
        """Returns a context in which the model is what is scored: as sparse as it is to be."""
        searches = self.prunes and not bool(self.fixed)
        searches |= self.gradual is not None and step < self.fix_step
        if not searches:
            return contextlib.nullcontext()
        return self.sparsity.calibrated(self.options.target_sparsity)


def _task(options):
    columns = {
        "text_columns": options.text_columns or None,
        "label_column": options.label_column or None,
        "label_type": options.label_type,
        "quoting": options.quoting,
        "language": options.language,
        "tfds": options.tfds,
    }
    if options.tasks:
        return registry.get_several(options.tasks, data_dir=options.data_dir, **columns)
    return registry.get(
        options.task_name,
        data_dir=options.data_dir,
        doc_stride=options.doc_stride,
        max_query_length=options.max_query_length,
        n_best_size=options.n_best_size,
        max_answer_length=options.max_answer_length,
        train_file=options.train_file,
        dev_file=options.dev_file,
        **columns,
    )


def _with_head(source, task, options):
    owner = f"the checkpoint {options.init_checkpoint!r}"
    if options.do_train:
        return task.start(source, owner)
    if not (source.has_head or source.missing_head):
        raise ValueError(
            f"Argument `do_train=false` scores the model at hand, but {owner} has no task head; "
            "take one that was trained on this task."
        )
    return task.with_head(source, owner)


def _config_changes(options, source, task):
    config = source.config
    if options.teacher and task.head_class.is_tied:
        raise ValueError(
            f"Argument `teacher` needs a task with a logit for each class, received the task "
            f"{task.name!r}; train_mask.py distils hidden states on text."
        )
    task.check_masks(config, f"the checkpoint {options.init_checkpoint!r}")
    changes = dict(task.head)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    check_length(options.max_seq_length, config)
    if options.factorized and config.has_gates:
        raise ValueError(
            "Argument `factorized` trains factors without gates, but the checkpoint "
            f"{options.init_checkpoint!r} has gates; remove them first with remove_mask.py."
        )
    if options.gate_name and config.has_gates:
        _check_gates(options, config)
    elif options.gate_name:
        arguments = gates.accepted(options.gate_name, initial_log_alpha=options.initial_log_alpha)
        changes["layers"] = compression.with_gates(config, options.gate_name, **arguments).layers
    return changes


def _check_gates(options, config):
    """Raises ValueError if a model has gates, but not those that the options ask for."""
    expected = {options.gate} if options.gate else set(gates.PRUNING)
    found = {spec.gate.get("name") for *_, spec, _ in config.projections() if spec.gate}
    if not found or not found <= expected:
        raise ValueError(
            f"Argument `gate={options.gate_name}` needs a model without gates or with gates of "
            f"{' or '.join(sorted(expected))} over its projections, but {options.init_checkpoint!r}"
            f"{' under its mask' if options.mask else ''} has those of "
            f"{', '.join(sorted(map(str, found))) or 'its units'}; remove them first with "
            "remove_mask.py."
        )
