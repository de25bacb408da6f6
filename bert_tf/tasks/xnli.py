"""XNLI: entailment in 15 languages, the labels and their order by tf-models' processor."""

import dataclasses

from official.nlp.data import classifier_data_lib as processors

from bert_tf.data.examples import Table
from bert_tf.option_fields import option
from bert_tf.tasks.glue import labels_of
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.text_task import TextTask


@dataclasses.dataclass(frozen=True)
class XnliOptions:
    """The options of XNLI."""

    language: str = option("en", "Task xnli: its language, two letters.")


@register_task("XNLI", XnliOptions)
def xnli(settings, data_dir, labels):
    """Returns XNLI in one language.

    Args:
      settings: `XnliOptions`.
      data_dir: not used; so `labels`.
      labels: see above.

    Raises:
      ValueError: if there is no such language.
    """
    language = settings.language
    if language not in processors.XnliProcessor.supported_languages:
        raise ValueError(
            f"Argument `language` must be one of {processors.XnliProcessor.supported_languages}, "
            f"received {language!r}."
        )
    train = Table(f"multinli/multinli.train.{language}.tsv", ("premise", "hypo"), "label")
    dev = Table(
        "xnli.dev.tsv", ("sentence1", "sentence2"), "gold_label", where=("language", language)
    )
    test = dataclasses.replace(dev, file="xnli.test.tsv", label_is_optional=True)
    return TextTask(
        name="XNLI",
        labels=labels_of(processors.XnliProcessor),
        splits=(("train", (train,)), ("dev", (dev,)), ("test", (test,))),
        prediction_files=(("test", "XNLI.tsv"),),
        label_names=(("contradictory", "contradiction"),),
        arguments=(("language", language),),
    )
