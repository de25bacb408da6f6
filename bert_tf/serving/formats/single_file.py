"""The base class of formats that are one file."""

import abc
import contextlib
import os
import sys

from bert_tf.serving.formats.format import Format


class SingleFile(Format):
    """The function of ids with its float outputs; batch and length stay variable.

    Attributes of subclasses, in addition to the attributes of `Format`:
      family: name of the format in errors.
    """

    family: str

    @abc.abstractmethod
    def convert(self, served):
        """Returns the bytes of the file; fails as the converter does.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
        """

    @abc.abstractmethod
    def missing(self, error):
        """Returns the names of the operations that the format lacks, a list, empty if not known.

        Args:
          error: exception of `convert`.
        """

    def write(self, served, folder):
        """Writes the file, see `Format`."""
        try:
            with _without_native_messages():
                data = self.convert(served)
        except Exception as error:  # Errors of converters have no other class in common.
            raise self._cannot_hold(error) from error
        with open(os.path.join(folder, self.file), "wb") as file:
            file.write(data)

    def _cannot_hold(self, error):
        if missing := self.missing(error):
            return ValueError(
                f"{self.family} cannot hold the operation {', '.join(missing)} of the model."
            )
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        return ValueError(f"{self.family} cannot hold the model: {reason}.")


@contextlib.contextmanager
def _without_native_messages():
    """Drops what TensorFlow's C++ code writes to the standard error, whatever its log level.

    Its messages by Abseil have no setting that Python reaches; what fails is raised.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def missing_package(name, package):
    """Returns the ValueError for a format called `name` whose package is not installed.

    Args:
      name: of the format.
      package: name of the package.
    """
    return ValueError(
        f"The format {name!r} needs the package {package!r}, which is not installed; run "
        "pip install 'flop-tf[export]'."
    )
