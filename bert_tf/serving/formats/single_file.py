"""What formats of one file have in common."""

import abc
import importlib
import os


class SingleFile(abc.ABC):
    """The function of ids with its float outputs; batch and length stay variable.

    Attributes of subclasses, beside those in `bert_tf.serving.formats`:
      family: what errors call the format.
    """

    signatures = ("serving_default",)
    has_texts = False

    @abc.abstractmethod
    def convert(self, served):
        """Returns the bytes of the file; fails as the converter does.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
        """

    @abc.abstractmethod
    def missing(self, error):
        """Returns the operations that the format lacks by an error of `convert`, maybe none."""

    def write(self, served, folder):
        """Writes the file into a folder.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
          folder: where to write.

        Raises:
          ValueError: if the format cannot hold the model.
          OSError: if the file cannot be written.
        """
        try:
            data = self.convert(served)
        except Exception as error:  # Those of converters have no other class in common.
            raise self._cannot_hold(error) from error
        with open(os.path.join(folder, self.file), "wb") as file:
            file.write(data)

    @abc.abstractmethod
    def load(self, folder):
        """Returns a function `{name: array} -> {name: array}`, with TensorFlow's threads.

        Raises:
          ValueError: if the file cannot be run; so does the function.
        """

    def run(self, folder, requests):
        """Answers requests.

        Args:
          folder: of `write`.
          requests: list of `(signature, {name: array})`; there is one signature.

        Returns:
          List of `{name: array}`.

        Raises:
          ValueError: if the file cannot be run.
        """
        answer = self.load(folder)
        return [answer(inputs) for _, inputs in requests]

    def files(self, folder):
        """Returns the paths of what `write` made."""
        return [os.path.join(folder, self.file)]

    def _cannot_hold(self, error):
        if missing := self.missing(error):
            return ValueError(
                f"{self.family} cannot hold the operation {', '.join(missing)} of the model."
            )
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        return ValueError(f"{self.family} cannot hold the model: {reason}.")

    def cannot_run(self, error):
        """Returns the ValueError for a file that cannot be run."""
        reason = str(error).partition("\n")[0]
        return ValueError(f"{self.family} cannot run the file {self.file!r}: {reason}.")

    def imported(self, module):
        """Returns the module that runs files; raises ValueError where its package is not there."""
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise missing_package(self.family, module.partition(".")[0]) from error


def missing_package(name, package):
    """Returns the ValueError for a format called `name` whose package is not installed."""
    return ValueError(
        f"The format {name!r} needs the package {package!r}, which is not installed; run "
        "pip install 'flop-tf[export]'."
    )
