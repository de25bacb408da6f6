"""Training steps to measure: tf-models' encoder, and ours.

Ours are dense, factorized, with gates over ranks, with gates over sublayers, heads and neurons,
alone or with the distance to a teacher's hidden states, and as a difference.
"""

import tensorflow as tf
from official.nlp import optimization as tf_models_optimization
from official.nlp.modeling import networks

from bert_tf.encoders.config import PARENTS
from bert_tf.encoders.encoder import INPUT_NAMES, activation, initializer
from bert_tf.heads import losses
from bert_tf.methods.diffs import diff_training
from bert_tf.methods.diffs.diff_options import DiffOptions
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import in_encoder
from bert_tf.runs import optimization
from bert_tf.runs.distillation import LayerDistillation
from bert_tf.runs.options import FinetuneOptions
from bert_tf.studies.speed import benchmark_process
from bert_tf.surgery import compression, units
from flop_tf import ProjectionSpec, surgery
from flop_tf.backend import keras
from flop_tf.diffs.diff_objective import DiffObjective
from flop_tf.diffs.diff_pruning import LearnedDiff
from flop_tf.training.lagrangian_objective import LagrangianObjective

_RATE = 5e-5
_DECAY = 0.01
_STEPS = 2000  # Of a run that the measured step could belong to.
_UNITS = (*PARENTS, *PARENTS.values())


def build(variant, config, jit_compile=False):
    """Returns a function `(features, labels) -> logs` that makes one update.

    All variants have the sizes, activation and dropout of the config, clip the
    gradients to norm 1 and decay weights; shapes of batches are left open, as
    batches by length leave them.

    Args:
      variant: a name of `VARIANTS`.
      config: a dense `EncoderConfig`.
      jit_compile: whether XLA compiles the step.

    Raises:
      ValueError: if the variant is unknown.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"Argument `variant` must be one of {sorted(VARIANTS)}, received {variant!r}."
        )
    ids = tf.TensorSpec([None, None], tf.int32)
    signature = [dict.fromkeys(INPUT_NAMES, ids), tf.TensorSpec([None], tf.int32)]
    step = VARIANTS[variant](config)
    return tf.function(step, input_signature=signature, autograph=False, jit_compile=jit_compile)


def tf_models_encoder(config):
    """Returns tf-models' `BertEncoderV2` of the sizes, activation and dropout of a config.

    Args:
      config: a dense `EncoderConfig`.
    """
    encoder = networks.BertEncoderV2(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        max_sequence_length=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        inner_dim=config.intermediate_size,
        inner_activation=activation(config.hidden_act),
        output_dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        initializer=initializer(config),
    )
    encoder(encoder.inputs)
    return encoder


def peak_memory(variant, config, batch, precision="none", jit_compile=False, threads=0):
    """Returns the memory of a training step in a process of its own, see `benchmark_process`.

    Args:
      variant: see `build`.
      config: see `build`.
      batch: `(features, labels)`, arrays.
      precision: see `benchmark_process.configure`.
      jit_compile: see `build`.
      threads: see `benchmark_process.configure`.
    """
    return benchmark_process.peak_memory(
        _prepare, variant, config, batch, jit_compile, precision=precision, threads=threads
    )


def full_rank(config, gated):
    """Returns the config with every projection factorized at min(I, O), with gates or without.

    Args:
      config: a dense `EncoderConfig`.
      gated: whether there are gates.
    """
    specs = {
        (index, name): ProjectionSpec(min(shape)) for index, name, _, shape in config.projections()
    }
    factorized = config.with_projections(specs)
    return compression.with_gates(factorized, "hard_concrete") if gated else factorized


def _tf_models(config):
    """A bare tf-models encoder with a dense head and tf-models' optimizer."""
    encoder = tf_models_encoder(config)
    dropout = keras.layers.Dropout(config.hidden_dropout_prob)
    head = keras.layers.Dense(config.num_labels, dtype="float32")
    head.build([None, config.hidden_size])
    weights = encoder.trainable_variables + head.trainable_variables
    optimizer = tf_models_optimization.AdamWeightDecay(
        _RATE,
        epsilon=1e-6,
        weight_decay_rate=_DECAY,
        exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"],
    )

    def step(features, labels):
        with tf.GradientTape() as tape:
            pooled = encoder(features, training=True)["pooled_output"]
            logits = head(dropout(pooled, training=True))
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, weights)
        # This optimizer clips to norm 1 by itself.
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return {"loss": loss}

    return step


def _factorized(config):
    return _ours(full_rank(config, gated=False))


def _gated(config):
    return _ours(full_rank(config, gated=True))


def _units(config, settings=None):
    return _ours(units.with_gates(config, _UNITS, "hard_concrete"), settings)


def _taught_units(config):
    """The same, which learns a dense teacher's hidden states; its logits are at hand as in runs."""
    step = _units(config, {"loss": LayerDistillation(0.3, 2.0, 0.6, BertModel(config))})

    def with_logits(features, labels):
        logits = tf.zeros([tf.shape(labels)[0], config.num_labels])
        return step({**features, losses.TEACHER_LOGITS: logits}, labels)

    return with_logits


def _ours(config, settings=None):
    """Our model, compiled as for a run of its defaults but some settings of its objective."""
    model = BertModel(config)
    sparsity = model.budget()
    nowhere = dict.fromkeys(("task_name", "data_dir", "init_checkpoint", "output_dir"), "-")
    options = FinetuneOptions(
        **nowhere, learning_rate=_RATE, target_sparsity=0.6 if sparsity.gates else None
    )
    objective = None
    if sparsity.gates:
        training = optimization.gate_training(options, model, sparsity, _STEPS // 2)
        settings = {**optimization.task_settings(options), **(settings or {})}
        objective = LagrangianObjective(**training, **settings)
    optimization.compile_model(options, model, losses.task_loss(False), _STEPS, objective)
    return _step(model)


def _diff(config):
    """Our model, frozen, and the difference that `flop-diff-prune` learns by its defaults."""
    model = BertModel(config)
    variables = surgery.named_variables(model)
    diff = LearnedDiff(
        [variable for path, variable in variables.items() if in_encoder(path)],
        [variable for path, variable in variables.items() if not in_encoder(path)],
    )
    model.compile(
        diff_training.adam(_RATE, diff.trained),
        loss=losses.task_loss(False),
        objective=DiffObjective(
            diff, diff_training.adam(DiffOptions.alpha_learning_rate, diff.gates)
        ),
    )
    return _step(model)


def _step(model):
    def step(features, labels):
        return model.train_step((features, labels))

    return step


#: Functions `config -> step`, by the names that flags use.
VARIANTS = {
    "tf_models": _tf_models,
    "dense": _ours,
    "factorized": _factorized,
    "gated": _gated,
    "units": _units,
    "taught_units": _taught_units,
    "diff": _diff,
}


def _prepare(variant, config, batch, jit_compile):
    step = build(variant, config, jit_compile)
    batch = tf.nest.map_structure(tf.constant, batch)
    return lambda: float(step(*batch)["loss"])
