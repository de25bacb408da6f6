"""The export of a model as a folder of Hugging Face, compared before it is kept."""

import os

from absl import logging

from bert_tf.checkpoints import hugging_face_folder, model_dir, read_source
from bert_tf.serving import servable
from bert_tf.surgery.compression import largest_difference
from bert_tf.tasks import model_task
from flop_tf import files

#: Name next to those of formats.
NAME = "hugging_face"

# Largest difference of logits to the model, over random tokens: a batch, and its texts.
_TOLERANCE, _BATCH = 1e-4, 8


def export(folder, version, served):
    """Writes a version as a folder of Hugging Face, whole or not at all.

    Args:
      folder: model directory, dense, factorized or compact.
      version: the `bert_tf.serving.versions.Version` to write.
      served: a `bert_tf.serving.servable.ServedTask`.

    Returns:
      The report, as in `versions.REPORT_FILE`; None if the same command has written it before.

    Raises:
      ValueError: if the model does not fit, or what was written gives other logits.
      OSError: if a file cannot be written.
    """
    with version.opened() as to_do:
        if not to_do:
            return None
        model, source = servable.read(folder, served).model, model_dir.read(folder)
        title = os.path.basename(os.path.abspath(folder))
        with files.replacing_folder(version.path) as aside:
            hugging_face_folder.write(source, aside, title)
            again = read_source(aside, pretraining_head=model.head.is_tied)
            again = again.model(**{name: getattr(model.config, name) for name in model.head.fields})
            config = model.config
            (batch,) = model_task.random_features(config, config.num_positions, 1, _BATCH)
            difference = largest_difference(model, again, [(batch,)])
            if not difference <= _TOLERANCE:
                raise ValueError(
                    f"The folder of {NAME} must give the logits of {folder!r} to {_TOLERANCE}, "
                    f"received a difference of {difference:.3g}; please report it."
                )
            os.makedirs(os.path.join(aside, "assets.extra"))
            report = {"model": os.path.abspath(folder), "largest_difference": difference}
            report = version.write_report(aside, report)
    logging.info("Exported to %s; AutoModel.from_pretrained loads it.", version.path)
    return report
