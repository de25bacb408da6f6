import json

from flop_tools import benchmark

import pytest
from programs import Program

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.latency import LatencyTable
from bert_tf.models.bert import BertModel
from bert_tf.studies.speed import benchmark_steps
from bert_tf.tokenizers import tokenization

CONFIG = EncoderConfig(
    vocab_size=6, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
)


def test_inference(call, tmp_path, capsys):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n")
    tokenizer = tokenization.Tokenizer(str(tmp_path / "vocab.txt"), True)
    model_dir.save(tmp_path / "dense", BertModel(CONFIG), tokenizer)
    end = call(
        benchmark,
        f"--model_dirs={tmp_path / 'dense'}",
        f"--output_dir={tmp_path / 'out'}",
        "--batch_sizes=1,2",
        "--lengths=4",
        "--rounds=2",
    )
    assert end is None
    table = (tmp_path / "out" / "benchmark.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == table
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text(encoding="utf-8"))
    assert report["settings"]["batch_sizes"] == [1, 2]
    assert len(report["timings"]) == 2
    (memory,) = report["memory"]
    assert memory["model"] == "dense" and memory["peak_bytes"] > 0
    names = {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."}
    assert names == {"benchmark.json", "benchmark.md", "benchmark.png", "run.flags"}


def test_a_file_that_is_cut_leaves_nothing(call, tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n")
    tokenizer = tokenization.Tokenizer(str(tmp_path / "vocab.txt"), True)
    model_dir.save(tmp_path / "dense", BertModel(CONFIG), tokenizer)
    (tmp_path / "cut.tflite").write_bytes(b"TFL3")
    args = [f"--output_dir={tmp_path / 'out'}", "--batch_sizes=1", "--rounds=1"]
    args.append(f"--model_dirs={tmp_path / 'dense'},{tmp_path / 'cut.tflite'}")
    text = call(benchmark, *args, "--lengths=4")
    assert text.startswith(f"benchmark: error: LiteRT cannot load '{tmp_path / 'cut.tflite'}': ")
    text = call(benchmark, *args, "--lengths=4000")
    assert text.startswith("benchmark: error: Argument `length` must be in [1, 512], the positions")
    text = call(benchmark, *args, "--lengths=4", "--engines=openvinno")
    assert text.startswith("benchmark: error: Unknown engine 'openvinno', did you mean 'openvino'?")
    assert not (tmp_path / "out").exists()


def test_a_latency_table_of_a_config(call, few_models, tmp_path):
    config_file = tmp_path / "config.json"
    config_file.write_text(json.dumps(CONFIG.to_dict()))
    args = ["--table", f"--bert_config_file={config_file}", f"--output_dir={tmp_path / 'out'}"]
    assert call(benchmark, *args, "--batch_sizes=2", "--lengths=4", "--rounds=1") is None
    table = LatencyTable.load(str(tmp_path / "out/latency_table.json"))
    assert (table.engine, table.shape) == ("tensorflow", (2, 4)) and table.predict(CONFIG) > 0


def test_training(tmp_path):
    config_file = tmp_path / "config.json"
    config_file.write_text(json.dumps(CONFIG.to_dict()))
    code, text = Program(
        "flop_tools.benchmark",
        "--training",
        f"--bert_config_file={config_file}",
        f"--output_dir={tmp_path / 'out'}",
        "--batch_sizes=2",
        "--lengths=4",
        "--rounds=1",
        "--variants=dense,factorized",
        "--mixed_precision=bfloat16",
        "--intra_op_threads=1",
    ).wait()
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text(encoding="utf-8"))
    assert "--rounds=1" in report["command"]
    assert report["environment"]["intra_op_threads"] == 1
    dense, factorized = report["memory"]
    assert (dense["model"], factorized["model"]) == ("dense", "factorized")
    assert dense["ratios"] == {"dense": 1.0} and 0 < dense["step_bytes"] < dense["peak_bytes"]
    table = (tmp_path / "out" / "benchmark.md").read_text(encoding="utf-8")
    assert "peak MB" in table and "memory / dense" in table
    assert report["settings"]["mixed_precision"] == "bfloat16"
    assert report["settings"]["config"]["hidden_act"] == "gelu"


def test_plans_against_tf_models(call, few_models, tmp_path, capsys):
    config_file = tmp_path / "config.json"
    config_file.write_text(json.dumps(CONFIG.to_dict()))
    args = ["--densities=.5", f"--bert_config_file={config_file}", "--rounds=1"]
    args += ["--batch_sizes=2", "--lengths=4", f"--output_dir={tmp_path / 'out'}"]
    assert call(benchmark, *args) is None
    report = json.loads((tmp_path / "out/benchmark.json").read_text(encoding="utf-8"))
    names = ["tf_models", "dense", "dense, plan", "density 0.5", "density 0.5, plan"]
    names.append("density 0.5, merged")
    assert [row["model"] for row in report["timings"]] == names
    assert [row["stage"] for row in report["models"][:4]] == ["dense"] * 3 + ["factorized"]
    assert report["timings"][0]["ratios"] == {"tf_models": 1.0}
    assert "density 0.5, plan" in capsys.readouterr().out
    end = call(benchmark, *args, "--densities=0", "--overwrite")
    assert end == "benchmark: error: Flag `--densities` must be above 0, received 0.0."


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            [],
            "Flag `--model_dirs` must name a model directory or an export, or pass `--training` or "
            "`--densities`.",
        ),
        (
            ["--densities=.5"],
            "Flag `--densities` needs `--bert_config_file`, such as a file of configs/.",
        ),
        (
            ["--table", "--model_dirs=a"],
            "Flag `--table` needs one number in `--batch_sizes` and in `--lengths`.",
        ),
        (
            ["--table", "--batch_sizes=8", "--lengths=128"],
            "Flag `--table` needs `--model_dirs` or `--bert_config_file`.",
        ),
        (
            ["--table", "--batch_sizes=8", "--lengths=128", "--model_dirs=a,b"],
            "Flag `--table` is of one model, received ['a', 'b'].",
        ),
        (
            ["--table", "--batch_sizes=8", "--lengths=128", "--mixed_precision=bfloat16"],
            "Flag `--table` needs `--mixed_precision=none`, as exports compute, received "
            "'bfloat16'.",
        ),
        (
            ["--training"],
            "Flag `--training` needs `--bert_config_file`, such as a file of configs/.",
        ),
        (
            ["--model_dirs=a", "--batch_sizes=1,two"],
            "Flag `--batch_sizes` must be integers with commas between them, received '1,two'.",
        ),
        (
            ["--model_dirs=a", "--batch_sizes=100000000000"],
            "Flag `--batch_sizes` must be in [1, 16384], received 100000000000.",
        ),
        (
            ["--model_dirs=a", "--lengths="],
            "Flag `--lengths` must name a number, received nothing.",
        ),
        (
            ["--model_dirs=a,,b"],
            "Flag `--model_dirs` must be texts with commas between them, received 'a,,b'.",
        ),
        (["--model_dirs=a", "--rounds=٣"], "Flag `--rounds` must be an integer, received '٣'."),
        (
            ["--model_dirs=a", "--variants=dense"],
            "Flag `--variants` is not for --model_dirs; leave it out.",
        ),
        (
            ["--table", "--model_dirs=a", "--densities=.5"],
            "Flag `--densities` is not for --table; leave it out.",
        ),
        (
            ["--training", "--model_dirs=a"],
            "Flag `--model_dirs` is not for --training; leave it out.",
        ),
        (
            ["--training", "--variants=sparse"],
            f"Flag `--variants` must name some of {', '.join(benchmark_steps.VARIANTS)}, received "
            "'sparse'.",
        ),
    ],
)
def test_bad_input(call, tmp_path, args, sentence):
    assert call(benchmark, f"--output_dir={tmp_path / 'out'}", *args) == (
        f"benchmark: error: {sentence}"
    )
    assert not (tmp_path / "out").exists()
