import dataclasses
import math
import re
import typing

import pytest

from bert_tf.methods.diffs.diff_options import DiffOptions
from bert_tf.methods.text_masks.mask_options import MaskOptions
from bert_tf.methods.tickets.find_options import FindOptions
from bert_tf.runs.options import FinetuneOptions
from bert_tf.tasks.registry import check_of_tasks

NEEDED = {"task_name": "sst-2", "data_dir": "d", "init_checkpoint": "c", "output_dir": "o"}


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_needed(name):
    with pytest.raises(ValueError, match=f"`{name}` is needed, received nothing"):
        FinetuneOptions(**{**NEEDED, name: ""})


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("train_batch_size", [0], "at least 1"),
        ("eval_batch_size", [-1], "at least 1"),
        ("predict_batch_size", [0], "at least 1"),
        ("keep_checkpoints", [0], "at least 1"),
        ("max_seq_length", [2], "at least 3"),
        ("num_train_epochs", [0.0, math.nan, math.inf], "above 0"),
        ("train_examples", [-1], "at least 0"),
        ("holdout_examples", [-1], "at least 0"),
        ("learning_rate", [-1e-5, math.nan, math.inf], "at least 0"),
        ("weight_decay", [-0.1], "at least 0"),
        ("regularization_scale", [-0.1], "at least 0"),
        ("learning_rate_warmup", [-1], "at least 0"),
        ("save_checkpoints_steps", [-1], "at least 0"),
        ("target_sparsity_warmup", [-1], "at least 0"),
        ("alpha_learning_rate", [-0.1], "at least 0"),
        ("lambda_learning_rate", [math.nan], "at least 0"),
        ("seed", [-1, 2**31], r"in \[0, 2147483648\)"),
        ("holdout_seed", [-1], r"in \[0, 2147483648\)"),
        ("hidden_dropout_prob", [1.0, -0.1], r"in \[0, 1\)"),
        ("attention_probs_dropout_prob", [1.0], r"in \[0, 1\)"),
        ("warmup_proportion", [-0.1, 1.0], r"in \[0, 1\)"),
        ("distill_alpha", [-0.1, 1.1], r"in \[0, 1\]"),
        ("gate_freeze_fraction", [0.0, 1.1], r"in \(0, 1\]"),
        ("distill_temperature", [0.0, math.inf, math.nan], "above 0"),
        ("initial_log_alpha", [math.inf, -math.inf, math.nan], "a finite number"),
        ("doc_stride", [0, -1], "at least 1"),
        ("max_query_length", [0], "at least 1"),
        ("worker_timeout", [-1], "at least 0"),
        ("num_gpus", [-1], "at least 0"),
        ("train_batch_size", [10**11, 10**400], "at most 2147483647"),
        ("save_checkpoints_steps", [2**31], "at most 2147483647"),
        ("learning_rate", [1e39], r"at most 3.40282346\d*e\+38"),
        ("seed", [0.0, "0", True, None], "an integer"),
        ("learning_rate", ["1e-5", None], "a number"),
        ("do_train", ["yes", 1, None], "true or false"),
        ("tpu", [None, 1], "a text"),
        ("target_sparsity", [-0.1, 1.0, math.nan], r"in \[0, 1\)"),
        (
            "length_buckets",
            ["8;16", "8,,9", "8,", "8,1_6", "٨", "8,9.0"],
            "integers with commas between them",
        ),
        ("mask_update_steps", [0, -1], "at least 1"),
        ("gate", ["hard", "fixed"], "one of none, hard_concrete, magnitude"),
        ("optimizer", ["sgd", ""], "one of adamw, adamax"),
        ("gate_schedule", ["cosine"], "one of constant, noam"),
        ("sparsity_base", ["all"], "one of dense, factorized"),
        ("mixed_precision", ["float64"], "one of none, float16, bfloat16"),
        ("label_type", ["text"], "one of class, number, labels"),
    ],
)
def test_range(name, values, expected):
    for value in values:
        received = re.escape(repr(value))
        with pytest.raises(ValueError, match=f"`{name}` must be {expected}, received {received}"):
            FinetuneOptions(**NEEDED, **{name: value})


@pytest.mark.parametrize("option", [{"distill_alpha": 0.3}, {"distill_temperature": 3.0}])
def test_options_of_distillation_need_a_teacher(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"`{name}` must be left out without a `teacher`, recei"):
        FinetuneOptions(**NEEDED, **option)
    FinetuneOptions(**NEEDED, **option, teacher="x")


@pytest.mark.parametrize("cls", [FinetuneOptions, DiffOptions, MaskOptions, FindOptions])
def test_every_number_declares_its_range(cls):
    hints = typing.get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if hints[field.name] in (int, float)]
    assert fields and not [f.name for f in fields if f.metadata["allowed"] is None]


@pytest.mark.parametrize("widths", ["0", "7", "16,8", "8,8", "8,20", "8,128,120"])
def test_widths_of_batches(widths):
    with pytest.raises(ValueError, match=r"Argument `length_buckets` must .*, received"):
        FinetuneOptions(**NEEDED, length_buckets=widths, max_seq_length=128)


def test_widths_within_the_longest_input():
    FinetuneOptions(**NEEDED, length_buckets="8,500")  # The task says how long its inputs may be.
    FinetuneOptions(**NEEDED, length_buckets="8,128", max_seq_length=128)
    FinetuneOptions(**NEEDED, length_buckets="8,11", max_seq_length=11)
    with pytest.raises(ValueError, match="`length_buckets` must be widths up to `max_seq_length`"):
        FinetuneOptions(**NEEDED, length_buckets="8,129", max_seq_length=128)


def test_what_excludes_each_other():
    for other in ({"gate": "hard_concrete"}, {"target_sparsity": 0.5}):
        with pytest.raises(ValueError, match="`factorized` trains factors without gates, received"):
            FinetuneOptions(**NEEDED, factorized=True, **other)
    with pytest.raises(ValueError, match="`target_sparsity` needs gates, received gate='none'"):
        FinetuneOptions(**NEEDED, gate="none", target_sparsity=0.5)
    with pytest.raises(ValueError, match="`gate=magnitude` needs `target_sparsity`, which its m"):
        FinetuneOptions(**NEEDED, gate="magnitude")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, None),
        ({"target_sparsity": 0.0}, "hard_concrete"),
        ({"gate": "hard_concrete"}, "hard_concrete"),
        ({"gate": "magnitude", "target_sparsity": 0.5}, "magnitude"),
        ({"gate": "none"}, None),
        ({"factorized": True}, None),
    ],
)
def test_name_of_the_gate(changes, name):
    assert FinetuneOptions(**NEEDED, **changes).gate_name == name


def test_edges_of_the_ranges():
    FinetuneOptions(
        **NEEDED,
        learning_rate=0.0,
        warmup_proportion=0.0,
        gate_freeze_fraction=1.0,
        target_sparsity=0.0,
        length_buckets="16, 32",
        hidden_dropout_prob=0.0,
        seed=2**31 - 1,
    )


SEVERAL = {"tasks": "RTE,STS-B", "glue_dir": "g", "init_checkpoint": "c", "output_dir": "o"}


def test_several_tasks_need_neither_a_name_nor_a_folder_of_one():
    assert FinetuneOptions(**SEVERAL).task_name == ""
    FinetuneOptions(**{**SEVERAL, "glue_dir": "", "tfds": "glue", "data_dir": "d"})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tasks": ""}, "`glue_dir` belongs to `tasks`, received 'g' without them"),
        ({"tasks": "", "glue_dir": "", "task_masks": "RTE=p"}, "`task_masks` belongs to `tasks`"),
        ({"glue_dir": ""}, "`glue_dir` is needed for `tasks`, the folder with one for each"),
        ({"data_dir": "d"}, "`glue_dir` excludes `data_dir` and `tfds`, received 'g' and 'd'"),
        ({"tfds": "glue"}, "`glue_dir` excludes `data_dir` and `tfds`, received 'g' and 'glue'"),
        ({"task_name": "RTE"}, "`task_name` names a single task and excludes `tasks`, received"),
        ({"teacher": "t"}, "`teacher` has the logits of a single task and excludes `tasks`"),
        ({"regularization_scale": 0.1}, "`regularization_scale` moves weights that a batch's"),
    ],
)
def test_what_several_tasks_exclude(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        FinetuneOptions(**{**SEVERAL, **changes})


@pytest.mark.parametrize(
    ("changes", "tasks", "owner"),
    [
        ({"doc_stride": 64}, ("SST-2",), "SQuAD"),
        ({"n_best_size": 1}, ("RTE", "tsv"), "SQuAD"),
        ({"language": "de"}, ("SQuAD",), "XNLI"),
        ({"label_column": "y"}, ("XNLI",), "tsv"),
        ({"dev_file": "y"}, ("tsv",), "mlm"),
    ],
)
def test_options_of_another_task(changes, tasks, owner):
    ((name, value),) = changes.items()
    text = f"Argument `{name}` belongs to the task {owner}, received {value!r} with {tasks[0]}"
    with pytest.raises(ValueError, match=text):
        check_of_tasks(FinetuneOptions(**NEEDED, **changes), tasks)
    check_of_tasks(FinetuneOptions(**NEEDED, **changes), (*tasks, owner))
    check_of_tasks(FinetuneOptions(**NEEDED), tasks)


def test_epochs_of_the_longest_stage():
    assert FinetuneOptions(**NEEDED, num_train_epochs=2.0).most_epochs == 2.0
    assert DiffOptions(**NEEDED, num_train_epochs=2.0, finetune_epochs=9.0).most_epochs == 9.0


def test_parts_of_a_batch():
    for parts, expected in ((5, "at most `train_batch_size`"), (4097, r"in \[1, 4096\]")):
        with pytest.raises(ValueError, match=f"`gradient_accumulation_steps` must be {expected}"):
            FinetuneOptions(**NEEDED, train_batch_size=4, gradient_accumulation_steps=parts)
