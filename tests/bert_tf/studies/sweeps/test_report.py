import base64
import io
import json
import math
import os
import re

import matplotlib.image
import numpy as np
import pytest

from bert_tf.presentation import plots
from bert_tf.studies.sweeps import report, report_page, run_results, sweep_state

#: Dense kernels and all parameters of a model of one block.
ORIGIN, TOTAL = 1000, 1500
ENVIRONMENT = {
    "device": "A <fast> chip",
    "cores": 2,
    "intra_op_threads": 0,
    "system": "Linux",
    "versions": {"python": "3.11"},
}


class Folder:
    """Writes runs as the programs leave them."""

    def __init__(self, path):
        self.path = path

    def run(self, name, info=None, results=None, **flags):
        folder = self.path / name
        folder.mkdir(parents=True)
        lines = {"output_dir": folder, "seed": 0, **flags}
        if "output_folder_dir" in flags:
            del lines["output_dir"]
        text = "".join(f"--{key}={value}\n" for key, value in lines.items())
        (folder / "run.flags").write_text(f"{text}--nojit_compile\n--do_eval\n")
        if info is not None:
            (folder / "info.json").write_text(json.dumps(info))
        if results is not None:
            (folder / "eval_results.txt").write_text(results)

    def model(self, name, stage, sparsity, score=None, ranks=None, task="RTE", **flags):
        info = {
            "stage": stage,
            "dense_sparsity": -0.5 if stage == "gated" else sparsity,
            "stored_sparsity": sparsity,
            "dense_origin_params": ORIGIN,
            "total_params": TOTAL,
            "projections": [{"projection": "blocks.0.query", "rank": ranks}],
        }
        if score is not None:
            scores = score if isinstance(score, dict) else {"dev": {"eval_accuracy": score}}
            info |= {"task": {"name": task}, "scores": scores, "step": 9}
        if "output_folder_dir" not in flags and "rank" not in flags:
            flags = {"learning_rate": "5e-05", **flags}
        results = "global_step = 9\ntrain_time = 12.5\neval_time = 3.0\n"
        self.run(name, info, results if "learning_rate" in flags else None, **flags)

    def chain(self, place, seed, dense, gated, final, rate="5e-05"):
        """One chain of a sweep, with its scores."""
        at = self.path / place
        both = {"seed": seed, "learning_rate": rate}
        self.model(f"{place}/dense", "dense", 0.0, dense, init_checkpoint="/bert", **both)
        self.model(
            f"{place}/factorized",
            "factorized",
            -0.5,
            checkpoint=at / "dense",
            rank="full",
            seed=seed,
            made_from=f"dense {seed}",
        )
        self.model(
            f"{place}/gated-0.6",
            "gated",
            0.601,
            gated,
            init_checkpoint=at / "factorized",
            teacher=at / "dense",
            target_sparsity=".6",
            made_from=f"factorized {seed}",
            **both,
        )
        self.model(
            f"{place}/compact-0.6",
            "compact",
            0.601,
            checkpoint=at / "gated-0.6",
            output_folder_dir=at / "compact-0.6",
        )
        self.model(
            f"{place}/final-0.6",
            "compact",
            0.601,
            final,
            ranks=7 + seed,
            init_checkpoint=at / "compact-0.6",
            teacher=at / "dense",
            seed=seed,
            learning_rate="1e-05",
        )

    def benchmark(self, name, models, sizes=(1, 32)):
        rows = [{"model": m, "folder": str(self.path / m)} for m in models]
        timings = [
            {
                "batch_size": size,
                "length": 64,
                "model": model,
                "p50_ms": 10.0 * size / (number + 1),
                "spread": 0.125,
                "ratios": {models[0]: 1 / (number + 1)},
            }
            for size in sizes
            for number, model in enumerate(models)
        ]
        data = {"environment": ENVIRONMENT, "models": rows, "timings": timings}
        self.run(name, model_dirs=",".join(models))
        (self.path / name / "benchmark.json").write_text(json.dumps(data))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "runs")


@pytest.fixture
def sweep(folder):
    """Two seeds and a second learning rate, measured, next to runs that are not finished."""
    folder.chain("RTE/lr5e-5-seed0", 0, 0.7, 0.66, 0.6)
    folder.chain("RTE/lr5e-5-seed1", 1, 0.8, 0.62, 0.7)
    folder.chain("RTE/lr2e-5-seed0", 0, 0.9, 0.5, 0.5, rate="2e-05")
    dense, final = "RTE/lr5e-5-seed0/dense", "RTE/lr5e-5-seed1/final-0.6"
    folder.benchmark("RTE/benchmark", [dense, final])
    folder.run("RTE/half", init_checkpoint="/bert")
    folder.run("RTE/torn", {"stage": "dense"}, "", init_checkpoint="/bert")
    folder.run("RTE/strange")
    entry = {"key": "0", "state": "failed", "seconds": 1.0, "error": "finetune: error: a | b <c>."}
    done = {"key": "0", "state": "done", "seconds": 1.0}
    sweep_state.write(
        folder.path, {"environment": ENVIRONMENT, "runs": {"QQP/dense": entry, dense: done}}
    )
    return folder.path


def rows(found, *names):
    return [tuple(row[name] for name in names) for row in found]


def test_best_of_each_task(sweep):
    found = report.gather(sweep)["best"]
    assert rows(found, "stage", "target", "score", "learning_rate", "run") == [
        ("dense", 0.0, 0.9, 2e-5, "RTE/lr2e-5-seed0/dense"),
        ("gated", 0.6, 0.66, 5e-5, "RTE/lr5e-5-seed0/gated-0.6"),
        # The learning rate is that of the gates' training, not of the short one after it.
        ("compact", 0.6, 0.7, 5e-5, "RTE/lr5e-5-seed1/final-0.6"),
    ]
    # 1500 parameters without .601 of 1000 kernels, also where gates only close them.
    assert rows(found, "parameters", "sparsity") == [(1500, 0.0), (899, 0.601), (899, 0.601)]
    assert (
        rows(found, "task", "metric", "train_time", "eval_time")
        == [("RTE", "eval_accuracy", 12.5, 3.0)] * 3
    )


def test_mean_and_sample_deviation_over_seeds(sweep):
    found = {(row["stage"], row["learning_rate"]): row for row in report.gather(sweep)["seeds"]}
    assert len(found) == 6
    dense, final = found["dense", 5e-5], found["compact", 5e-5]
    assert dense["mean"] == pytest.approx(0.75) and dense["seeds"] == [0, 1]
    assert dense["deviation"] == pytest.approx(0.1 / math.sqrt(2))
    assert final["mean"] == pytest.approx(0.65) and len(final["runs"]) == 2
    assert found["compact", 2e-5]["deviation"] is None


def test_another_command_is_no_other_seed(folder):
    for name, extra in (("a", {"seed": 0}), ("b", {"seed": 1}), ("c", {"seed": 2, "decay": 1})):
        folder.model(name, "dense", 0.0, 0.5, init_checkpoint="/bert", **extra)
    folder.model("d", "dense", 0.0, 0.5, init_checkpoint="/other", seed=3)
    folder.model("e", "dense", 0.0, 0.5, init_checkpoint="/bert", seed=4, teacher="/x")
    assert rows(report.gather(folder.path)["seeds"], "seeds") == [([0, 1],), ([2],), ([3],), ([4],)]


def test_latency_and_ranks(sweep):
    found = report.gather(sweep)
    latency = {row["run"]: row["latency"] for row in found["results"] if row["latency"]}
    assert set(latency) == {"RTE/lr5e-5-seed0/dense", "RTE/lr5e-5-seed1/final-0.6"}
    assert latency["RTE/lr5e-5-seed1/final-0.6"] == [
        {"batch_size": 1, "length": 64, "p50_ms": 5.0, "spread": 0.125, "ratio": 0.5},
        {"batch_size": 32, "length": 64, "p50_ms": 160.0, "spread": 0.125, "ratio": 0.5},
    ]
    (ranks,) = found["ranks"]
    assert ranks["run"] == "RTE/lr5e-5-seed1/final-0.6"
    assert ranks["ranks"] == [[8, None, None, None, None, None]]
    assert rows(found["environments"], "source", "device") == [(".", "A <fast> chip")]


def test_runs_that_were_moved_together(sweep):
    moved = sweep.rename(sweep.parent / "elsewhere")
    found = report.gather(moved)
    assert rows(found["best"], "target") == [(0.0,), (0.6,), (0.6,)]
    assert sum(bool(row["latency"]) for row in found["results"]) == 2


def test_states(sweep):
    found = {row["run"]: row for row in report.gather(sweep)["runs"]}
    assert len(found) == 3 * 5 + 5
    states = {name: (row["program"], row["state"], row["reason"]) for name, row in found.items()}
    assert states["RTE/half"] == ("finetune", "unfinished", None)
    assert states["RTE/torn"] == (
        *("finetune", "damaged"),
        f"The info file '{sweep}/RTE/torn/info.json' is damaged or of another kind: expected the "
        "key 'dense_sparsity'.",
    )
    unknown = "Its run.flags is of no program that is known."
    assert states["RTE/strange"] == (None, "damaged", unknown)
    assert states["QQP/dense"] == (None, "failed", "finetune: error: a | b <c>.")
    assert states["RTE/benchmark"] == ("benchmark", "finished", None)
    assert states["RTE/lr2e-5-seed0/compact-0.6"] == ("remove_mask", "finished", None)
    assert states["RTE/lr2e-5-seed0/factorized"] == ("factorize", "finished", None)


DAMAGED = "RTE/lr2e-5-seed0/dense"


def assert_listed(sweep, reason):
    """One run is damaged for a reason; the others are shown."""
    found = report.gather(sweep)
    (row,) = [row for row in found["runs"] if row["run"] == DAMAGED]
    assert row["state"] == "damaged" and reason in row["reason"]
    assert found["best"][0]["score"] == 0.8


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("info.json", "{", "must be JSON"),
        ("info.json", "[1]", "expected 'object', received 'array'"),
        ("info.json", "[" * 100_000, "must be JSON, received one nested too deeply"),
        ("info.json", b"\xff\xfe", "must be JSON: 'utf-8' codec can't decode"),
        ("eval_results.txt", "train_time\n", "The line 'train_time' of its eval_results.txt must"),
        ("eval_results.txt", "train_time = soon\n", "must be a finite number, received 'soon'"),
        ("eval_results.txt", "eval_time = inf\n", "must be a finite number, received 'inf'"),
        ("eval_results.txt", b"\xff = 1\n", "must be UTF-8"),
        ("run.flags", b"--init_checkpoint=\xff\n", "must be UTF-8"),
        ("run.flags", "", "Its run.flags is of no program that is known."),
        ("run.flags", "--init_checkpoint=a\n--seed=one\n", "The flag --seed of '"),
        ("run.flags", f"--init_checkpoint=a\n--seed=1{'0' * 400}\n", "must be a finite number"),
        ("run.flags", "--init_checkpoint=a\n--learning_rate=nan\n", "must be a finite number, rec"),
        ("run.flags", "--init_checkpoint=a\n--target_sparsity=\n", "must be a finite number, rec"),
        ("run.flags", "-" * (2**20 + 1), "must have at most 1048576 bytes"),
    ],
)
def test_a_damaged_run_is_listed(sweep, name, content, reason):
    content = content if isinstance(content, bytes) else content.encode()
    (sweep / DAMAGED / name).write_bytes(content)
    assert_listed(sweep, reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stage": "new"}, "invalid enum value 'new'"),
        ({"stage": ["dense"]}, "expected 'str', received 'array'"),
        ({"stage": "gated", "stored_sparsity": None}, "expected 'float', received 'null'"),
        ({"dense_sparsity": "x"}, "expected 'float', received 'str'"),
        ({"dense_sparsity": float("nan")}, "NaN is no number"),
        ({"dense_sparsity": float("inf")}, "Infinity is no number"),
        ({"dense_sparsity": 10**400}, "number out of range"),
        ({"dense_origin_params": 0}, "expected 'int' >= 1"),
        ({"total_params": -1}, "expected 'int' >= 0"),
        ({"total_params": 1e3}, "expected 'int', received 'float'"),
        ({"projections": {}}, "expected 'array', received 'object'"),
        ({"projections": [{"projection": "query", "rank": 1}]}, "matching regex"),
        ({"projections": [{"projection": "blocks.99999.query", "rank": 1}]}, "matching regex"),
        ({"projections": [{"projection": "blocks.0.query", "rank": "all"}]}, "received 'str'"),
        ({"scores": [0.9]}, "expected 'object', received 'array'"),
        ({"scores": {"dev": 0.9}}, "expected 'object', received 'float'"),
        ({"scores": {"dev": {"eval_accuracy": "high"}}}, "expected 'float', received 'str'"),
        ({"scores": {"dev": {"f1": 0.9}}}, "must have 'eval_accuracy', as the task 'RTE' has, rec"),
        ({"scores": {"dev": {"eval_accuracy": 1e300}}}, "expected 'float' <= "),
        ({"task": {"name": "RTA"}}, "Unknown task 'RTA', did you mean 'RTE'?"),
        ({"task": {"name": {}}}, "expected 'str', received 'object'"),
        ({"task": {"name": "RTE", "labels": 3}}, "expected 'array | null', received 'int'"),
        ({"task": {"name": "a", "tasks": [3]}}, "expected 'object', received 'int'"),
        ({"task": {"name": "RTE", "colour": "red"}}, "contains unknown field 'colour'"),
        ({"task": {}}, "expected the key 'name'"),
        ({"task": "RTE"}, "expected 'object', received 'str'"),
    ],
)
def test_a_damaged_info_file(sweep, changes, reason):
    path = sweep / DAMAGED / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert_listed(sweep, reason)


@pytest.mark.parametrize("name", ["info.json", "eval_results.txt", "run.flags"])
@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "a loop of links"])
def test_no_file_where_one_is_expected(sweep, name, kind):
    path = sweep / DAMAGED / name
    path.unlink()
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    assert_listed(sweep, f"received {kind}" if "loop" not in kind else "cannot be read")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.pop("environment"), "expected the key 'environment'"),
        (lambda data: data.update(environment={"device": 3}), "received 'int' at"),
        (lambda data: data.update(models=[[]]), "expected 'object', received 'array'"),
        (lambda data: data["models"][0].update(folder=None), "expected 'str', received 'null'"),
        (lambda data: data["timings"][0].update(ratios={}), "expected 'object' of length >= 1"),
        (lambda data: data["timings"][0].update(model={}), "expected 'str', received 'object'"),
        (lambda data: data["timings"][0].update(batch_size=-1), "expected 'int' >= 1"),
        (lambda data: data["timings"][0].update(p50_ms=float("inf")), "Infinity is no number"),
    ],
)
def test_a_damaged_benchmark(sweep, change, reason):
    path = sweep / "RTE/benchmark/benchmark.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    found = report.gather(sweep)
    (row,) = [row for row in found["runs"] if row["run"] == "RTE/benchmark"]
    assert row["state"] == "damaged" and reason in row["reason"]
    assert found["best"][0]["score"] == 0.9 and not found["best"][0]["latency"]


def test_a_damaged_sweep_is_listed(sweep, tmp_path):
    (sweep / "sweep.json").write_text("{}")
    found = report.gather(sweep)
    row = found["runs"][0]
    assert (row["run"], row["program"], row["state"]) == ("sweep.json", "sweep", "damaged")
    assert "expected the key 'environment'" in row["reason"] and len(found["best"]) == 3
    report_page.write(found, tmp_path)
    assert "| sweep.json " in (tmp_path / "report.md").read_text()


def test_runs_that_say_they_began_with_each_other(folder):
    for name, source in (("a", "b"), ("b", "a"), ("c", "c")):
        folder.model(name, "dense", 0.0, 0.5, init_checkpoint=folder.path / source)
    assert len(report.gather(folder.path)["results"]) == 3


def test_files_with_a_byte_order_mark(sweep):
    for name in ("info.json", "run.flags", "eval_results.txt"):
        path = sweep / DAMAGED / name
        path.write_text(path.read_text(), encoding="utf-8-sig")
    found = report.gather(sweep)
    assert found["best"][0]["score"] == 0.9 and found["best"][0]["train_time"] == 12.5


def test_flags_that_are_missing_are_shown_as_missing(folder, tmp_path):
    folder.model("a", "dense", 0.0, 0.5, init_checkpoint="/bert")
    (folder.path / "a/run.flags").write_text("--init_checkpoint=/bert\n")
    found = report.gather(folder.path)
    (row,) = found["results"]
    assert row["learning_rate"] is None and row["seed"] == 0
    report_page.write(found, tmp_path)


def test_held_out_examples_choose(folder):
    for name, held, dev in (("a", 0.8, 0.6), ("b", 0.7, 0.9)):
        scores = {"holdout": {"eval_accuracy": held}, "dev": {"eval_accuracy": dev}}
        folder.model(name, "dense", 0.0, scores, init_checkpoint="/bert")
    found = report.gather(folder.path)["best"]
    assert rows(found, "run", "score", "selected") == [("a", 0.6, 0.8)]


def test_what_else_is_published_of_a_task(folder):
    pair = {"pearson": 0.9, "spearmanr": 0.8}
    folder.model("a", "dense", 0.0, {"dev": pair}, task="STS-B", init_checkpoint="/bert")
    both = {f"dev_{k}": {"eval_accuracy": v} for k, v in (("matched", 0.7), ("mismatched", 0.6))}
    folder.model("b", "dense", 0.0, both, task="MNLI", init_checkpoint="/bert", do_train="false")
    found = report.gather(folder.path)["best"]
    assert rows(found, "task", "score", "other_scores", "learning_rate") == [
        ("MNLI", 0.7, {"dev_mismatched": 0.6}, None),
        ("STS-B", 0.9, {"spearmanr": 0.8}, 5e-5),
    ]


@pytest.mark.parametrize(("name", "sentence"), [("", "holds no runs: no run"), ("x", "not exist")])
def test_nothing_to_report(tmp_path, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        report.gather(tmp_path / name)


def test_where_nothing_says_the_device_it_is_that_of_the_report(folder):
    folder.run("a", init_checkpoint="/bert")
    (environment,) = report.gather(folder.path)["environments"]
    assert environment["source"] == "this report" and environment["versions"]["tensorflow"]


def test_files(sweep, tmp_path):
    found = report.gather(sweep)
    text = report_page.write(found, tmp_path / "report")
    assert json.loads((tmp_path / "report/report.json").read_text()) == found
    markdown = (tmp_path / "report/report.md").read_text()
    assert text in markdown
    best = [cell.strip() for cell in text.splitlines()[6].split("|")[1:-1]]
    assert best == [
        *("RTE", "dense", "eval_accuracy", "0.9000", "-", "-", "2e-5", "0", "0.0000", "1,500"),
        "RTE/lr2e-5-seed0/dense",
    ]
    assert "| 0.7500 | 0.0707" in text and "a \\| b &lt;c>." in markdown
    assert "| 32x64" in markdown and "A &lt;fast> chip, 2 cores" in markdown


def test_the_page_needs_no_other_file(sweep, tmp_path):
    report_page.write(report.gather(sweep), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page
    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)">', page)
    assert [title for title, _ in pictures] == [
        "RTE: score against size",
        "RTE: score against latency",
        "RTE: ranks kept at sparsity 0.6 (RTE/lr5e-5-seed1/final-0.6)",
    ]
    for _, data in pictures:
        image = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))
        assert image.shape[1] > 400 and len(np.unique(image)) > 20
    assert "finetune: error: a | b &lt;c&gt;." in page and "A &lt;fast&gt; chip" in page
    assert "<summary>RTE/half</summary><pre>flop-finetune\n--output_dir=" in page


def test_a_hostile_folder_name(tmp_path):
    folder = Folder(tmp_path / "<b>&")
    folder.run("<i>x", init_checkpoint="</pre><script>")
    report_page.write(report.gather(folder.path), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<b>" not in page and "<script" not in page and "<i>" not in page
    assert "&lt;b&gt;&amp;" in page and "&lt;/pre&gt;&lt;script&gt;" in page


def test_flags():
    text = "--a=b=c\n--do_eval\n--nodo_train\n--norm=2\n--empty=\n"
    assert run_results.parse_flags(text) == {
        **{"a": "b=c", "do_eval": "true", "do_train": "false", "norm": "2", "empty": ""}
    }


def test_latencies_of_other_shapes_are_in_no_picture(folder, tmp_path, monkeypatch):
    models = ("a", "b", "c")
    for seed, name in enumerate(models):
        folder.model(name, "dense", 0.0, 0.5, init_checkpoint="/bert", seed=seed)
    folder.benchmark("one", ["a", "b"])
    folder.benchmark("two", ["c", "b"], sizes=(32, 8))
    shown = {}
    draw = plots.score_against
    monkeypatch.setattr(
        plots, "score_against", lambda *args: shown.update({args[2]: args[:2]}) or draw(*args)
    )
    report_page.write(report.gather(folder.path), tmp_path)
    costs, results = shown["ms for a batch of 32x64 tokens (p50)"]
    assert list(zip(costs, [result["run"] for result in results], strict=True)) == [
        (320.0, "a"),
        (160.0, "b"),
        (160.0, "b"),
        (320.0, "c"),
    ]
