"""What a format of exported models is, and the registry of all of them."""

import abc
import os

from flop_tf.registry import Registry

#: `Format` instances by name. A file of this folder registers its own ones, an instance a name.
FORMATS = Registry("format", "bert_tf.serving.formats")


class Format(abc.ABC):
    """A kind of file or folder that a model is written to, for an engine to answer by.

    ```python
    FORMATS.register("mine_float32")(Mine("float32"))
    ```

    A subclass sets the attributes below that differ from the defaults, `file` and `limits` always.

    Attributes:
      file: name of the file by which an export in this format is recognized.
      limits: a `bert_tf.serving.formats.limits.Limits` of how far answers may be from the source.
      signatures: names of the functions of a `ServedModel` that it holds; default ids alone.
      has_texts: whether answers hold texts next to numbers; default False.
      is_program: whether loading it runs code that its author chose; default False.
      packages: names of the modules that write it, of the extra `export`; default none.
      weight_bytes: bytes of a number of a kernel or of the word embedding; default 4, float32.
      channel_bytes: bytes in addition of each output channel of these, such as of a scale; default
        none.
      choices: names of the fields of `bert_tf.encoders.execution.Execution`, besides fused blocks,
        that make a difference in it; default none.
    """

    file: str
    limits: object
    signatures = ("serving_default",)
    has_texts = False
    is_program = False
    packages = ()
    weight_bytes = 4
    channel_bytes = 0
    choices = ()

    @abc.abstractmethod
    def write(self, served, folder):
        """Writes a model into a folder, which may hold other formats.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
          folder: path of the folder.

        Raises:
          ValueError: if the format cannot hold the model.
          OSError: if a file cannot be written.
        """

    def layers(self, served):
        """Returns the names of the layers that `keeping` leaves in float; by default none.

        Args:
          served: of `write`; fails as `write` does.
        """
        return []

    def keeping(self, float_layers):
        """Returns this `Format` with some layers in float; by default itself, as none has a name.

        Args:
          float_layers: names in `layers`.
        """
        return self

    def path(self, folder):
        """Returns the path that engines load, by default of `file`.

        Args:
          folder: of `write`.
        """
        return os.path.join(folder, self.file)

    def files(self, folder):
        """Returns the paths of graph and weights, by default of `file` alone.

        Args:
          folder: of `write`.
        """
        return [os.path.join(folder, self.file)]

    def is_at(self, path):
        """Returns whether a path names an export in this format; by default its `file`.

        Args:
          path: path of a file or folder, which need not exist.
        """
        return os.path.basename(path) == self.file

    def warm_up(self, folder, requests, model_name):  # noqa: B027  Most formats have none.
        """Adds requests that a server answers before the first client; by default nothing.

        Args:
          folder: of `write`.
          requests: list of `(name of a signature, {name: array})`.
          model_name: name under which the model is served.
        """
