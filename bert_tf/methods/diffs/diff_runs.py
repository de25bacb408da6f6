"""Training of a difference as a run: the same data, checkpoints and scores as fine-tuning has."""

import contextlib
import os

import numpy as np

from bert_tf.checkpoints import model_dir
from bert_tf.methods.diffs import base_model
from bert_tf.runs import finetuning, optimization
from bert_tf.runs.run_scores import RunScores
from flop_tf import BertAdam, files, surgery
from flop_tf.diffs.diff_finetuning import FixedDiff
from flop_tf.diffs.diff_pruning import LearnedDiff
from flop_tf.files import diff_file, tensor_file
from flop_tf.files.diff_file import Diff

#: The difference in the folder of a stage.
DIFF_FILE = "diff.safetensors"

# As small as the gradients of the penalty, see `tests/flop_tf/test_diff_pruning.py`, D6.
_EPSILON = 1e-8


class DiffRun(finetuning.Run):
    """A run that trains a difference: learned by gates, or at fixed positions.

    Args:
      options: `DiffOptions`.
      strategy: see `bert_tf.runs.finetuning.Run`.
      fixed: a `flop_tf.files.diff_file.Diff` whose positions are trained; None learns them by the
        options' method.
      path: of its file, for errors.
    """

    def __init__(self, options, strategy, fixed=None, path=""):
        self.start_from, self.path = fixed, path
        super().__init__(options, strategy)

    def _compile(self):
        options, model = self.options, self.model
        self.base = base_model.base_weights(self.source)
        variables = surgery.named_variables(model)
        self.names = [path for path in variables if path in self.base]
        self.dense = {path: v for path, v in variables.items() if path not in self.base}
        self.trained = self._trained_names()
        self.diff = self._make_diff([variables[path] for path in self.trained])
        self.scores = DiffScores(self, self.start_from is None)
        if self.diff is None:
            super()._compile()
            return
        self.sparsity, self.prunes, self.gradual = model.budget(), False, None
        rate = optimization.decaying_from_the_start(options, self.total_steps)
        gates = {}
        if self.diff.gates:
            gates["gate_optimizer"] = adam(options.alpha_learning_rate, self.diff.gates)
        model.compile(
            adam(rate, self.diff.trained),
            loss=self.task.loss(),
            diff=self.diff,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            distill_alpha=options.distill_alpha if options.teacher else 0.0,
            distill_temperature=options.distill_temperature,
            seed=options.seed,
            **gates,
        )

    def _trained_names(self):
        """Returns the paths of the base's weights that may differ."""
        options, config = self.options, self.model.config
        if self.start_from is not None:
            return [path for path in self.names if len(self.start_from.positions.get(path, ()))]
        if options.method == "last_layer":
            last = config.num_hidden_layers
            return [path for path in self.names if base_model.layer_of(path, config) == last]
        frozen = base_model.frozen_paths(self.names, config, options.frozen_layers, options.frozen)
        trainable = {id(v) for v in self.model.trainable_variables}
        variables = surgery.named_variables(self.model)
        return [n for n in self.names if n not in frozen and id(variables[n]) in trainable]

    def _make_diff(self, base):
        """Returns the difference to train, or None where the weights are trained themselves."""
        options, dense = self.options, list(self.dense.values())
        if self.start_from is not None:
            return self._fixed(base, dense)
        if options.method == "last_layer":
            return FixedDiff(base, [np.arange(v.shape.num_elements()) for v in base], None, dense)
        if options.method == "non_adaptive":
            return None
        return LearnedDiff(
            base,
            dense,
            self._penalties(),
            options.structured,
            options.penalty,
            options.initial_alpha,
            options.concrete_lower,
            options.concrete_upper,
        )

    def _fixed(self, base, dense):
        given = self.start_from
        config = base_model.check_head(given, self.path, self.source.config)
        diff_file.check_base(given, self.base, self.path)
        self.task.check_head(config, f"the difference {self.path!r}")
        if (learned := given.info["task"]["name"]) != self.task.name:
            raise ValueError(
                f"The difference {self.path!r} is of the task {learned!r}, received the task "
                f"{self.task.name!r}; learn one for it in another folder."
            )
        positions = [given.positions[path] for path in self.trained]
        if self.options.finetune_start == "zero":
            return FixedDiff(base, positions, None, dense)
        for path, variable in self.dense.items():
            variable.assign(given.dense[path])
        start = given.values if given.weights is None else given.weights
        return FixedDiff(base, positions, [start[path] for path in self.trained], dense)

    def _penalties(self):
        """Returns lambda, or one for each trained tensor."""
        config, given = self.model.config, self.options.penalties
        if given is None:
            return self.options.sparsity_penalty
        if len(given) != config.num_hidden_layers + 2:
            raise ValueError(
                f"Argument `layer_penalties` must have {config.num_hidden_layers + 2} numbers, of "
                f"embeddings, {config.num_hidden_layers} layers and the rest, received "
                f"{len(given)}."
            )
        return [given[base_model.layer_of(path, config)] for path in self.trained]

    def _parts(self):
        if self.diff is None:
            return super()._parts()
        parts = {
            "dense": list(self.dense.values()),
            "diff": self.diff,
            "optimizer": self.model.optimizer,
            "fixed": self.fixed,
            "best": self.scores.best,
        }
        if self.diff.gates:
            parts["gate_optimizer"] = self.model.gate_optimizer
        return parts

    def _scored(self, step):
        return contextlib.nullcontext() if self.diff is None else self.diff.evaluated()

    # What is stored.

    def stored(self, **info):
        """Returns the difference as it is now, a `flop_tf.files.diff_file.Diff`."""
        found = {}
        if isinstance(self.diff, FixedDiff):
            positions = self._positions()
            values = dict(zip(self.trained, self.diff.values(), strict=True))
            weights = None
        else:
            found, trained = self._difference()
            positions = {path: np.flatnonzero(found[path]) for path in self.trained}
            values = _at(found, positions)
            weights = None if trained is None else _at(trained, positions)
        return Diff(
            base=tensor_file.fingerprint(self.base),
            shapes={path: self.base[path].shape for path in self.names},
            positions=self._complete(positions, np.int64),
            values=self._complete(values, np.float32),
            dense={path: variable.numpy() for path, variable in self.dense.items()},
            weights=None if weights is None else self._complete(weights, np.float32),
            info=info,
        )

    def _positions(self):
        if self.start_from is not None:
            return {path: self.start_from.positions[path] for path in self.trained}
        return {path: np.arange(self.base[path].size) for path in self.trained}

    def _difference(self):
        """Returns theta - p0, and w or None where it is the same, as arrays by path."""
        if self.diff is None:
            variables = surgery.named_variables(self.model)
            return {path: variables[path].numpy() - self.base[path] for path in self.trained}, None
        return tuple(
            {path: one.numpy() for path, one in zip(self.trained, values, strict=True)}
            for values in (self.diff.difference(), self.diff.split_weights())
        )

    def _complete(self, by_path, dtype):
        nothing = np.empty(0, dtype)
        return {path: by_path.get(path, nothing) for path in self.names}


class DiffScores(RunScores):
    """Scores of a run that stores a difference in place of a model.

    Args:
      run: the `DiffRun`.
      keeps_last: whether the last difference stays and not the best one: gates close to the end.
    """

    def __init__(self, run, keeps_last):
        super().__init__(run.options, run.task, run.tokenizer, run.data, run.is_chief)
        self._run, self._keeps_last = run, keeps_last

    def update(self, model, step, loss, writer):
        """Scores the model and keeps its difference; returns the deciding score."""
        if self._keeps_last:
            self.best.assign(-float("inf"))
        return super().update(model, step, loss, writer)

    def save(self, model, step, loss, scores):
        """Writes the difference, and beside it what is known of it."""
        options, run = self._options, self._run
        found_by = {"method": options.method, "structured": options.structured}
        if run.start_from is not None:  # Whatever the options of this stage say.
            found_by = {key: run.start_from.info.get(key) for key in (*found_by, "target_density")}
        info = {
            "task": self._task.to_dict(),
            "head": dict(self._task.head),
            "data_dir": os.path.abspath(options.data_dir),
            "max_seq_length": options.max_seq_length,
            "base": os.path.abspath(options.init_checkpoint),
            **found_by,
            "diff_stage": "learn" if run.start_from is None else "finetune",
            "seed": options.seed,
            "step": step,
            "loss": loss,
            "scores": scores,
        }
        save(options.output_dir, run.stored(**info), options.dtype)

    def _best_model(self, folder):
        path = os.path.join(folder, DIFF_FILE)
        return base_model.build(self._run.source, diff_file.read(path), path)


def save(folder, diff, dtype):
    """Writes a difference and `info.json`, which says what it is and how dense.

    Args:
      folder: of the stage.
      diff: a `flop_tf.files.diff_file.Diff`.
      dtype: of the stored values.
    """
    path = os.path.join(folder, DIFF_FILE)
    diff_file.write(path, diff, dtype)
    counts = {"entries": diff.num_entries, "density": diff.density, "dtype": dtype}
    sizes = {"parameters": diff.num_parameters, "bytes": os.path.getsize(path)}
    files.write_json(
        os.path.join(folder, model_dir.INFO_FILE),
        {"stage": "diff", **diff.info, **counts, **sizes},
    )


def adam(rate, variables):
    """Returns the optimizer of a difference's weights or of its gates.

    Args:
      rate: a float or a schedule.
      variables: list of what it updates.
    """
    optimizer = BertAdam(rate, epsilon=_EPSILON, bias_correction=True, global_clipnorm=1.0)
    optimizer.build(list(variables))
    return optimizer


def _at(arrays, positions):
    return {path: arrays[path].reshape(-1)[found] for path, found in positions.items()}
