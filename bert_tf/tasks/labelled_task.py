"""Tasks whose outputs may have names: the outputs of a checkpoint are put in their order."""

import dataclasses

from absl import logging

from bert_tf.tasks import label_order
from bert_tf.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class LabelledTask(Task):
    """A task with `labels` in the order of its logits, or None; see `Task`."""

    #: Published names of the classes, in the order of `labels`, where these are numbers.
    class_names = ()

    def with_head(self, source, owner):
        """Returns a `Source` whose outputs are in the order of the labels, see `Task`."""
        source = super().with_head(source, owner)
        if self.labels is None or not source.has_head:
            return source
        return label_order.in_order(source, self.outputs_of(source.labels, owner), self.labels)

    def outputs_of(self, names, owner):
        """Returns the outputs in the order of the labels, see `Task`."""
        return label_order.outputs_of(names, self, owner)

    def start(self, source, owner):
        """Returns a `Source` to train from; a head of these labels goes on, see `Task`."""
        if not source.has_head:
            return source
        try:
            return self.with_head(source, owner)
        except ValueError as error:
            logging.info("The task head starts anew. %s", error)
            return label_order.without_head(source)
