"""Versions of an export: folders `OUTPUT/NUMBER`, each written once, whole or not at all.

| in `OUTPUT/NUMBER` | holds |
|---|---|
| `saved_model.pb`, `variables` | the SavedModel, for TensorFlow Serving |
| `model_PRECISION.tflite`, `model.onnx` | the other formats |
| `assets` | `tokenizer.json`, `vocab.txt` of WordPieces |
| | `labels.txt` in the order of the logits, `thresholds.txt` of several labels an example |
| `assets.extra` | `export.json` (comparison, choices), latency table, warm-up requests |
| `run.flags` | the command's flags |
"""

import contextlib
import dataclasses
import os

from absl import logging

from bert_tf import timing
from bert_tf.runs import run_folder
from bert_tf.tokenizers import tokenizer_json
from flop_tf import files

#: In a version, how it was made and how far it is from its source.
REPORT_FILE = os.path.join("assets.extra", "export.json")


@dataclasses.dataclass(frozen=True)
class Version:
    """A version to write, and the command that writes it.

    Args:
      output_dir: folder of all versions; its name is the name of the model.
      number: int of at least 1; default 1.
      overwrite: whether an export that exists is replaced; default False.
      command: the command line, for the report; default "".
      command_flags: the flags of the command, one a line. The same flags again have nothing to do;
        the default "" is never the same.

    Raises:
      ValueError: if no folder is named or the number is below 1.
    """

    output_dir: str
    number: int = 1
    overwrite: bool = False
    command: str = ""
    command_flags: str = ""

    def __post_init__(self):
        if not self.output_dir:
            raise ValueError("Argument `output_dir` must name a folder, received none.")
        if self.number < 1:
            raise ValueError(f"Argument `version` must be at least 1, received {self.number}.")

    @property
    def path(self):
        """Path of the folder."""
        return os.path.join(os.path.abspath(self.output_dir), str(self.number))

    @property
    def model_name(self):
        """Name under which the model is served."""
        return os.path.basename(os.path.dirname(self.path))

    @contextlib.contextmanager
    def opened(self):
        """Locks the version for a `with` block, by the rule of output folders.

        Yields:
          Whether there is anything to do: False if the same command has written it before.

        Raises:
          ValueError: if another process writes it, it is of another command, or no export.
        """
        with self._locked():
            same = run_folder.command_of(self.path) == self.command_flags
            if self.command_flags and same and self._is_export() and not self.overwrite:
                logging.info("%s is already done; pass --overwrite to export it again.", self.path)
                yield False
            else:
                self._check()
                yield True

    @contextlib.contextmanager
    def written(self, tokenizer, labels=(), thresholds=()):
        """Yields a new folder with assets, which takes the place of the version on success.

        Args:
          tokenizer: the `Tokenizer` of the model.
          labels: names of the classes in the order of the logits; default none.
          thresholds: least probability of each label that holds; default none.
        """
        with files.replacing_folder(self.path) as folder:
            for name in ("assets", "assets.extra"):
                os.makedirs(os.path.join(folder, name))
            assets = os.path.join(folder, "assets")
            name, text = tokenizer.file()
            files.write_text(os.path.join(assets, name), text)
            if name != tokenizer_json.FILE:
                files.write_json(os.path.join(assets, tokenizer_json.FILE), tokenizer.portable())
            for name, lines in (("labels", labels), ("thresholds", thresholds)):
                if lines:
                    text = "".join(f"{line}\n" for line in lines)
                    files.write_text(os.path.join(assets, f"{name}.txt"), text)
            yield folder

    def write_report(self, folder, report):
        """Writes `REPORT_FILE` and the command's flags.

        Args:
          folder: of `written`.
          report: dict of plain data.

        Returns:
          The report, with command, device, threads and versions added.
        """
        report = {**report, "command": self.command, **timing.environment()}
        files.write_json(os.path.join(folder, REPORT_FILE), report)
        if self.command_flags:
            files.write_text(os.path.join(folder, run_folder.FLAGS_FILE), self.command_flags)
        return report

    @contextlib.contextmanager
    def _locked(self):
        """Locks the version and removes leftovers of killed exports next to it."""
        with files.parents(self.path):
            for other in files.interrupted(os.path.dirname(self.path)):
                if os.path.basename(other).isdigit():
                    # A live export has the lock.
                    with contextlib.suppress(ValueError), run_folder.locked(other):
                        files.recover_folder(other)
            with run_folder.locked(self.path):
                yield

    def _check(self):
        """Raises ValueError where the version must not be written."""
        if not os.path.exists(self.path):
            return
        if not self.overwrite:
            raise ValueError(
                f"The version {self.path!r} exists already; choose another one by --version, or "
                "pass --overwrite to replace it."
            )
        is_empty = os.path.isdir(self.path) and not os.listdir(self.path)
        if not (is_empty or self._is_export()):
            raise ValueError(
                f"The path {self.path!r} is no export and is not replaced; choose another "
                "--output_dir."
            )

    def _is_export(self):
        return os.path.isfile(os.path.join(self.path, REPORT_FILE))
