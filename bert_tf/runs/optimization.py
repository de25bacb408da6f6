"""The three optimizers of a run: their rates over its steps, and the Lagrangian between them."""

from official.modeling.optimization import lr_schedule

from bert_tf.checkpoints import read_source
from bert_tf.runs.distillation import Distillation, LayerDistillation
from flop_tf import BertAdam, BertAdamax, Lagrangian
from flop_tf.backend import keras
from flop_tf.training import schedules
from flop_tf.training.task_objective import TaskObjective


def weight_optimizer(options, total_steps):
    """Returns the optimizer of the weights: linear warmup, linear decay to 0, clipped to norm 1.

    Args:
      options: `FinetuneOptions`.
      total_steps: of the run.
    """
    kind, schedule = OPTIMIZERS[options.optimizer]
    rate = schedule(options, total_steps)
    return kind(rate, weight_decay=options.weight_decay, global_clipnorm=1.0)


def decaying_from_the_start(options, total_steps):
    """Returns the schedule of tf-models, whose rate decays from the first step on.

    After a warmup over w of the run it is at its highest, `learning_rate (1 - w)`.

    Args:
      options: `FinetuneOptions`.
      total_steps: of the run.
    """
    rate = keras.optimizers.schedules.PolynomialDecay(options.learning_rate, total_steps, 0.0)
    warmup_steps = round(options.warmup_proportion * total_steps)
    if not warmup_steps:
        return rate
    return lr_schedule.LinearWarmup(rate, warmup_steps, 0.0)


def decaying_adam(rate, total_steps, variables, **settings):
    """Returns a built `BertAdam` with clipped gradients whose rate decays to 0.

    Args:
      rate: float, at first.
      total_steps: updates until it is 0.
      variables: list of what it updates.
      **settings: of `BertAdam`.
    """
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, total_steps, 0.0)
    optimizer = BertAdam(schedule, global_clipnorm=1.0, **settings)
    optimizer.build(variables)
    return optimizer


def decaying_from_the_top(options, total_steps):
    """Returns the schedule of MT-DNN, which rises to `learning_rate` and decays from there.

    Args:
      options: `FinetuneOptions`.
      total_steps: of the run.
    """
    warmup_steps = options.warmup_proportion * total_steps
    return schedules.LinearWarmupDecay(options.learning_rate, total_steps, warmup_steps)


#: Optimizers of the weights by name, each with the schedule of the code that it comes from.
OPTIMIZERS = {
    "adamw": (BertAdam, decaying_from_the_start),
    "adamax": (BertAdamax, decaying_from_the_top),
}


def batch_settings(options):
    """Returns how an objective goes through a batch, a dict of its arguments.

    Args:
      options: `FinetuneOptions`.
    """
    settings = {
        "gradient_accumulation_steps": options.gradient_accumulation_steps,
        "seed": options.seed,
    }
    shares = options.distill_alpha, options.distill_temperature
    if options.distill_layers:
        teacher = read_source(options.teacher).model()
        layers = options.distill_layers, teacher, options.distill_match
        settings["loss"] = LayerDistillation(*shares, *layers)
    elif options.teacher:
        settings["loss"] = Distillation(*shares)
    return settings


def task_settings(options):
    """Returns the arguments of a `TaskObjective`, a dict.

    Args:
      options: `FinetuneOptions`.
    """
    return {
        "train_weights": options.learning_rate > 0,
        "regularization_scale": options.regularization_scale,
        **batch_settings(options),
    }


def compile_model(options, model, loss, total_steps, objective=None):
    """Compiles a model for a run, its optimizers built, so that a checkpoint can be restored.

    Args:
      options: `FinetuneOptions`.
      model: a `BertModel`.
      loss: of the task, a Keras loss.
      total_steps: of the run.
      objective: an `Objective`; None makes a `TaskObjective` of the options.
    """
    optimizer = weight_optimizer(options, total_steps)
    model.compile(
        _scaling(options, optimizer),
        loss=loss,
        objective=objective or TaskObjective(**task_settings(options)),
        jit_compile=options.jit_compile,
    )
    weights = model.weight_variables()
    optimizer.exclude_from_weight_decay([v for v in weights if v.shape.rank < 2])
    if options.tasks:
        # What a task masks, and the outputs of the others, must not drift in its batches.
        embeddings = {id(v) for v in model.encoder.embeddings.trainable_variables}
        optimizer.skip_zero_gradients([v for v in weights if id(v) not in embeddings])
    optimizer.build(weights)


def gate_training(options, model, sparsity, fix_step):
    """Returns the arguments that a `LagrangianObjective` needs to train gates, a dict.

    Args:
      options: `FinetuneOptions` with a target sparsity.
      model: a gated BERT.
      sparsity: its `Budget`.
      fix_step: step at which the gates are fixed at the latest.
    """
    ramp = options.target_sparsity_warmup
    lagrangian = Lagrangian(
        options.target_sparsity,
        start_sparsity=float(sparsity.expected_sparsity()),
        warmup_steps=round(schedules.RAMP * fix_step) if ramp is None else ramp,
    )

    def optimizer(rate, travel, variables):
        schedule = _gate_schedule(options, rate, travel, fix_step, model.config.hidden_size)
        built = BertAdam(schedule, epsilon=1e-8)
        built.build(variables)
        return built

    return {
        # It too leaves out a step whose gradients overflow.
        "gate_optimizer": _scaling(
            options,
            optimizer(options.alpha_learning_rate, schedules.ALPHA_TRAVEL, model.gate_variables()),
        ),
        "multiplier_optimizer": optimizer(
            options.lambda_learning_rate, schedules.LAMBDA_TRAVEL, lagrangian.multipliers
        ),
        "lagrangian": lagrangian,
        "sparsity": sparsity,
    }


def _scaling(options, optimizer):
    """Returns the optimizer; for float16 one that scales the loss, or small gradients vanish."""
    if options.mixed_precision != "float16":
        return optimizer
    return keras.mixed_precision.LossScaleOptimizer(optimizer)


def _gate_schedule(options, rate, travel, steps, hidden_size):
    """Returns the schedule of gates or multipliers; without a rate, one that travels so far."""
    if options.gate_schedule == "noam":
        if rate is None:
            # The rates of n steps add up to about `2 rate sqrt(n / hidden_size)`.
            rate = travel * (hidden_size / steps) ** 0.5 / 2
        return schedules.Noam(rate, hidden_size, max(1, options.learning_rate_warmup))
    rate = travel / steps if rate is None else rate
    return schedules.ConstantWithWarmup(rate, options.learning_rate_warmup)
