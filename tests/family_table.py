"""What goes together of families, heads and formats: the table of docs/guides/families.md.

Usage:
  .venv/bin/python tests/family_table.py

Each family with each head is a random model with uneven blocks, factors and narrow heads. It is
written in every format by `flop-export`'s code, which compares answers, and read back from the
folder of Hugging Face. Needs ../shared, and ten minutes on two cores.
"""

import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import re
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Read once, when TensorFlow is imported.
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import latency_tables  # noqa: E402

from bert_tf.checkpoints import model_dir, read_source  # noqa: E402
from bert_tf.heads.head import HEADS  # noqa: E402
from bert_tf.serving import exporting, formats, hugging_face_export, versions  # noqa: E402
from bert_tf.serving.engines import Process  # noqa: E402
from bert_tf.serving.servable import ServedTask  # noqa: E402
from bert_tf.serving.target import Target  # noqa: E402
from bert_tf.tasks import registry  # noqa: E402
from flop_tf import surgery  # noqa: E402
from tests.bert_tf.checkpoints.test_hugging_face_folder import uneven  # noqa: E402

GUIDE = ROOT / "docs" / "guides" / "families.md"
#: A model of each family in ../shared/data/families.
FOLDERS = {
    "bert": "bert_classes",
    "distilbert": "distilbert_classes",
    "electra": "electra_small",
    "roberta, camembert": "roberta_classes",
    "xlm-roberta": "xlm_roberta_classes",
}
_COLUMNS = {"name": "tsv", "text_columns": ["a"]}
#: A task of each head.
TASKS = {
    "classifier": {"name": "SST-2", "labels": ["0", "1"]},
    "embedding": {"name": "embedding", "pooling": "mean", "l2_normalize": True},
    "labels": {**_COLUMNS, "label_column": "b", "label_type": "labels", "labels": ["x", "y", "z"]},
    "mlm": {"name": "mlm"},
    "numbers": {**_COLUMNS, "label_column": "b,c", "label_type": "number"},
    "span": {"name": "SQuAD", "max_query_length": 8},
    "tokens": {"name": "tokens", "labels": ["O", "B-x", "I-x"]},
}
_LEFT_OUT = "-"
_HEADER = re.compile(r"(?=^\| family \| head \|)", re.MULTILINE)
_SHAPE = (8, 16)


def table(families):
    """Returns the lines of the table.

    Args:
      families: folder of the models of `FOLDERS`.
    """
    names = [*formats.FORMATS, hugging_face_export.NAME]
    lines = [f"| family | head | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    pairs = list(itertools.product(FOLDERS, sorted(HEADS)))
    places = [families / FOLDERS[family] for family, _ in pairs]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        heads = [head for _, head in pairs]
        found = pool.starmap(_cells, zip(places, heads, strict=True), chunksize=1)
    for (family, head), cells in zip(pairs, found, strict=True):
        lines.append(f"| {family} | {head} | {' | '.join(map(cells.get, names))} |")
    return lines


def rows(text):
    """Returns the pairs of family and head in the table of a text.

    Args:
      text: of the guide.
    """
    lines = _HEADER.split(text)[1].split("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in lines]


def replaced(text, lines):
    """Returns a text with other lines in place of its table.

    Args:
      text: of the guide.
      lines: of `table`.
    """
    before, after = _HEADER.split(text)
    return "\n".join([before.rstrip("\n"), "", *lines, "", *after.split("\n\n", 1)[1:]])


def _cells(folder, head):
    """Returns the largest difference of each format to one model, relative above 1, as texts."""
    with tempfile.TemporaryDirectory() as scratch:
        return _written(pathlib.Path(scratch), folder, head)


def _written(scratch, folder, head):
    source, task = read_source(folder), registry.from_dict(TASKS[head])
    model = source.model(**task.head)
    whole = dataclasses.replace(source, config=model.config, weights=surgery.named_weights(model))
    small, place = uneven(whole), str(scratch / "model")
    known = {"task": task.to_dict(), "max_seq_length": 16, **model_dir.family_of(source.info)}
    model_dir.save(place, small.model(), source.tokenizer(), **known)

    config = small.config
    sizes = {"hidden_size": config.hidden_size, "head_size": config.head_size}
    target = Target(format_names=tuple(formats.FORMATS), optimize_for=_SHAPE, allow_slower=True)
    engines = dict.fromkeys(engine for engine, _ in target.chosen())
    tables = tuple(latency_tables.write(str(scratch), engine, **sizes) for engine in engines)
    target = dataclasses.replace(target, table_files=tables)
    Process.turn.__defaults__ = (0.005,)  # The times of toys decide nothing.
    report = exporting.export(place, versions.Version(str(scratch / "all")), target, ServedTask())
    found = {}
    for name, row in report["formats"].items():
        found[name] = _LEFT_OUT if "left_out" in row else f"{row['largest_difference']:.0e}"
    try:
        version = versions.Version(str(scratch / hugging_face_export.NAME))
        report = hugging_face_export.export(place, version, ServedTask())
        found[hugging_face_export.NAME] = f"{report['largest_difference']:.0e}"
    except ValueError as error:
        print(f"{folder.name}, {head}: {error}")
        found[hugging_face_export.NAME] = _LEFT_OUT
    return found


if __name__ == "__main__":
    found = table(ROOT.parent / "shared" / "data" / "families")
    GUIDE.write_text(replaced(GUIDE.read_text(), found))
