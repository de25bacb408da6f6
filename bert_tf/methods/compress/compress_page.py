"""The page to choose a model from: scores against milliseconds and megabytes, and each model.

`compress_page.html` is the body, `compress_page.css` its style; the page needs no other file.
"""

import itertools
import json
import os
import pathlib
import shlex

import jinja2

from bert_tf.encoders.config import PROJECTIONS
from bert_tf.presentation import pages, scatter
from flop_tf import files

#: Name of the page.
FILE = "compress.html"

_FAMILY = "family"
# Of a name in a chart, in characters.
_LONGEST = 16
_HERE = pathlib.Path(__file__).parent
# Markers of engines around (0, 0), in the order in which engines occur: a circle, a square, a
# triangle, a diamond, a triangle that stands on its tip, a cross, an hourglass.
_MARKERS = (
    "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0z",
    "M-5.3,-5.3h10.6v10.6h-10.6z",
    "M0,-7L6.5,5H-6.5z",
    "M0,-7.5L6.5,0L0,7.5L-6.5,0z",
    "M0,7L6.5,-5H-6.5z",
    "M-2.2,-6.5h4.4v4.3h4.3v4.4h-4.3v4.3h-4.4v-4.3h-4.3v-4.4h4.3z",
    "M-6,-6h12L-6,6h12z",
)
# Of a drawing, and where its axes start and end. On a telephone a unit is a pixel.
_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 350, 24, 212
# Of a block in the drawing of a network, and of its ranks below it; how these are called.
_BLOCK_HEIGHT, _RANKS_HEIGHT = 34, 28
_RANKS = dict(zip(PROJECTIONS, ("Q", "K", "V", "O", "F1", "F2"), strict=True))


def write(report, folder):
    """Writes `FILE`.

    Args:
      report: as in `compress.json`, see `bert_tf.methods.compress.stages`.
      folder: path of a folder; made where it is missing.

    Raises:
      OSError: if the file cannot be written.
    """
    files.write_text(os.path.join(folder, FILE), page(report))


def page(report):
    """Returns the page, a text of HTML.

    Args:
      report: as in `compress.json`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"score": pages.number, "ms": _ms, "mb": _mb, "share": "{:.0%}".format}
    models = _models(report)
    engines = list(dict.fromkeys(row["engine"] for row in report["models"] if "path" in row))
    charts = [_chart(report, models, engines, *axis) for axis in _axes(report)]
    body = environment.get_template("compress_page.html").render(
        report=report,
        models=models,
        engines=list(zip(engines, itertools.cycle(_MARKERS), strict=False)),
        charts=[chart for chart in charts if chart["points"]],
        first=next(model["number"] for model in models if model["kind"] == _FAMILY),
    )
    title = f"{report['task']}: smaller models"
    return pages.page(title, title, [body], _HERE.joinpath("compress_page.css").read_text("utf-8"))


def _models(report):
    """Returns the models, each with its rows and the parts of the page that are made of them."""
    groups, found = {}, []
    for row in report["models"]:
        groups.setdefault(row["model"], []).append(row)
    for number, (name, rows) in enumerate(groups.items()):
        one = rows[0]
        kind = _FAMILY if "target" in one else "baseline" if number else "dense"
        model = {
            "number": number,
            "name": name,
            "short": _shortened(os.path.basename(name)),
            "kind": kind,
            "rows": _timed(rows, report) if kind == "dense" else rows,
            "folder": one["folder"],
            "parameters": one["parameters"],
            "of_dense": one["parameters"] / report["models"][0]["parameters"],
            **_network(one, report["dense"]),
            **report["answers"][name],
        }
        found.append(model)
        model["commands"] = list(_commands(report, found[0], model))
    return found


def _timed(rows, report):
    """Returns the dense model's rows; one without a time has the one next to a smaller model's."""
    times = {
        row["engine"]: row["dense_p50_ms"] for row in report["models"] if "dense_p50_ms" in row
    }
    found = [
        {"p50_ms": times[row["engine"]], **row}
        if row["engine"] in times and "left_out" not in row
        else row
        for row in rows
    ]
    return [{**row, "ratio": 1.0} if "p50_ms" in row else row for row in found]


def _network(row, full):
    """Returns the data of the drawing of a model: its word embedding, then its blocks."""
    kept = [(sum(row[kind]), full["blocks"] * full[kind]) for kind in ("heads", "neurons")]
    blocks, top = [], _BLOCK_HEIGHT
    for heads, sizes, neurons, ranks in zip(
        row["heads"], row["head_sizes"], row["neurons"], row["ranks"], strict=True
    ):
        drawn = [(_RANKS[name], ranks[name]) for name in _RANKS if name in ranks]
        narrow = sizes if heads and sizes != [full["head_size"]] * 2 else None
        one = {"heads": heads, "sizes": narrow, "neurons": neurons, "ranks": drawn, "top": top}
        blocks.append(one)
        top += _BLOCK_HEIGHT + bool(drawn) * _RANKS_HEIGHT
    return {
        "says": "{:,} of {:,} heads, {:,} of {:,} neurons".format(*kept[0], *kept[1]),
        "words": row["vocab_size"],
        "word_rank": row["word_embedding_rank"],
        "blocks": blocks,
        "height": top,
        "has_ranks": any(row["ranks"]),
        "has_narrow_heads": any(block["sizes"] for block in blocks),
    }


def _axes(report):
    """Yields the title of each chart, the cost on its axis, its label and its unit."""
    shape = report["optimize_for"].replace("x", " x ")
    yield "milliseconds", "p50_ms", f"milliseconds for {shape} tokens (median)", 1.0
    yield "megabytes", "file_bytes", "megabytes of the exported file", 1e-6


def _chart(report, models, engines, title, field, label, unit):
    """Returns the data of a chart of scores by cost, without points where nothing has both."""
    pairs = [
        (model, row)
        for model in models
        for row in model["rows"]
        if field in row and "exported_score" in row  # A row that was left out has none.
    ]
    if not pairs:
        return {"points": []}
    costs = [row[field] * unit for _, row in pairs]
    scores = [row["exported_score"] for _, row in pairs]
    x = scatter.Axis.around(costs, _LEFT, _RIGHT, from_zero=True)
    y = scatter.Axis.around(scores, _BOTTOM, _TOP)
    places = [(x.place(cost), y.place(score)) for cost, score in zip(costs, scores, strict=True)]
    # Hollow markers say themselves that they are the dense model.
    names = ["" if model["kind"] == "dense" else model["short"] for model, _ in pairs]
    name_places = scatter.name_places(places, names, (_LEFT, 0, _WIDTH, _BOTTOM))
    points = [
        {
            "model": model,
            "engine": engines.index(row["engine"]),
            "place": place,
            "name": (name, *name_place),
            "says": _summary(report, model, row),
        }
        for (model, row), place, name, name_place in zip(
            pairs, places, names, name_places, strict=True
        )
    ]
    family = [point for point in points if point["model"]["kind"] != "baseline"]
    return {
        "title": title,
        "label": label,
        "frame": (_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM),
        "x": x.ticks(),
        "y": y.ticks(),
        "lines": scatter.lines(*zip(*((p["place"], p["engine"]) for p in family), strict=True)),
        "points": points,
    }


def _summary(report, model, row):
    """Returns a sentence about a model on an engine."""
    parts = [f"{report['metric']} {pages.number(row['exported_score'])}"]
    if "p50_ms" in row:
        is_compared = "ratio" in row and model["kind"] != "dense"
        compared = f" ({row['ratio']:.2f} of the dense model)" if is_compared else ""
        parts.append(f"{_ms(row['p50_ms'])} ms{compared}")
    parts.append(f"{_mb(row['file_bytes'])} MB")
    return f"{model['name']} by {row['engine']}: {', '.join(parts)}."


def _commands(report, dense, model):
    """Yields `(title, command)` of what serves a model, asks the server and measures the speed."""
    kept, found = [row for row in model["rows"] if "path" in row], {}
    for row in kept:
        if row["format"] == "saved_model":
            found[row["engine"]] = "examples/serve.sh", os.path.dirname(row["path"])
        elif row["path"].endswith(".onnx"):
            found[row["engine"]] = "python", "examples/onnx_serving.py", row["path"]
    if found:
        name = os.path.basename(os.path.dirname(_version(kept[0])))
        texts = json.dumps({text: ["a good film"] for text in report["text_names"]})
        asked = f"--model={name}", "--rest=http://localhost:8501", texts
        found["a request"] = "python", "examples/serving_client.py", *asked
    folders = [_version(row) for one in (dense, model) for row in one["rows"] if "path" in row]
    if kept:
        batch_size, length = report["optimize_for"].split("x")
        found["its speed, next to the dense model"] = (
            "flop-benchmark",
            f"--model_dirs={','.join(dict.fromkeys(folders))}",
            f"--engines={','.join(row['engine'] for row in kept)}",
            f"--batch_sizes={batch_size}",
            f"--lengths={length}",
            "--output_dir=runs/speed",
        )
    for title, command in found.items():
        quoted = map(shlex.quote, command)
        yield title, " ".join(f"\\\n  {one}" if one.startswith("--") else one for one in quoted)


def _version(row):
    """Returns the folder of an export: a SavedModel's own, another file's parent."""
    return row["path"] if row["format"] == "saved_model" else os.path.dirname(row["path"])


def _shortened(name):
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _ms(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _mb(value):
    return f"{value / 1e6:.1f}" if value >= 1e6 else f"{value / 1e6:.2f}"
