"""A BERT as a server calls it: functions of ids and of raw texts with answers by name.

B batch, T tokens.
"""

import functools

import tensorflow as tf

from bert_tf.encoders import attention, layer_norm
from bert_tf.encoders.encoder import INPUT_NAMES

#: Requests of at most so many tokens are computed by operations that start fast: what oneDNN shares
#: among threads takes longer to be shared than to be computed.
FEW_TOKENS = 256

# Further below 0 than any embedding has rows; no id becomes one of a row by it.
_BELOW_ALL_ROWS = 2**30


class ServedModel(tf.Module):
    """The functions that are exported; as a SavedModel they need TensorFlow and tensorflow-text.

    | function | inputs | outputs |
    |---|---|---|
    | `numbers` | ids, int32 `[B, T]` by `INPUT_NAMES` | float32 tensors of `Service.outputs` |
    | `portable_numbers` | the same | the same, in operations of all formats |
    | `serving_default` | the same | the same and `Service.answers` |
    | `text` | strings `[B]` by `Service.text_names` | the same and `Service.text_answers` |

    Texts are cut to the service's `max_seq_length` as in training. Ids after the last position of
    the model are dropped. The exported functions agree on ids that a model does not know: a mask is
    0 or not, segments without an embedding add nothing, and word ids outside of the vocabulary or
    inputs of different shapes are refused.

    Args:
      model: Keras model of the inputs `INPUT_NAMES` that returns the task's logits.
      service: a `bert_tf.serving.services.Service`.
      num_positions: the most tokens that the model takes.
    """

    def __init__(self, model, service, num_positions):
        super().__init__()
        self.service = service
        # The weights and not the model: Keras would store traces of every layer next to them.
        self.weights = list(model.variables)
        ids = [tf.TensorSpec([None, None], tf.int32, name) for name in INPUT_NAMES]

        def outputs(rows):
            features = {
                name: row[:, :num_positions] for name, row in zip(INPUT_NAMES, rows, strict=True)
            }
            return service.outputs(model(features, training=False))

        def outputs_of_few(rows):
            with layer_norm.in_plain_operations(), attention.by_einsums():
                return outputs(rows)

        @tf.function(input_signature=ids)
        def numbers(input_word_ids, input_mask, input_type_ids):
            rows = (input_word_ids, input_mask, input_type_ids)
            is_small = tf.size(input_word_ids) <= FEW_TOKENS
            forms = (functools.partial(form, rows) for form in (outputs_of_few, outputs))
            return tf.cond(is_small, *forms)

        @tf.function(input_signature=ids)
        def portable_numbers(input_word_ids, input_mask, input_type_ids):
            rows = _portable_ids(input_word_ids, input_mask, input_type_ids)
            with layer_norm.in_plain_operations():
                return outputs(rows)

        @tf.function(input_signature=ids)
        def serving_default(input_word_ids, input_mask, input_type_ids):
            rows = checked_ids(input_word_ids, input_mask, input_type_ids)
            return service.answers(numbers(*rows))

        @tf.function
        def text(**texts):
            texts = {name: tf.ensure_shape(value, [None]) for name, value in texts.items()}
            features = service.features(texts)
            answers = serving_default(*(features[name] for name in INPUT_NAMES))
            return service.text_answers(answers, texts, features[INPUT_NAMES[0]])

        self.numbers, self.portable_numbers = numbers, portable_numbers
        self.serving_default, self.text = serving_default, text

    def signatures(self):
        """Returns the concrete functions `serving_default` and `text` by name.

        The latter only where the tokenizer is made of operations of TensorFlow.
        """
        found = {"serving_default": self.serving_default.get_concrete_function()}
        if self.service.tokenizer.in_graph:
            names = self.service.text_names
            texts = {name: tf.TensorSpec([None], tf.string, name) for name in names}
            found["text"] = self.text.get_concrete_function(**texts)
        return found


def checked_ids(input_word_ids, input_mask, input_type_ids):
    """Returns the inputs of a request with the mask as 0 and 1, int32 `[B, T]` each.

    The operation fails where shapes differ or T is 0.

    Args:
      input_word_ids: int32 `[B, T]`.
      input_mask: int32 `[B, T]`; any number but 0 is a token.
      input_type_ids: int32 `[B, T]`.
    """
    rows = [
        tf.ensure_shape(row, [None, None]) for row in (input_word_ids, input_mask, input_type_ids)
    ]
    shapes = [tf.shape(row) for row in rows]
    checks = [
        tf.debugging.assert_equal(shape, shapes[0], "The inputs must have one shape.")
        for shape in shapes[1:]
    ]
    checks.append(tf.debugging.assert_positive(shapes[0][1], "The inputs must have a token."))
    with tf.control_dependencies(checks):
        ids, mask, types = (tf.identity(row) for row in rows)
    return ids, tf.cast(mask != 0, tf.int32), types


def _portable_ids(input_word_ids, input_mask, input_type_ids):
    """Returns the same as `checked_ids` without assertions, by operations that fail themselves."""
    rows = tf.stack([input_word_ids, input_mask, input_type_ids])
    ids, mask, types = rows[0], rows[1], rows[2]  # LiteRT cannot `unstack` a batch of none.
    # Of no tokens there is no first one to look up; else this changes nothing.
    ids = tf.maximum(ids, tf.minimum(tf.gather(ids, [0], axis=1), ids))
    # ONNX counts negative ids from the end of the embedding; these are before its first row. By a
    # product, as ONNX has no `where` of integers.
    ids += _BELOW_ALL_ROWS * tf.clip_by_value(ids, -1, 0)
    return ids, tf.cast(mask != 0, tf.int32), types
