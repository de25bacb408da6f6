"""The report of a benchmark as Markdown, readable on a console too."""

from bert_tf.presentation import pages
from bert_tf.tasks import registry


def markdown(report):
    """Returns the tables of a report, a string.

    Args:
      report: dict with `models` and `timings` of `benchmarking.inference` or
        `benchmarking.training`, and if measured `memory`.
    """
    tables = [_timings(report["timings"]), _models(report)]
    return "\n".join(_table(rows) for rows in tables if rows)


def _timings(timings):
    rows = []
    for timing in timings:
        row = {
            "batch x length": _shape(timing),
            "model": timing["model"],
            "p50 ms": f"{timing['p50_ms']:.2f}",
            "p90 ms": f"{timing['p90_ms']:.2f}",
            "spread": f"{timing['spread']:.1%}",
            "examples/s": f"{timing['examples_per_second']:.1f}",
            **_ratios(timing["ratios"]),
        }
        if "flops" in timing:
            row["GFLOPs"] = "-" if timing["flops"] is None else f"{timing['flops'] / 1e9:.2f}"
        rows.append(row)
    return rows


def _models(report):
    """Returns one row a model, with time and memory of the largest inputs."""
    largest = _shape(report["timings"][-1])
    timings = {row["model"]: row for row in report["timings"] if _shape(row) == largest}
    memory = {row["model"]: row for row in report.get("memory", ())}
    rows = []
    for model in report["models"]:
        name = model["model"]
        row = {
            "model": name,
            **({"engine": model["engine"]} if "engine" in model else {}),
            "stage": model["stage"] or "-",
            "parameters": _count(model["parameters"]),
            "in kernels": _count(model["kernel_parameters"]),
        }
        if "file_bytes" in model:
            row |= {"MB": f"{model['file_bytes'] / 1e6:.1f}", "score": _score(model)}
        row |= {
            f"p50 ms {largest}": f"{timings[name]['p50_ms']:.2f}",
            **_ratios(timings[name]["ratios"]),
        }
        if name in memory:
            row["peak MB"] = f"{memory[name]['peak_bytes'] / 1e6:.0f}"
            if "step_bytes" in memory[name]:
                row["of which step MB"] = f"{memory[name]['step_bytes'] / 1e6:.0f}"
            row |= {f"memory {k}": v for k, v in _ratios(memory[name]["ratios"]).items()}
        rows.append(row)
    return rows


def _score(model):
    """Returns the task's own metric on each split that was scored."""
    if not model["scores"]:
        return "-"
    metric = registry.get(**model["task"]).primary_metric
    return ", ".join(f"{split} {values[metric]:.4f}" for split, values in model["scores"].items())


def _count(number):
    return "-" if number is None else f"{number:,}"


def _ratios(ratios):
    return {f"/ {baseline}": f"{ratio:.3f}" for baseline, ratio in ratios.items()}


def _shape(timing):
    return f"{timing['batch_size']}x{timing['length']}"


def _table(rows):
    """Returns a Markdown table with a column for each key of the first row."""
    columns = []
    for key in rows[0]:
        name, *cells = [pages.escaped(cell) for cell in (key, *(row[key] for row in rows))]
        width = max(map(len, (name, *cells)))
        # Names to the left, numbers to the right.
        is_text = not any(cell[:1].isdigit() for cell in cells)
        padded, rule = (str.ljust, ":-") if is_text else (str.rjust, "-:")
        rule = padded(rule, width).replace(" ", "-")
        columns.append([padded(name, width), rule, *(padded(cell, width) for cell in cells)])
    return "".join(f"| {' | '.join(line)} |\n" for line in zip(*columns, strict=True))
