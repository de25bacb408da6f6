"""The one place that names Keras.

`tf.keras` is Keras 2 or Keras 3 depending on what was imported first, so
nothing here or above ever writes it; everything takes `keras` from this file.
"""

import tf_keras as keras
from tf_keras.src.engine.functional import Functional, connect_ancillary_layers

__all__ = ["Functional", "connect_ancillary_layers", "keras"]
