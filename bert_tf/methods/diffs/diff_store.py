"""The difference of a run in its folder."""

import os

import numpy as np

from bert_tf.checkpoints import model_dir
from bert_tf.methods.diffs import base_model
from flop_tf import files, surgery
from flop_tf.diffs.diff_finetuning import FixedDiff
from flop_tf.files import diff_file, tensor_file
from flop_tf.files.diff_file import Diff

#: The difference in the folder of a stage.
DIFF_FILE = "diff.safetensors"


class DiffStore:
    """Keeps a difference in place of a model, see `bert_tf.runs.model_store.ModelStore`.

    Attributes:
      keeps_last: whether the last difference is kept and not the best: gates close to the end.

    Args:
      inputs: the `RunInputs` of the run.
      model: its BERT.
      diff: a `flop_tf.diffs.trained_diff.TrainedDiff`, or None where the weights are trained.
      trained: paths of the base's weights that may differ, a list.
      given: the `Diff` whose positions are trained, or None.
    """

    def __init__(self, inputs, model, diff, trained, given=None):
        self.keeps_last = given is None
        self._inputs, self._model, self._diff = inputs, model, diff
        self._trained, self._given = trained, given
        self._base = base_model.base_weights(inputs.source)
        variables = surgery.named_variables(model)
        self._names = [path for path in variables if path in self._base]

    def save(self, model, step, loss, scores, task):
        """Writes the difference and `info.json`, see `ModelStore.save`."""
        options, given = self._inputs.options, self._given
        found_by = {"method": options.method, "structured": options.structured}
        if given is not None:  # Whatever the options of this stage are.
            found_by = {key: given.info.get(key) for key in (*found_by, "target_density")}
        info = {
            "task": task.to_dict(),
            "head": dict(task.head),
            "data_dir": os.path.abspath(options.data_dir),
            "max_seq_length": options.max_seq_length,
            "base": os.path.abspath(options.init_checkpoint),
            **found_by,
            "diff_stage": "learn" if given is None else "finetune",
            "seed": options.seed,
            "step": step,
            "loss": loss,
            "scores": scores,
        }
        save(options.output_dir, self._stored(info), options.dtype)

    def load(self):
        """Returns the model with the difference that was saved last."""
        path = os.path.join(self._inputs.options.output_dir, DIFF_FILE)
        return base_model.build(self._inputs.source, diff_file.read(path), path)

    def _stored(self, info):
        """Returns the difference as it is now, a `flop_tf.files.diff_file.Diff`."""
        variables = surgery.named_variables(self._model)
        if isinstance(self._diff, FixedDiff):
            positions = self._positions()
            values = dict(zip(self._trained, self._diff.values(), strict=True))
            weights = None
        else:
            found, trained = self._difference(variables)
            positions = {path: np.flatnonzero(found[path]) for path in self._trained}
            values = _at(found, positions)
            weights = None if trained is None else _at(trained, positions)
        return Diff(
            base=tensor_file.fingerprint(self._base),
            shapes={path: self._base[path].shape for path in self._names},
            positions=self._complete(positions, np.int64),
            values=self._complete(values, np.float32),
            dense={p: v.numpy() for p, v in variables.items() if p not in self._base},
            weights=None if weights is None else self._complete(weights, np.float32),
            info=info,
        )

    def _positions(self):
        if self._given is not None:
            return {path: self._given.positions[path] for path in self._trained}
        return {path: np.arange(self._base[path].size) for path in self._trained}

    def _difference(self, variables):
        """Returns theta - p0, and w or None where it is the same, as arrays by path."""
        if self._diff is None:
            return {p: variables[p].numpy() - self._base[p] for p in self._trained}, None
        return tuple(
            {path: one.numpy() for path, one in zip(self._trained, values, strict=True)}
            for values in (self._diff.difference(), self._diff.split_weights())
        )

    def _complete(self, by_path, dtype):
        nothing = np.empty(0, dtype)
        return {path: by_path.get(path, nothing) for path in self._names}


def save(folder, diff, dtype):
    """Writes a difference and `info.json`, which reports what it is and how dense.

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


def _at(arrays, positions):
    return {path: arrays[path].reshape(-1)[found] for path, found in positions.items()}
