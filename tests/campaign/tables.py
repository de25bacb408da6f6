"""Data that people bring: tables, plain text, GLUE's files, vocabularies, labels of maps."""

from campaign import damage
from campaign.case import Case
from campaign.commands import PROGRAMS, command

_TSV = {
    "task_name": "tsv",
    "data_dir": "tsv",
    "text_columns": "text",
    "label_column": "label",
}
_HEAD = "text\tlabel\tscore\n"


def _text(change):
    """Returns a way to damage a file by a function of its text."""

    def damaged(path):
        path.write_bytes(change(path.read_bytes().decode()).encode())

    return damaged


def _instead(data):
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode())


def _appended(row):
    return _text(lambda text: text + row)


# Of a table: what the file is, how it gets so, the reason for which it may be read.
_TABLES = {
    **{name: (way, None) for name, way in damage.WHOLE.items() if name != "half"},
    "header alone": (_instead(_HEAD), None),
    "blank lines": (_instead("\n\n\n"), None),
    "no label column": (_text(lambda text: text.replace("label", "x", 1)), None),
    "no text column": (_text(lambda text: text.replace("text", "x", 1)), None),
    "label column twice": (_text(lambda text: text.replace("score", "label", 1)), None),
    "text column twice": (_text(lambda text: text.replace("score", "text", 1)), None),
    "a short row": (_appended("only a text\n"), None),
    "a long row": (_appended("a text\ta\t1\tmore\n"), None),
    "a tab in a text": (_appended("a\ttext\ta\t1\n"), None),
    "an open quote": (_appended('"a text\ta\t1\n'), None),
    "an empty label": (_appended("a text\t\t1\n"), None),
    "one label": (_text(lambda text: text.replace("\tb\t", "\ta\t")), None),
    "commas": (_text(lambda text: text.replace("\t", ",")), None),
    "no UTF-8": (_instead(_HEAD.encode() + b"caf\xe9\ta\t1\nb\tb\t2\n"), None),
    "NUL": (_appended("a\0b\ta\t1\n"), "a NUL is removed, as BERT does"),
    "UTF-16": (_instead((_HEAD + "a\ta\t1\nb\tb\t2\n").encode("utf-16")), None),
    "BOM": (damage.with_bom, "spreadsheets write a byte order mark"),
    "CRLF": (_text(lambda text: text.replace("\n", "\r\n")), "Windows ends lines so"),
    "a long line": (_appended("word " * 2_000_000 + "\ta\t1\n"), "long texts are cut"),
}
_DEV_TABLES = {
    "unknown label": _appended("a text\tc\t1\n"),
    "header alone": _instead(_HEAD),
    "other columns": _instead("a\tb\n1\t2\n"),
}
_SCORES = ("nan", "inf", "-inf", "1e999", "one", "", "٣", "1,5")

_SST2 = {
    "header alone": _instead("sentence\tlabel\n"),
    "no header": _text(lambda text: text.partition("\n")[2]),
    "unknown label": _appended("a text\t2\n"),
    "a short row": _appended("a text\n"),
    "empty": _instead(""),
}
_TEXTS = {
    **{name: way for name, way in damage.WHOLE.items() if name != "half"},
    "one word": _instead("the\n"),
    "no UTF-8": _instead(b"the film \xff\n" * 50),
}
_VOCABULARIES = {
    **{name: way for name, way in damage.WHOLE.items() if name != "half"},
    "no [UNK]": _text(lambda text: text.replace("[UNK]", "unk")),
    "no [CLS]": _text(lambda text: text.replace("[CLS]", "cls")),
    "a word twice": _text(lambda text: text.replace("film\n", "plot\n")),
    "an empty token": _text(lambda text: text.replace("film\n", "\n")),
    "a token of ##": _text(lambda text: text.replace("film\n", "##\n")),
    "a token of 257 bytes": _text(lambda text: text.replace("film\n", "x" * 257 + "\n")),
    "more words": _text(lambda text: text + "".join(f"w{i}\n" for i in range(300))),
    "fewer words": _instead("[PAD]\n[UNK]\n[CLS]\n[SEP]\n"),
    "other words": _text(lambda text: text.replace("film", "movie")),
}
_LABELS = {
    "empty": _instead(""),
    "no tab": _instead("0000_00_00 block\n"),
    "twice": _text(lambda text: text + text),
    "unknown map": _appended("9999_99_99\tblock\n"),
    "one label": _text(lambda text: text.replace("other", "block")),
    "no UTF-8": _instead(b"\xff\tblock\n"),
}
_ANSWERS = {
    "outside": ('"answer_start": 27', '"answer_start": 999'),
    "negative": ('"answer_start": 27', '"answer_start": -1'),
    "another text": ('"text": "plot"', '"text": "song"'),
    "no text": ('"text": "plot"', '"text": ""'),
    "an id twice": ("train-b", "train-a"),
    "no answers": ('"answers": [{"text": "plot", "answer_start": 27}]', '"answers": []'),
}


def cases():
    """Yields the cases."""
    for what, (way, accepted) in _TABLES.items():
        yield _case("finetune", "tsv/train.tsv", what, way, _TSV, accepted)
    for what, way in _DEV_TABLES.items():
        yield _case("finetune", "tsv/dev.tsv", what, way, _TSV)
    for text in _SCORES:
        numbers = {**_TSV, "label_column": "score", "label_type": "number"}
        row = f"a text\ta\t{text}\n"
        yield _case("finetune", "tsv/train.tsv", f"score {text}", _appended(row), numbers)
    for columns in ("", "x", "text,text", "text,label", "text,score,label", "label"):
        args = {**_TSV, "text_columns": columns}
        yield _case("finetune", "tsv/train.tsv", f"columns {columns}", _nothing, args)
    for what, way in _SST2.items():
        yield _case("finetune", "SST-2/train.tsv", what, way)
        yield _case("evaluate", "SST-2/dev.tsv", what, way)
    for what, way in _TEXTS.items():
        yield _case("train_mask", "text/train.txt", what, way)
    for what, way in _VOCABULARIES.items():
        yield _case("evaluate", "dense/vocab.txt", what, way)
    for what in ("an empty token", "a token of 257 bytes", "no UTF-8", "no [CLS]"):
        way = {**_VOCABULARIES, "no UTF-8": _instead(b"\xff\n[UNK]\n")}[what]
        settings = {"checkpoint": "hf", "task_name": "SST-2", "data_dir": "SST-2"}
        yield _case("factorize", "hf/vocab.txt", what, way, settings)
    for what, way in _LABELS.items():
        yield _case("train_patterns", "labels.tsv", what, way)
    squad = {"task_name": "squad", "data_dir": "squad", "max_seq_length": 20}
    squad["max_query_length"] = 8
    for what, (old, new) in _ANSWERS.items():
        way = _text(lambda text, old=old, new=new: text.replace(old, new))
        accepted = "answers that are not found are no targets" if what == "another text" else None
        yield _case("finetune", "squad/train-v1.1.json", f"answer {what}", way, squad, accepted)


def _nothing(path):
    """Leaves the file as it is."""


def _case(mode, path, what, way, changes=None, accepted=None):
    name = path.rpartition("/")[2]
    return Case(
        "tables",
        PROGRAMS[mode],
        f"{path} {what}",
        command(mode, **(changes or {})),
        rf"{name}|columns|labels|questions",
        lambda folder: way(folder / path),
        accepted,
        (path.partition("/")[0],),
    )
