"""Training steps to measure: tf-models' encoder, and ours dense, factorized and gated."""

import concurrent.futures
import multiprocessing

import tensorflow as tf
from official.nlp import optimization as tf_models_optimization
from official.nlp.modeling import networks

from bert_tf import compression, losses, optimization
from bert_tf.classifier import BertClassifier
from bert_tf.encoder import INPUT_NAMES, activation, initializer
from bert_tf.options import FinetuneOptions
from flop_tf import ProjectionSpec
from flop_tf.backend import keras

_RATE = 5e-5
_DECAY = 0.01
_STEPS = 2000  # Of a run that the measured step could belong to.


def build(variant, config, jit_compile=False):
    """Returns a function `(features, labels) -> logs` that makes one update.

    All variants have the sizes, activation and dropout of the config, clip the
    gradients to norm 1 and decay weights; shapes of batches are left open, as
    batches by length leave them.

    Args:
      variant: a name of `VARIANTS`.
      config: a dense `BertConfig`.
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


def peak_memory(variant, config, batch, precision="none", jit_compile=False, threads=0):
    """Returns the memory of a training step, measured in a process of its own; needs Linux.

    Args:
      variant: see `build`.
      config: see `build`.
      batch: `(features, labels)`, arrays.
      precision: see `configure`.
      jit_compile: see `build`.
      threads: see `configure`.

    Returns:
      `{"base_bytes", "peak_bytes"}`: with all libraries imported, and the most
      there was up to the end of the third step. On a GPU the device's memory.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        arguments = (variant, config, batch, precision, jit_compile, threads)
        return pool.submit(_measure_memory, *arguments).result()


def configure(precision, threads=0):
    """Sets up this process before any model is made.

    Args:
      precision: "none" for float32, or "bfloat16" mixed with it.
      threads: of an operation; 0 leaves it to TensorFlow.
    """
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    keras.mixed_precision.set_global_policy("float32" if precision == "none" else "mixed_bfloat16")


def full_rank(config, gated):
    """Returns the config with every projection factorized at min(I, O), with gates or without."""
    specs = {
        (index, name): ProjectionSpec(min(shape)) for index, name, _, shape in config.projections()
    }
    factorized = config.with_projections(specs)
    return compression.with_gates(factorized, "hard_concrete") if gated else factorized


def _tf_models(config):
    """A bare tf-models encoder with a dense head and tf-models' optimizer."""
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
    optimizer._create_all_weights(weights)

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


def _ours(config):
    """Our model, compiled as for a run of its defaults."""
    model = BertClassifier(config)
    sparsity = model.kernel_sparsity()
    nowhere = dict.fromkeys(("task_name", "data_dir", "init_checkpoint", "output_dir"), "-")
    options = FinetuneOptions(
        **nowhere, learning_rate=_RATE, target_sparsity=0.6 if sparsity.gates else None
    )
    training = (
        optimization.gate_training(options, model, sparsity, _STEPS // 2) if sparsity.gates else {}
    )
    optimization.compile_model(options, model, losses.task_loss(False), _STEPS, **training)

    def step(features, labels):
        return model.train_step((features, labels))

    return step


#: Functions `config -> step`, by the names that flags use.
VARIANTS = {
    "tf_models": _tf_models,
    "dense": _ours,
    "factorized": _factorized,
    "gated": _gated,
}


def _measure_memory(variant, config, batch, precision, jit_compile, threads):
    configure(precision, threads)
    base = _memory("VmRSS")
    step = build(variant, config, jit_compile)
    batch = tf.nest.map_structure(tf.constant, batch)
    for _ in range(3):
        float(step(*batch)["loss"])
    if tf.config.list_physical_devices("GPU"):
        return {
            "base_bytes": 0,
            "peak_bytes": tf.config.experimental.get_memory_info("GPU:0")["peak"],
        }
    return {"base_bytes": base, "peak_bytes": _memory("VmHWM")}


def _memory(key):
    # Not `getrusage`: its maximum is taken over from the parent, which holds all models at once.
    with open("/proc/self/status", encoding="ascii") as file:
        values = dict(line.split(":", 1) for line in file)
    return int(values[key].split()[0]) * 1024
