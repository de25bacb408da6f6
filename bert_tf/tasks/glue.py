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


def _glue(name, processor, texts, label="label", **fields):
    """A task of three files with header lines, the test file without labels."""
    return TextTask(
        name=name,
        labels=None if label == "score" else labels_of(processor),
        splits=(
            ("train", (Table("train.tsv", texts, label),)),
            ("dev", (Table("dev.tsv", texts, label),)),
            ("test", (Table("test.tsv", texts, id="index"),)),
        ),
        prediction_files=(("test", f"{name}.tsv"),),
        **fields,
    )


def _cola():
    header = ("source", "label", "mark", "sentence")
    return TextTask(
        name="CoLA",
        labels=labels_of(processors.ColaProcessor),
        splits=(
            ("train", (Table("train.tsv", ("sentence",), "label", header=header),)),
            ("dev", (Table("dev.tsv", ("sentence",), "label", header=header),)),
            ("test", (Table("test.tsv", ("sentence",), id="index"),)),
        ),
        primary_metric="matthews_corrcoef",
        prediction_files=(("test", "CoLA.tsv"),),
    )


def _mrpc():
    # The raw files have no dev set: it is what GLUE's `dev_ids.tsv` names, else the test file.
    columns = {"texts": ("#1 String", "#2 String"), "label": "Quality"}
    raw_train = Table("msr_paraphrase_train.txt", **columns)
    raw_test = Table("msr_paraphrase_test.txt", **columns)
    named = {"pairs_file": "dev_ids.tsv"}
    train = dataclasses.replace(raw_train, in_pairs=False, **named)
    dev = dataclasses.replace(raw_train, **named)
    test = Table("test.tsv", columns["texts"], id="index")
    return TextTask(
        name="MRPC",
        labels=labels_of(processors.MrpcProcessor),
        splits=(
            ("train", (Table("train.tsv", **columns), train, raw_train)),
            ("dev", (Table("dev.tsv", **columns), dev, raw_test)),
            ("test", (test, raw_test)),
        ),
        primary_metric="f1_score",
        prediction_files=(("test", "MRPC.tsv"),),
    )


def _qqp():
    # The first published train.tsv has questions with a line break, which leaves short rows.
    columns = {"texts": ("question1", "question2"), "label": "is_duplicate"}
    return TextTask(
        name="QQP",
        labels=labels_of(processors.QqpProcessor),
        splits=(
            ("train", (Table("train.tsv", skips_short_rows=True, **columns),)),
            ("dev", (Table("dev.tsv", skips_short_rows=True, **columns),)),
            ("test", (Table("test.tsv", columns["texts"], id="id"),)),
        ),
        primary_metric="f1_score",
        prediction_files=(("test", "QQP.tsv"),),
    )


def _mnli():
    texts = ("sentence1", "sentence2")
    splits = [("train", (Table("train.tsv", texts, "gold_label"),))]
    for kind in ("matched", "mismatched"):
        splits.append((f"dev_{kind}", (Table(f"dev_{kind}.tsv", texts, "gold_label"),)))
        splits.append((f"test_{kind}", (Table(f"test_{kind}.tsv", texts, id="index"),)))
    return TextTask(
        name="MNLI",
        labels=labels_of(processors.MnliProcessor),
        splits=tuple(splits),
        prediction_files=(("test_matched", "MNLI-m.tsv"), ("test_mismatched", "MNLI-mm.tsv")),
    )


#: Names that GLUE's classes have where its files have 0 and 1.
_CLASS_NAMES = {
    "CoLA": ("unacceptable", "acceptable"),
    "SST-2": ("negative", "positive"),
    "MRPC": ("not_equivalent", "equivalent"),
    "QQP": ("not_duplicate", "duplicate"),
    "WNLI": ("not_entailment", "entailment"),
}

_PAIR = ("sentence1", "sentence2")

#: The nine tasks of GLUE by name.
TASKS = {
    task.name: dataclasses.replace(task, class_names=_CLASS_NAMES.get(task.name, ()))
    for task in (
        _cola(),
        _glue("SST-2", processors.SstProcessor, ("sentence",)),
        _mrpc(),
        _glue(
            "STS-B",
            processors.StsBProcessor,
            _PAIR,
            label="score",
            primary_metric="pearson",
            score_range=(0.0, 5.0),
        ),
        _qqp(),
        _mnli(),
        _glue("QNLI", processors.QnliProcessor, ("question", "sentence")),
        _glue("RTE", processors.RteProcessor, _PAIR),
        _glue("WNLI", processors.WnliProcessor, _PAIR),
    )
}


def _register(task):
    @register_task(task.name)
    def constant(settings, data_dir, labels):
        """Returns the task, which has no settings."""
        return task


for _task in TASKS.values():
    _register(_task)
