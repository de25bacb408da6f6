"""Options of the task: its name, its data, and what only one task has."""

import dataclasses
import functools

from bert_tf.option_fields import FINE_TUNING, option
from bert_tf.tasks import registry

_several = functools.partial(option, runs=FINE_TUNING)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskOptions(*registry.option_groups()):
    """One task and the folder of its data, with the options of every registered task."""

    task_name: str = option(
        "",
        "GLUE task, xnli, squad, squad2, mlm, tokens, embedding, or tsv for files of your own.",
    )
    data_dir: str = option("", "Folder of the task in its published layout.")
    tfds: str = option("", "Data set of TFDS instead, such as glue/sst2; glue for all of tasks.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeveralTasksOptions:
    """Several tasks that are trained together, and what excludes them."""

    tasks: str = _several("", "Tasks to train together instead, with commas: RTE,STS-B,tsv.")
    glue_dir: str = _several(
        "", "Of tasks: folder with one for each, of its name: RTE, STS-B, tsv."
    )
    task_masks: str = _several("", "Of tasks: mask files of their units, RTE=path,STS-B=path.")

    def check_rules(self):
        """Raises ValueError where options of several tasks and of a single one meet."""
        if self.tasks:
            self._check_folder()
            self._check_excluded()
            return
        for name in ("glue_dir", "task_masks"):
            if getattr(self, name):
                raise ValueError(
                    f"Argument `{name}` belongs to `tasks`, received {getattr(self, name)!r} "
                    "without them."
                )

    def _check_folder(self):
        if not (self.glue_dir or self.tfds):
            raise ValueError(
                "Argument `glue_dir` is needed for `tasks`, the folder with one for each, received "
                "nothing."
            )
        if self.glue_dir and (self.tfds or self.data_dir not in ("", self.glue_dir)):
            raise ValueError(
                f"Argument `glue_dir` excludes `data_dir` and `tfds`, received {self.glue_dir!r} "
                f"and {self.tfds or self.data_dir!r}."
            )

    def _check_excluded(self):
        for name, why in (
            ("task_name", "names a single task"),
            ("teacher", "has the logits of a single task"),
            ("regularization_scale", "moves weights that a batch's task masks"),
            ("train_subset", "draws examples of a single task"),
        ):
            if getattr(self, name):
                raise ValueError(
                    f"Argument `{name}` {why} and excludes `tasks`, received {getattr(self, name)} "
                    f"and {self.tasks!r}."
                )
