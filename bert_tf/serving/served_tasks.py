"""A BERT as a server calls it for several tasks: the base once, and a difference for each.

Nothing is changed by a request, so that requests of other tasks may run at the same time: theta of
the requested task is computed within it, one pass over the tensors that differ. B batch, T tokens.
"""

import contextlib
import functools

import numpy as np
import tensorflow as tf

from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.serving.served_model import checked_ids
from flop_tf import surgery


class ServedTasks(tf.Module):
    """The functions that are exported.

    `serving_default` takes ids, int32 `[B, T]` by `INPUT_NAMES`, and `task`, strings `[B]` that are
    all the same, and returns the `logits` of that task. `text_TASK` takes strings `[B]` by
    `Service.text_names` of a task and returns the outputs of `ServedModel.text`.

    Args:
      shared: a `bert_tf.methods.diffs.task_models.SharedBase`.
      services: dict of a `bert_tf.serving.services.Service` by the name of the task, in the order
        of the base's.
    """

    def __init__(self, shared, services):
        super().__init__()
        self.names = tuple(services)
        self._keep(shared, services)
        # The weights and not the model: Keras would store traces of every layer next to them.
        self.weights = list(shared.model.variables)
        self.entries = {name: self._entries(diff) for name, diff in shared.diffs.items()}
        ids = [tf.TensorSpec([None, None], tf.int32, name) for name in INPUT_NAMES]

        @tf.function(input_signature=[*ids, tf.TensorSpec([None], tf.string, "task")])
        def serving_default(input_word_ids, input_mask, input_type_ids, task):
            rows = checked_ids(input_word_ids, input_mask, input_type_ids)
            index = self._index(task)
            weights = tf.switch_case(
                index, [functools.partial(self._theta, name) for name in self.names]
            )
            logits = self._logits(rows, weights)
            starts = tf.constant([shared.outputs[name].start for name in self.names])
            ends = tf.constant([shared.outputs[name].stop for name in self.names])
            outputs = slice(starts[index], ends[index])
            return {"logits": shared.model.head.of_outputs(logits, outputs)}

        self.serving_default = serving_default

    # Untracked: they are to build the functions, not to be stored.
    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _keep(self, shared, services):
        self._shared, self.services = shared, services
        self._variables = surgery.named_variables(shared.model)
        self._changed = [
            path
            for path in self._variables
            if any(len(diff.positions.get(path, ())) for diff in shared.diffs.values())
        ]

    def signatures(self):
        """Returns the concrete functions `serving_default` and `text_TASK` by name."""
        found = {"serving_default": self.serving_default.get_concrete_function()}
        for name, service in self.services.items():
            if not service.tokenizer.in_graph:
                continue
            texts = {one: tf.TensorSpec([None], tf.string, one) for one in service.text_names}
            function = tf.function(functools.partial(self._text, name))
            found[text_signature(name)] = function.get_concrete_function(**texts)
        return found

    def _text(self, name, **texts):
        service = self.services[name]
        texts = {key: tf.ensure_shape(value, [None]) for key, value in texts.items()}
        features = service.features(texts)
        rows = [features[key] for key in INPUT_NAMES]
        shared, logits = self._shared, self._logits(rows, self._theta(name))
        logits = shared.model.head.of_outputs(logits, shared.outputs[name])
        answers = service.answers(service.outputs(logits))
        return service.text_answers(answers, texts, rows[0])

    def _index(self, task):
        """Returns the position of a request's task among all."""
        known = tf.reduce_any(tf.equal(task[:1, tf.newaxis], tf.constant(self.names)), axis=0)
        checks = [
            tf.debugging.Assert(
                tf.reduce_any(known), [f"The task must be one of {list(self.names)}."], 1
            ),
            tf.debugging.Assert(tf.reduce_all(task == task[:1]), ["A request has one task."], 1),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.argmax(tf.cast(known, tf.int32), output_type=tf.int32)

    def _theta(self, name):
        """Returns the tensors that any task changes, for one task."""
        values = []
        for path, entries in zip(self._changed, self.entries[name], strict=True):
            value = tf.convert_to_tensor(self._variables[path])
            values.append(tf.tensor_scatter_nd_add(value, *entries) if entries else value)
        return values

    def _entries(self, diff):
        """Returns positions `[K, rank]` and differences `[K]` of a task in each changed tensor."""
        found = []
        for path in self._changed:
            positions = diff.positions[path]
            where = np.stack(np.unravel_index(positions, diff.shapes[path]), axis=-1)
            arrays = (where.astype(np.int32), diff.values[path])
            found.append([tf.Variable(one, trainable=False) for one in arrays if len(positions)])
        return found

    def _logits(self, rows, weights):
        positions = self._shared.model.config.num_positions
        features = {name: row[:, :positions] for name, row in zip(INPUT_NAMES, rows, strict=True)}
        with _taking(self._shared.model, dict(zip(self._changed, weights, strict=True))):
            return self._shared.model(features, training=False)


def text_signature(name):
    """Returns the name of the signature that takes the texts of a task.

    Args:
      name: of the task.
    """
    return f"text_{name.lower().replace('-', '_')}"


@contextlib.contextmanager
def _taking(model, tensors):
    """Lets layers compute with tensors in place of their weights, by path, while traced."""
    owners = []
    try:
        for path, tensor in tensors.items():
            *parents, name = path.split(".")
            owner = functools.reduce(_child, parents, model)
            owners.append((vars(owner), name, vars(owner)[name]))
            vars(owner)[name] = tensor  # Past Keras, which would take it for another weight.
        yield
    finally:
        for attributes, name, variable in owners:
            attributes[name] = variable


def _child(owner, name):
    return owner[int(name)] if name.isdigit() else getattr(owner, name)
