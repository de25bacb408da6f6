"""How a run trains a difference: which weights may differ, by what objective."""

import numpy as np

from bert_tf.methods.diffs import base_model
from bert_tf.methods.diffs.diff_store import DiffStore
from bert_tf.runs import finetuning, optimization
from flop_tf import BertAdam, surgery
from flop_tf.diffs.diff_finetuning import FixedDiff
from flop_tf.diffs.diff_objective import DiffObjective
from flop_tf.diffs.diff_pruning import LearnedDiff
from flop_tf.files import diff_file

# As small as the gradients of the penalty, see `tests/flop_tf/diffs/test_diff_pruning.py`, D6.
_EPSILON = 1e-8


class DiffTraining:
    """Compiles the model of a run for a difference: learned by gates, or at fixed positions.

    `bert_tf.runs.finetuning.finetune` takes it as `training`.

    Args:
      given: a `flop_tf.files.diff_file.Diff` whose positions are trained; None learns them by the
        options' method.
      path: of its file, for errors.
    """

    def __init__(self, given=None, path=""):
        self.given = given
        self.path = path

    def __call__(self, inputs, model):
        """Compiles the model and returns where its difference is stored.

        Args:
          inputs: `RunInputs`, whose options are `DiffOptions`.
          model: the BERT that was built of them.

        Returns:
          The `DiffStore`.

        Raises:
          ValueError: if the given difference or an option does not fit the model.
        """
        options = inputs.options
        # One that is tied would change with the word embedding; an embedding has no weights.
        if not inputs.task.head_class.output_weights:
            raise ValueError(
                "Argument `task_name` must be of a head with weights of its own, received "
                f"{options.task_name!r}."
            )
        base = base_model.base_weights(inputs.source)
        variables = surgery.named_variables(model)
        names = [path for path in variables if path in base]
        dense = {path: v for path, v in variables.items() if path not in base}
        trained = self._trained_names(options, model, names)
        if self.given is not None:
            self._check_given(inputs, base)
        diff = self._make_diff(options, model, dense, trained)
        if diff is None:
            finetuning.task_training(inputs, model)
        else:
            _compile(options, model, diff, inputs)
        return DiffStore(inputs, model, diff, trained, self.given)

    def _trained_names(self, options, model, names):
        """Returns the paths of the base's weights that may differ."""
        config = model.config
        if self.given is not None:
            return [path for path in names if len(self.given.positions.get(path, ()))]
        if options.method == "last_layer":
            last = config.num_hidden_layers
            return [path for path in names if base_model.layer_of(path, config) == last]
        frozen = base_model.frozen_paths(names, config, options.frozen_layers, options.frozen)
        trainable = {id(v) for v in model.trainable_variables}
        variables = surgery.named_variables(model)
        return [n for n in names if n not in frozen and id(variables[n]) in trainable]

    def _check_given(self, inputs, base):
        given, task = self.given, inputs.task
        config = base_model.check_head(given, self.path, inputs.source.config)
        diff_file.check_base(given, base, self.path)
        task.check_head(config, f"the difference {self.path!r}")
        if (learned := given.info["task"]["name"]) != task.name:
            raise ValueError(
                f"The difference {self.path!r} is of the task {learned!r}, received the task "
                f"{task.name!r}; learn one for it in another folder."
            )

    def _make_diff(self, options, model, dense, trained):
        """Returns the difference to train, or None where the weights are trained themselves."""
        variables = surgery.named_variables(model)
        base, heads = [variables[path] for path in trained], list(dense.values())
        if self.given is not None:
            return self._fixed(options, base, dense, trained)
        if options.method == "last_layer":
            return FixedDiff(base, [np.arange(v.shape.num_elements()) for v in base], None, heads)
        if options.method == "non_adaptive":
            return None
        return LearnedDiff(
            base,
            heads,
            _penalties(options, model.config, trained),
            options.structured,
            options.penalty,
            options.initial_alpha,
            options.concrete_lower,
            options.concrete_upper,
        )

    def _fixed(self, options, base, dense, trained):
        given, heads = self.given, list(dense.values())
        positions = [given.positions[path] for path in trained]
        if options.finetune_start == "zero":
            return FixedDiff(base, positions, None, heads)
        for path, variable in dense.items():
            variable.assign(given.dense[path])
        start = given.values if given.weights is None else given.weights
        return FixedDiff(base, positions, [start[path] for path in trained], heads)


def adam(rate, variables):
    """Returns the optimizer of a difference's weights or of its gates.

    Args:
      rate: a float or a schedule.
      variables: list of the variables that it updates.
    """
    optimizer = BertAdam(rate, epsilon=_EPSILON, bias_correction=True, global_clipnorm=1.0)
    optimizer.build(list(variables))
    return optimizer


def _compile(options, model, diff, inputs):
    rate = optimization.decaying_from_the_start(options, inputs.data.total_steps)
    of_gates = adam(options.alpha_learning_rate, diff.gates) if diff.gates else None
    settings = optimization.batch_settings(options)
    model.compile(
        adam(rate, diff.trained),
        loss=inputs.task.loss(),
        objective=DiffObjective(diff, of_gates, **settings),
    )


def _penalties(options, config, trained):
    """Returns lambda, or one for each trained tensor."""
    given = options.penalties
    if given is None:
        return options.sparsity_penalty
    if len(given) != config.num_hidden_layers + 2:
        raise ValueError(
            f"Argument `layer_penalties` must have {config.num_hidden_layers + 2} numbers, of "
            f"embeddings, {config.num_hidden_layers} layers and the rest, received "
            f"{len(given)}."
        )
    return [given[base_model.layer_of(path, config)] for path in trained]
