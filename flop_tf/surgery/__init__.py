"""New models from old ones: a changed architecture, and the weights carried over by path."""

from flop_tf.surgery.keras_models import compact, factorize
from flop_tf.surgery.projections import compact_projection, factorize_kernel
from flop_tf.surgery.pruning import prune
from flop_tf.surgery.weights import assign_weights, named_variables, named_weights
