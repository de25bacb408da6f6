import dataclasses

import pytest

from bert_tf.studies.sweeps import sweep

SETTINGS = sweep.Settings(
    "/out", "/bert", benchmark=("--rounds=3",), export=("--allow_slower=true",)
)
RTE = sweep.SweepTask(
    "RTE",
    ("--task_name=RTE", "--data_dir=/glue/RTE"),
    ("--learning_rate=5e-5", "--num_train_epochs=4"),
    ("--learning_rate=5e-5", "--target_sparsity=.6"),
)


def names(runs):
    return [run.name for run in runs]


def last(run, *flags):
    """The values that the program takes: of a flag that stands there twice, the last."""
    return [sweep.value(run.flags, name) for name in flags]


def test_one_model():
    runs = sweep.single(RTE, SETTINGS, ".7")
    assert names(runs) == [
        *("dense", "factorized", "gated", "compact", "final", "predictions"),
        *("dense_export", "export", "benchmark"),
    ]
    dense, factorized, gated, compact, final, predictions, plain, export, benchmark = runs
    for run in (dense, factorized, gated, final, predictions, plain, export):
        assert last(run, "task_name", "data_dir") == ["RTE", "/glue/RTE"]
    assert last(dense, "init_checkpoint", "output_dir") == ["/bert", "/out/dense"]
    assert last(dense, "learning_rate", "num_train_epochs") == ["5e-5", "4"]
    assert last(factorized, "checkpoint", "output_dir") == ["/out/dense", "/out/factorized"]
    assert "--finetuned" in factorized.flags
    assert last(gated, "init_checkpoint", "teacher") == ["/out/factorized", "/out/dense"]
    assert last(gated, "target_sparsity", "output_dir") == [".7", "/out/gated"]
    assert compact.flags == ("--checkpoint=/out/gated", "--output_folder_dir=/out/compact")
    assert last(final, "init_checkpoint", "teacher") == ["/out/compact", "/out/dense"]
    assert last(final, "learning_rate", "num_train_epochs") == ["1e-6", "1"]
    assert last(predictions, "model_dir", "output_dir") == ["/out/final", "/out/predictions"]
    folders = "/out/dense,/out/final,/out/dense_export/1,/out/export/1"
    assert last(benchmark, "model_dirs", "engines", "rounds") == [folders, "auto", "3"]
    assert last(plain, "model_dir", "output_dir") == ["/out/dense", "/out/dense_export"]
    assert last(export, "model_dir", "output_dir") == ["/out/final", "/out/export"]
    for run in (plain, export):
        assert last(run, "allow_slower") == ["true"] and "--overwrite" in run.flags
    assert [run.repeats for run in runs] == [False] * 8 + [True]
    assert [run.done_file for run in runs] == [
        "dense/eval_results.txt",
        "factorized/info.json",
        "gated/eval_results.txt",
        "compact/info.json",
        "final/eval_results.txt",
        "predictions/scores.json",
        "dense_export/1/assets.extra/export.json",
        "export/1/assets.extra/export.json",
        "benchmark/benchmark.json",
    ]
    assert last(export, "latency_table") == ["/out/dense_export/1"]
    settings = dataclasses.replace(SETTINGS, compress=("--targets=.5",))
    compressed = sweep.single(RTE, settings, ".7")[-1]
    assert last(compressed, "init_checkpoint", "baselines") == ["/out/dense", "/out/final"]
    assert last(compressed, "targets", "latency_table") == [".5", "/out/dense_export/1"]
    assert last(compressed, "task_name", "data_dir", "seed") == ["RTE", "/glue/RTE", "0"]
    other = dataclasses.replace(settings, compress=("--targets=.5", "--optimize_for=1x64"))
    other = sweep.single(RTE, other, ".7")[-1]
    assert last(other, "optimize_for", "latency_table") == ["1x64", None]
    assert "dense_export" not in other.needs
    assert compressed.done_file == "compressed/compress.json"
    flags = ("--predict_batch_size=1", "--mixed_precision=bfloat16")
    compressed = sweep.single(RTE, dataclasses.replace(settings, finetune=flags), ".7")[-1]
    # Of a flag of trainings that flop-compress lacks it would end.
    assert last(compressed, "mixed_precision", "predict_batch_size") == ["bfloat16", None]
    settings = dataclasses.replace(settings, benchmark=None)
    *_, alone = sweep.single(RTE, settings, ".7")
    assert last(alone, "latency_table") == [None] and alone.needs == ("dense", "final")
    settings = dataclasses.replace(SETTINGS, export=None)
    *others, alone = sweep.single(RTE, settings, ".7")
    assert names(others) == names(runs)[:6]
    assert last(alone, "model_dirs", "engines") == ["/out/dense,/out/final", None]
    settings = dataclasses.replace(SETTINGS, benchmark=None)
    assert names(sweep.single(RTE, settings, ".7"))[6:] == ["export"]
    assert gated.title == "train gates and weights"


def test_each_run_comes_after_those_it_needs():
    stsb = sweep.SweepTask("STS-B", (), RTE.dense, RTE.flop)
    for runs in (
        sweep.single(RTE, SETTINGS),
        sweep.grid([RTE, stsb], SETTINGS, ["5e-5", ".0001"], [".5", "0.8"], [0, 1]),
    ):
        seen = set()
        for run in runs:
            assert seen >= set(run.needs)
            folders = [word for flag in run.flags for word in flag.split("=")[-1].split(",")]
            read = {word.removeprefix("/out/") for word in folders[:-1] if word.startswith("/out/")}
            read = {word.removesuffix("/1") for word in read}
            assert read - {run.name} == set(run.needs)
            seen.add(run.name)


def test_what_runs_share_is_one_run():
    runs = sweep.grid([RTE], SETTINGS, ["5e-5", "0.0001"], [".5", "0.80"], [0, 1])
    # Four chains of dense, factorized and two times gated, compact, final; one benchmark.
    assert len(runs) == 4 * (2 + 2 * 3) + 1
    assert names(runs)[:8] == [
        f"RTE/lr5e-5-seed0/{stage}"
        for stage in (
            *("dense", "factorized", "gated-0.5", "compact-0.5", "final-0.5"),
            *("gated-0.8", "compact-0.8", "final-0.8"),
        )
    ]
    assert {run.name.split("/")[1] for run in runs[:-1]} == {
        *("lr5e-5-seed0", "lr5e-5-seed1", "lr0.0001-seed0", "lr0.0001-seed1")
    }
    gated = [run for run in runs if run.stage == "gated"]
    assert last(gated[3], "seed", "learning_rate", "target_sparsity") == ["1", "5e-5", "0.80"]
    for run in gated:
        place = run.name.split("/")[1]
        assert last(run, "init_checkpoint") == [f"/out/RTE/{place}/factorized"]
    finals = [run for run in runs if run.stage == "final"]
    assert {last(run, "learning_rate")[0] for run in finals} == {"1e-6"}
    assert last(finals[3], "seed") == ["1"]
    benchmark = runs[-1]
    assert benchmark.name == "RTE/benchmark" and "--overwrite" in benchmark.flags
    compared = last(benchmark, "model_dirs")[0].split(",")
    assert compared == ["/out/RTE/lr5e-5-seed0/dense", *(f"/out/{run.name}" for run in finals)]


def test_a_task_says_what_is_not_given():
    runs = sweep.grid([RTE], SETTINGS)
    assert names(runs)[2] == "RTE/lr5e-5-seed0/gated-0.6"
    dense, gated = runs[0], runs[2]
    assert [flag for flag in dense.flags if "learning_rate" in flag] == ["--learning_rate=5e-5"]
    assert last(gated, "target_sparsity", "seed") == [".6", "0"]


def test_settings_of_every_training():
    settings = sweep.Settings(
        "/out", "/bert", "2", ("--train_batch_size=16", "--holdout_examples=9"), benchmark=None
    )
    runs = sweep.grid([RTE], settings)
    assert "RTE/benchmark" not in names(runs)
    for run in runs:
        given = last(run, "train_batch_size", "holdout_examples", "num_train_epochs")
        assert (
            given
            == {
                "dense": ["16", "9", "2"],
                "factorized": [None, "9", None],
                "gated": ["16", "9", "2"],
                "compact": [None, None, None],
                "final": ["16", "9", "1"],
            }[run.stage]
        )


def test_calibration_leaves_out_what_dense_training_holds_out():
    task = dataclasses.replace(RTE, dense=(*RTE.dense, "--holdout_examples=5", "--holdout_seed=3"))
    dense, factorized, *_ = sweep.single(task, SETTINGS)
    assert last(dense, "holdout_examples", "holdout_seed") == ["5", "3"]
    assert last(factorized, "holdout_examples", "holdout_seed") == ["5", "3"]
    settings = dataclasses.replace(SETTINGS, finetune=("--holdout_examples=9",))
    dense, factorized, *_ = sweep.single(task, settings)
    assert last(dense, "holdout_examples", "holdout_seed") == ["9", "3"]
    assert last(factorized, "holdout_examples", "holdout_seed") == ["9", "3"]


def test_two_runs_in_one_folder():
    sentence = "must be named once, received 'RTE/lr5e-5-seed0/compact-0.5' twice"
    with pytest.raises(ValueError, match=sentence):
        sweep.grid([RTE], SETTINGS, [], [".5", "0.50"])


def write(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.flags"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_flag_files(tmp_path):
    sst2 = "# A comment.\n--task_name=SST-2\n--seed=1\n"
    write(tmp_path, tasks__sst2=sst2, methods__flop="--target_sparsity=.6\n--nodo_eval\n")
    dense, flop = sweep.read_flags(tmp_path, "SST-2")
    assert dense == ("--task_name=SST-2", "--seed=1")
    assert flop == (*dense, "--target_sparsity=.6", "--nodo_eval")
    assert sweep.value((*dense, "--seed=2"), "seed") == "2" and sweep.value(dense, "size") is None
    write(tmp_path, finetune_wnli="")
    sentence = "The task '{}' needs the flag file '.*{}.flags', which does not exist, did you mean"
    for name, missing in {"SST-3": "tasks/sst3", "WNLI": "tasks/wnli"}.items():
        with pytest.raises(ValueError, match=f"{sentence.format(name, missing)} 'sst2'"):
            sweep.read_flags(tmp_path, name)


def test_flag_files_of_a_pair(tmp_path):
    write(tmp_path, finetune_sst2="--task_name=SST-2\n", flop_sst2="--target_sparsity=.6\n")
    assert sweep.read_flags(tmp_path, "SST-2") == [
        ("--task_name=SST-2",),
        ("--target_sparsity=.6",),
    ]
    write(tmp_path, tasks__rte="--seed=1\n", methods__flop="--seed=2\n")
    assert sweep.read_flags(tmp_path, "RTE") == [("--seed=1",), ("--seed=1", "--seed=2")]
    own = "--flagfile=tasks/rte.flags\n--flagfile=methods/flop.flags\n--seed=3\n"
    write(tmp_path, flop_rte=own)
    seeds = ("--seed=1", "--seed=2", "--seed=3")
    assert sweep.read_flags(tmp_path, "RTE") == [("--seed=1",), seeds]


def test_a_folder_without_flag_files(tmp_path):
    sentence = "'.*' holds no `tasks/TASK.flags` and `methods/flop.flags`; pass .* `--configs_dir`"
    write(tmp_path / "tasks", tasks__rte="")  # Without a method.
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "tasks"):
        with pytest.raises(ValueError, match=sentence):
            sweep.read_flags(folder, "RTE")


@pytest.mark.parametrize(
    ("text", "short"), [("5e-5", "5e-5"), (".00005", "5e-5"), ("0.60", "0.6"), (1e-4, "0.0001")]
)
def test_numbers_in_names(text, short):
    assert sweep.short_number(text) == short
