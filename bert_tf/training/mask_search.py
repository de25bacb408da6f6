"""Masks that are found on text: scores that are trained, or rounds of magnitude pruning.

Whatever the search, it ends with `mask.safetensors`, a mask of exactly the sparsity, and with its
scores under the head that the checkpoint came with, so that masks can be compared.
"""

import dataclasses
import json
import os
import time

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import model_dir
from bert_tf.checkpoints import read_source
from bert_tf.data import batching, masking
from bert_tf.model.mask_learner import MaskLearner
from bert_tf.model.weight_paths import head
from bert_tf.pruning import masks, units
from bert_tf.tasks import registry
from bert_tf.training import callbacks, evaluation
from bert_tf.training.run_checkpoints import RunCheckpoints
from bert_tf.training.run_data import RunData
from flop_tf import BertAdam, files, iterative_magnitude, mask_training, surgery
from flop_tf.backend import keras

#: Written last.
RESULTS_FILE = "results.json"

MASK_FILE = "mask.safetensors"

#: Model directory of the dense BERT with the head that was trained for it.
DENSE_FOLDER = "dense"

_HEAD = {"head": "mlm", "num_labels": 1}


def search(options):
    """Searches a mask, evaluates it and writes it.

    Args:
      options: `MaskOptions`.

    Returns:
      What `RESULTS_FILE` holds, a dict; with no steps only the scores of the dense model.

    Raises:
      ValueError: if a file, an option or what the checkpoint holds does not fit.
      OSError: if a file cannot be written.
    """
    keras.utils.set_random_seed(options.seed)
    source = read_source(
        options.init_checkpoint,
        options.bert_config_file or None,
        options.vocab_file or None,
        pretraining_head=True,
    )
    if source.config != source.config.dense:
        raise ValueError(
            f"The checkpoint {options.init_checkpoint!r} must be dense, received one with factors, "
            "gates or units removed; take the model before pruning."
        )
    return _Search(options, source).run()


class _Search:
    """One search: its data, model, optimizers and files."""

    def __init__(self, options, source):
        self.options, self.source = options, source
        self.tokenizer = model_dir.make_tokenizer(source, options.do_lower_case)
        self.task = registry.get("mlm", train_file=options.train_file, dev_file=options.dev_file)
        self._check_sizes()
        self.data = RunData(options.finetune_options(), self.task, self.tokenizer)
        self.teacher = self._read_teacher()
        self.has_head = set(head("mlm")) <= set(source.weights)
        if not self.has_head and options.mlm and not options.train_head:
            raise ValueError(
                f"The checkpoint {options.init_checkpoint!r} must have a head of masked language "
                "modelling, received none; pass --train_head to train one first, or learn from a "
                "teacher alone by --mlm=false."
            )

    def run(self):
        """Trains the head where there is none, searches, and returns the results."""
        if not self.has_head and self.options.train_head:
            self.source = self._with_head()
            self.has_head = True
        if not self.options.num_train_steps:
            return self._write({"dense": self._scores(model_dir.build(self.source, **_HEAD))})
        config = self._config()
        source = dataclasses.replace(self.source, config=config)
        self.model = model_dir.build(source, kind=MaskLearner, **_HEAD)
        self.model.learn(self.options.objective(), self.teacher)
        found = self._masks_of_scores() if self.options.method == "mask" else self._rounds()
        self._compile()
        began = time.perf_counter()
        self.eval_time = 0.0
        self._train(found)
        seconds = time.perf_counter() - began - self.eval_time
        return self._finish(self._found_masks(), seconds)

    # Model.

    def _config(self):
        """Returns the config with the gates of the search."""
        options, config = self.options, self.source.config
        if options.method == "imp":
            return masks.with_gates(config, "magnitude")
        if options.unit_kinds:
            return units.with_gates(config, options.unit_kinds, options.binarizer)
        return masks.with_gates(config, options.binarizer, options.blocks)

    def _masks_of_scores(self):
        """Freezes the weights, starts the scores and returns the callback of their thresholds."""
        options, model = self.options, self.model
        model.encoder.trainable = False
        groups = self._groups()
        for gate, _ in (pair for group in groups for pair in group.values()):
            gate.trainable = True
        # Nothing on text reads the pooler, so that its mask stays the first one.
        model.encoder.pooler.trainable = False
        self.masks = mask_training.ScoredMasks(groups)
        self.masks.start(options.init, self._sparsity(0), np.random.default_rng(options.seed))
        self.first_masks = self.masks.masks()
        return mask_training.Rethresholding(self.masks, self._sparsity, options.update_every)

    def _groups(self):
        """Returns the groups of `ScoredMasks`: one a matrix, or one a kind of units."""
        encoder = self.model.encoder
        if not self.options.unit_kinds:
            return [
                {path: (gate, lambda variable=variable: variable.numpy())}
                for path, gate, variable in encoder.weight_gates()
            ]
        groups = {kind: {} for kind in self.options.unit_kinds}
        for path, gate in encoder.unit_gates():
            _, index, kind = path.split(".")
            if self.options.blocks is None or int(index) in self.options.blocks:
                block = encoder.blocks[int(index)]
                groups[kind][path] = gate, lambda b=block, k=kind: _size_of_units(b, k)
        return list(groups.values())

    def _rounds(self):
        """Returns the callback that prunes by magnitude between rounds."""
        options, model = self.options, self.model
        for gate in model.gates:
            gate.trainable = False
        rounds = iterative_magnitude.num_rounds(options.sparsity)
        self.interval = max(1, options.num_train_steps // max(1, rounds - 1))
        weights = model.encoder.trainable_variables
        return iterative_magnitude.IterativeMagnitude(
            [(gate, variable) for _, gate, variable in model.encoder.weight_gates()],
            weights,
            [variable.numpy() for variable in weights],
            rounds,
            self.interval,
            options.rewind,
        )

    def _compile(self):
        options, model = self.options, self.model
        steps = options.num_train_steps
        decay = keras.optimizers.schedules.PolynomialDecay
        rate = decay(options.learning_rate, steps, 0.0)
        training = {}
        if options.method == "imp":
            rate = _Restarted(options.learning_rate, steps, self.interval)
        else:
            scores = decay(options.score_learning_rate, steps, 0.0)
            scores = BertAdam(
                scores,
                epsilon=1e-8,
                bias_correction=True,
                weight_decay=options.score_weight_decay or None,
                global_clipnorm=1.0,
            )
            scores.build(model.gate_variables())
            training["gate_optimizer"] = scores
        optimizer = BertAdam(rate, global_clipnorm=1.0)
        optimizer.build(model.weight_variables())
        model.compile(
            optimizer,
            loss=self.task.loss(),
            train_weights=options.mlm or options.method == "imp",
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            seed=options.seed,
            **training,
        )

    def _sparsity(self, step):
        """Returns the sparsity to have after a number of steps."""
        options = self.options
        if options.start_sparsity is None:
            return options.sparsity
        progress = step / options.num_train_steps
        return mask_training.cubic_sparsity(options.start_sparsity, options.sparsity, progress)

    # Training.

    def _train(self, found):
        options, model = self.options, self.model
        parts = {"model": model, "optimizer": model.optimizer}
        if model.gate_optimizer is not None:
            parts["gate_optimizer"] = model.gate_optimizer
        step = _fit(
            model,
            self._batches,
            options.output_dir,
            parts,
            options.num_train_steps,
            options.keep_checkpoints,
            options.save_steps,
            self._look,
            [found],
            json.dumps(dataclasses.asdict(options), indent=2),
        )
        logging.info("Searched for %d steps.", step)

    def _batches(self, first):
        self.data.total_steps = self.options.num_train_steps
        if self.options.method == "mask":
            self.last_masks = self.masks.masks()  # Those of the checkpoint from which it goes on.
        batches = self.data.train_batches(first)
        if self.options.mlm:
            return batches
        return batches.map(lambda features, *rest: (masking.restored(features), *rest))

    def _look(self, step, writer, shown):
        """Scores the masks of a step."""
        began = time.perf_counter()
        now = self._current_masks(step)
        with writer.as_default(step):
            for name, value in self._progress(now).items():
                tf.summary.scalar(name, value)
            for name, value in self._scores(self.model, self.options.eval_blocks).items():
                tf.summary.scalar(name, value)
                if name in ("eval_loss", "distance"):
                    shown[name] = value
        self.eval_time += time.perf_counter() - began

    def _current_masks(self, step):
        if self.options.method == "mask":
            self.masks.rethreshold(self._sparsity(step))
            return self.masks.masks()
        return {path: gate.keep().numpy() for path, gate, _ in self.model.encoder.weight_gates()}

    def _progress(self, now):
        """Returns the share of zeros, and how many differ from the first and the last masks."""
        size = sum(map(np.size, now.values()))
        found = {"zero_rate": mask_training.zero_rate(now)}
        if self.options.method == "mask":
            before = {"mask_distance": self.first_masks, "mask_change": self.last_masks}
            for name, then in before.items():
                found[name] = sum(np.count_nonzero(now[p] != then[p]) for p in now) / size
            self.last_masks = now
        return found

    # Results.

    def _found_masks(self):
        if self.options.method == "mask":
            return self.masks.project(self.options.sparsity)
        return self._current_masks(self.options.num_train_steps)

    def _finish(self, found, seconds):
        options, config = self.options, self.source.config
        path = os.path.join(options.output_dir, MASK_FILE)
        settings = dataclasses.asdict(options)
        masks.save(path, config, found, options.method, options=settings)
        logging.info("The mask is in %s.", path)
        results = {
            "method": options.method,
            "sparsity": options.sparsity,
            "zero_rate": mask_training.zero_rate(found),
            "steps": options.num_train_steps,
            "seconds": round(seconds, 1),
        }
        masked = masks.apply(self.source, found, tied=True)
        pruned = model_dir.build(masked, kind=MaskLearner, **_HEAD)
        pruned.learn(options.objective(), self.teacher)
        results["masked"] = self._scores(pruned)
        if self.has_head and options.mlm and options.method == "mask":
            for path in head("mlm"):
                own, theirs = (surgery.named_variables(m)[path] for m in (pruned, self.model))
                own.assign(theirs)
            results["masked_with_its_own_head"] = self._scores(pruned)
        return self._write(results)

    def _write(self, results):
        files.write_json(os.path.join(self.options.output_dir, RESULTS_FILE), results)
        logging.info("%s", json.dumps(results, indent=2))
        return results

    def _scores(self, model, most=0):
        """Returns the scores of a model on the text to evaluate on, at most so many blocks."""
        (encoded,) = self.data.splits.values()
        if most:
            encoded = encoded.take(np.arange(min(most, len(encoded))))
        size, found = self.options.eval_batch_size, {}
        if self.has_head:
            logits = evaluation.predict(model, encoded, size)
            found |= self.task.score(logits, encoded)
        if getattr(model, "teacher", ()):
            found["distance"] = _mean_distance(model, encoded, size)
        return found

    # The head and the teacher.

    def _with_head(self):
        """Returns the dense BERT with a head of masked language modelling, trained on its own."""
        options = self.options
        folder = os.path.join(options.output_dir, DENSE_FOLDER)
        if not os.path.isfile(os.path.join(folder, model_dir.INFO_FILE)):
            model = model_dir.build(self.source, **_HEAD)
            model.encoder.trainable = False
            decay = keras.optimizers.schedules.PolynomialDecay
            rate = decay(options.head_learning_rate, max(1, options.head_steps), 0.0)
            optimizer = BertAdam(rate, global_clipnorm=1.0)
            optimizer.build(model.weight_variables())
            model.compile(optimizer, loss=self.task.loss(), seed=options.seed)
            self.data.total_steps = options.head_steps
            parts = {"model": model, "optimizer": optimizer}
            keep, every = options.keep_checkpoints, max(1, options.head_steps // 4)
            _fit(model, self.data.train_batches, folder, parts, options.head_steps, keep, every)
            self.has_head = True
            model_dir.save(
                folder,
                model,
                self.tokenizer,
                task=self.task.to_dict(),
                data_dir=os.path.abspath(options.data_dir),
                max_seq_length=options.max_seq_length,
                step=options.head_steps,
                scores={"dev": self._scores(model)},
            )
        return read_source(folder)

    def _read_teacher(self):
        options = self.options
        if not options.objective().distills:
            if options.teacher:
                raise ValueError(
                    "Argument `teacher` needs something to learn from it: --distill_hidden, "
                    f"--distill_attention or --distill_relation, received {options.teacher!r}."
                )
            return None
        source = self.source
        if options.teacher:
            source = read_source(options.teacher)
            vocab = model_dir.make_tokenizer(source, options.do_lower_case).vocab
            if vocab != self.tokenizer.vocab:
                raise ValueError(
                    f"The teacher {options.teacher!r} must have the vocabulary of the student, "
                    "received another one."
                )
        return model_dir.build(source, **_HEAD)

    def _check_sizes(self):
        num_blocks = len(self.source.config.layers)
        if self.options.blocks and max(self.options.blocks) >= num_blocks:
            raise ValueError(
                f"Argument `layers_to_mask` must name blocks from 0 to {num_blocks - 1}, received "
                f"{self.options.layers_to_mask!r}."
            )
        most = self.source.config.max_position_embeddings
        if self.options.max_seq_length > most:
            raise ValueError(
                f"Argument `max_seq_length` must be at most {most}, the positions of the "
                f"checkpoint, received {self.options.max_seq_length}."
            )


@keras.saving.register_keras_serializable("bert_tf")
class _Restarted(keras.optimizers.schedules.LearningRateSchedule):
    """`rate (1 - (step mod interval) / total)`: the decay of a run, begun anew in each round."""

    def __init__(self, rate, total_steps, interval):
        super().__init__()
        self.rate, self.total_steps, self.interval = rate, total_steps, interval

    def __call__(self, step):
        done = tf.cast(tf.cast(step, tf.int32) % self.interval, tf.float32)
        return self.rate * (1.0 - done / self.total_steps)

    def get_config(self):
        return {"rate": self.rate, "total_steps": self.total_steps, "interval": self.interval}


def _fit(model, batches, folder, parts, steps, keep, every, look=None, before=(), settings=None):
    """Trains a compiled model to a step, from its last checkpoint on; returns that step."""
    checkpoints = RunCheckpoints(folder, keep)
    checkpoints.track(model.optimizer.iterations, **parts)
    checkpoints.restore()
    first = int(model.optimizer.iterations.numpy())
    if first >= steps:
        return first
    writer = tf.summary.create_file_writer(os.path.join(folder, "tensorboard"))
    with writer.as_default(first):
        if settings is not None:
            tf.summary.text("hyper-parameters", f"```\n{settings}\n```")
    shown = {}
    line = callbacks.ProgressLine(steps, shown)

    def save(step, logs):
        if look is not None:
            look(step, writer, shown)
        checkpoints.save()

    found = [
        *before,
        callbacks.Summaries(writer),
        callbacks.AtSteps(save, every, steps),
        line,
        callbacks.StopOnSignal(checkpoints, line),
    ]
    try:
        model.fit(batches(first), steps_per_epoch=steps - first, callbacks=found, verbose=0)
    finally:
        for callback in found[-2:]:
            callback.on_train_end()
        writer.close()
    checkpoints.finish()
    step = int(model.optimizer.iterations.numpy())
    if step < steps:
        # Keras takes an error of a file that cannot grow, in a callback, for the end of the data.
        raise OSError(
            f"Training ended at step {step} of {steps}: a file in {folder!r} could not be written "
            "to; make room and start the same command again."
        )
    return step


def _mean_distance(model, encoded, batch_size):
    """Returns the mean distance to the teacher on the words behind the masks."""
    dataset = batching.evaluation_dataset(encoded, batch_size)
    distance = tf.function(lambda features: model.distance(masking.restored(features)))
    sums = [(float(distance(f)), len(index)) for f, _, index in dataset]
    return sum(value * rows for value, rows in sums) / sum(rows for _, rows in sums)


def _size_of_units(block, kind):
    """Returns the norm of the weights behind each head or neuron of a block."""
    projection = {"heads": block.attention_output, "neurons": block.ffn_out}[kind]
    kernel = projection.kernel.numpy()
    return np.linalg.norm(kernel.reshape(block.layer.num_units(kind), -1), axis=1)
