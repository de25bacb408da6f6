"""GLUE: one line for each file of the published layouts.

tf-models' processors (`official.nlp.data.classifier_data_lib`) give the labels
and their order. The files are read here: since tf-models 2.20 its GLUE
processors take their rows from TensorFlow Datasets only, and of the ten tasks
only `XnliProcessor` still reads files, but mixes the 15 languages of the dev
file and crashes on a short row. So each task has a table for each file of the
published layout, with quotes off. Against tf-models, MNLI's first text is the
premise, as in the published files and Google's code.

Primary metrics are the ones of GLUE, except that STS-B counts Pearson alone
(Spearman is reported) and MRPC and QQP count F1 (accuracy is reported).
"""

import dataclasses

from official.nlp.data import classifier_data_lib as processors

from bert_tf.data.examples import Table
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.text_task import TextTask


def labels_of(processor):
    """Returns the labels of a processor of tf-models, in their order.

    Args:
      processor: its class; the constructor of `MnliProcessor` downloads the data.
    """
    return tuple(processor.get_labels(None))


def _glue(name, processor, texts, label="label", id="index", rows=None, **fields):
    """A task of three files with header lines, the test file without labels.

    `rows` is what else its `Table` says of the other two.
    """
    labelled = {"texts": texts, "label": label, **(rows or {})}
    settings = {
        "labels": None if label == "score" else labels_of(processor),
        "splits": (
            ("train", (Table("train.tsv", **labelled),)),
            ("dev", (Table("dev.tsv", **labelled),)),
            ("test", (Table("test.tsv", texts, id=id),)),
        ),
        "prediction_files": (("test", f"{name}.tsv"),),
    }
    return TextTask(name=name, **{**settings, **fields})


def _mrpc():
    # The raw files have no dev set: it is what GLUE's `dev_ids.tsv` names, else the test file.
    columns = {"texts": ("#1 String", "#2 String"), "label": "Quality"}
    names = ("not_equivalent", "equivalent")
    settings = {"primary_metric": "f1_score", "class_names": names}
    task = _glue("MRPC", processors.MrpcProcessor, **columns, **settings)
    raw_train = Table("msr_paraphrase_train.txt", **columns)
    raw_test = Table("msr_paraphrase_test.txt", **columns)
    dev = dataclasses.replace(raw_train, pairs_file="dev_ids.tsv")
    train = dataclasses.replace(dev, in_pairs=False)
    raw = {"train": (train, raw_train), "dev": (dev, raw_test), "test": (raw_test,)}
    splits = tuple((split, (*tables, *raw[split])) for split, tables in task.splits)
    return dataclasses.replace(task, splits=splits)


def _mnli():
    files = {"train": {"label": "gold_label"}}
    for kind in ("matched", "mismatched"):
        files |= {f"dev_{kind}": {"label": "gold_label"}, f"test_{kind}": {"id": "index"}}
    return _glue(
        "MNLI",
        processors.MnliProcessor,
        _PAIR,
        splits=tuple((s, (Table(f"{s}.tsv", _PAIR, **own),)) for s, own in files.items()),
        prediction_files=(("test_matched", "MNLI-m.tsv"), ("test_mismatched", "MNLI-mm.tsv")),
    )


_PAIR = ("sentence1", "sentence2")

#: The nine tasks of GLUE by name. Class names are those that its files have as 0 and 1.
TASKS = {
    task.name: task
    for task in (
        _glue(
            "CoLA",
            processors.ColaProcessor,
            ("sentence",),
            rows={"header": ("source", "label", "mark", "sentence")},
            primary_metric="matthews_corrcoef",
            class_names=("unacceptable", "acceptable"),
        ),
        _glue(
            "SST-2", processors.SstProcessor, ("sentence",), class_names=("negative", "positive")
        ),
        _mrpc(),
        _glue(
            "STS-B",
            processors.StsBProcessor,
            _PAIR,
            label="score",
            primary_metric="pearson",
            score_range=(0.0, 5.0),
        ),
        _glue(
            "QQP",
            processors.QqpProcessor,
            ("question1", "question2"),
            "is_duplicate",
            "id",
            # The first published train.tsv has questions with a line break: short rows are left.
            {"skips_short_rows": True},
            primary_metric="f1_score",
            class_names=("not_duplicate", "duplicate"),
        ),
        _mnli(),
        _glue("QNLI", processors.QnliProcessor, ("question", "sentence")),
        _glue("RTE", processors.RteProcessor, _PAIR),
        _glue(
            "WNLI", processors.WnliProcessor, _PAIR, class_names=("not_entailment", "entailment")
        ),
    )
}


def _register(task):
    @register_task(task.name)
    def constant(settings, data_dir, labels):
        """Returns the task, which has no settings."""
        return task


for _task in TASKS.values():
    _register(_task)
