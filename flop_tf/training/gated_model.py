"""A Keras model with gates, which is trained by an objective."""

import tensorflow as tf

from flop_tf import gates
from flop_tf.backend import Functional, keras
from flop_tf.budget.budget import Budget
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.training.lagrangian_objective import LagrangianObjective
from flop_tf.training.task_objective import TaskObjective

_OF_TASK = (
    "gate_optimizer",
    "train_weights",
    "regularization_scale",
    "gradient_accumulation_steps",
    "seed",
)
_OF_LAGRANGIAN = ("lagrangian", "multiplier_optimizer", "sparsity")


@keras.saving.register_keras_serializable("flop_tf")
class GatedModel(keras.Model):
    """A Keras model whose gates and multipliers have optimizers of their own.

    Built as any `keras.Model`, from inputs and outputs or by subclassing. The
    loss is `task + L2 + Lagrangian`, or of an `Objective`; without gates it is ordinary training.

    >>> inputs = keras.Input([8])
    >>> model = GatedModel(inputs, FactorizedDense(4, 3, gate="hard_concrete")(inputs))
    >>> len(model.gates), model.budget().original_parameters
    (1, 32)

    Attributes:
      objective: the `flop_tf.training.objective.Objective` of `compile`.
    """

    def __new__(cls, *args, **kwargs):
        """Returns a `FunctionalGatedModel` for inputs and outputs."""
        if cls is GatedModel and (len(args) == 2 or "outputs" in kwargs):
            cls = FunctionalGatedModel
        return super().__new__(cls, *args, **kwargs)

    def compile(self, optimizer="rmsprop", *args, objective=None, **kwargs):
        """Configures training.

        Args:
          optimizer: of the weights.
          *args: of `keras.Model.compile`.
          objective: an `Objective`, whose `step` makes the updates; None makes a
            `LagrangianObjective` of the next arguments, or without a Lagrangian a `TaskObjective`.
          **kwargs: of `keras.Model.compile`, and of these objectives:
            `gate_optimizer`: of the gates; None leaves them as they are.
            `multiplier_optimizer`: of the Lagrangian's multipliers, which ascend.
            `lagrangian`: a `Lagrangian`, or None for no penalty.
            `sparsity`: a `Budget` of this model; needed with a Lagrangian.
            `train_weights`: False trains the gates alone. Defaults to True.
            `regularization_scale`: factor of `sum(w^2) / 2` over kernels and factors. Default: 0.
            `gradient_accumulation_steps`: parts of a batch that follow each other and
            make one update together; the batch must be divisible by it. Defaults to 1.
            `seed`: int, of every random draw in training. Defaults to 0.

        Raises:
          ValueError: if a Lagrangian lacks an optimizer or a `Budget`, or that does not
            count every gate; or if there are an objective and arguments for another one.
        """
        given = {name: kwargs.pop(name) for name in _OF_TASK + _OF_LAGRANGIAN if name in kwargs}
        super().compile(optimizer, *args, **kwargs)
        if objective is None:
            objective = _make_objective(self.gates, given)
        elif given:
            raise ValueError(
                "Argument `objective` brings its own settings, received it together with "
                f"{', '.join(given)}; pass them to the objective."
            )
        self._set_objective(objective)
        # What `train_step` logs is the same on every replica.
        self.distribute_reduction_method = "first"

    # Untracked: multipliers and slots belong to the training, not to the model's weights.
    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _set_objective(self, objective):
        self.objective = objective

    def get_compile_config(self):
        """Returns nothing: optimizers and multipliers are compiled anew after loading."""
        return {}

    @property
    def gates(self):
        """Every gate of the model."""
        return [layer for layer in self._flatten_layers() if isinstance(layer, gates.Gate)]

    def budget(self):
        """Returns the `Budget` of the factorized and gated dense layers, at any depth.

        Raises:
          ValueError: if there are none.
        """
        kinds = FactorizedDense | GatedDense
        return Budget(layer for layer in self._flatten_layers() if isinstance(layer, kinds))

    def gate_variables(self):
        """Returns the variables that the gate optimizer trains; none once the gates are fixed."""
        return [variable for gate in self.gates for variable in gate.trainable_variables]

    def weight_variables(self):
        """Returns the trainable variables that belong to no gate."""
        others = {id(v) for gate in self.gates for v in gate.variables}
        return [v for v in self.trainable_variables if id(v) not in others]

    def kernels(self):
        """Returns the kernels and factors of all layers, a list of variables."""
        return [
            getattr(layer, name)
            for layer in self._flatten_layers()
            for name in ("kernel", "factor_in", "factor_out")
            if isinstance(getattr(layer, name, None), tf.Variable)
        ]

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def fix_gates(self):
        """Ends the gates' training: from the next step on they are their inference values."""
        for gate in self.gates:
            gate.trainable = False
        # `fit` starts by putting back what was trainable at `compile`.
        self._compiled_trainable_state = self._get_trainable_state()
        if self.train_function is not None:
            self.make_train_function(force=True)

    def train_step(self, data):
        """Makes one update by the objective; returns the scalars to log, a dict.

        Args:
          data: a batch: `x`, `(x, y)` or `(x, y, sample_weight)`.
        """
        return self.objective.step(self, *keras.utils.unpack_x_y_sample_weight(data))


@keras.saving.register_keras_serializable("flop_tf")
class FunctionalGatedModel(GatedModel, Functional):
    """A `GatedModel` made of inputs and outputs.

    A class of its own, because Keras would otherwise turn `GatedModel` itself
    into a functional class, and no subclass of it could be built any more.

    >>> inputs = keras.Input([8])
    >>> type(GatedModel(inputs, keras.layers.Dense(4)(inputs))).__name__
    'FunctionalGatedModel'
    """


def _make_objective(gates_of_model, given):
    """Returns the objective of the arguments of `compile`."""
    task = {name: given[name] for name in _OF_TASK if name in given}
    if given.get("lagrangian") is None:
        return TaskObjective(**task)
    objective = LagrangianObjective(*(given.get(name) for name in _OF_LAGRANGIAN), **task)
    objective.check_gates(gates_of_model)
    return objective
