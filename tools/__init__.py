"""Command-line programs; installed as the package `flop_tools`.

Every program imports this package first, before anything imports TensorFlow.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Read once, when TensorFlow is imported.
# `tf.keras` is tf_keras, as everywhere in this project; loading Keras 3 next to it takes 3 seconds.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
