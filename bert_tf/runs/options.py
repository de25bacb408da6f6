"""Every setting of a fine-tuning run, with its default and one line of help.

The program `tools/finetune.py` makes its flags from these fields. Names are the
original's where it has one; the defaults are ours and prune at the first try.
"""

import dataclasses
import typing

from bert_tf import ranges
from bert_tf.data.batch_plan import WIDTH_STEP
from bert_tf.data.table_rows import QUOTINGS
from bert_tf.ranges import (
    ABOVE_0,
    FINITE,
    FROM_0,
    FROM_1,
    SEED,
    SEQUENCE_LENGTH,
    SHARE,
    SHARE_ABOVE_0,
    SHARE_BELOW_1,
    Range,
)
from bert_tf.runs import distribution, optimization
from flop_tf import gates

# Options that only one task has, by its name.
_OF_TASKS = {
    **dict.fromkeys(("text_columns", "label_column", "label_type", "quoting"), "tsv"),
    **dict.fromkeys(("train_file", "dev_file"), "mlm"),
    "language": "XNLI",
    **dict.fromkeys(
        ("doc_stride", "max_query_length", "n_best_size", "max_answer_length"), "SQuAD"
    ),
}

# Options of distillation.
_OF_TEACHERS = ("distill_alpha", "distill_temperature")

# Parts of a batch, each of which makes the others wait.
PARTS = Range(at_least=1, at_most=4096)

_TYPES = {bool: "true or false", str: "a text"}


def option(default, text, choices=None, allowed=None, list_of=None, distinct=True):
    """Returns a dataclass field with what `check_fields` wants to know of it.

    Args:
      default: its default; None may be passed where it is None.
      text: one line of help.
      choices: the allowed values, a tuple or the `Names` of a registry.
      allowed: the `bert_tf.ranges.Range` of a number; every number has one.
      list_of: `int` or `float` of a text that holds such numbers with commas between them.
      distinct: whether each of these may occur only once.
    """
    metadata = {"help": text, "choices": choices, "allowed": allowed}
    return dataclasses.field(
        default=default, metadata={**metadata, "list_of": list_of, "distinct": distinct}
    )


def check_fields(options):
    """Raises ValueError where a field of a dataclass of `option` is not as it is declared."""
    hints = typing.get_type_hints(type(options))
    for field in dataclasses.fields(options):
        value, declared, kind = getattr(options, field.name), field.metadata, hints[field.name]
        if value is None and field.default is None:
            continue
        if declared["choices"] and value not in declared["choices"]:
            raise ValueError(
                f"Argument `{field.name}` must be one of "
                f"{', '.join(filter(None, declared['choices']))}, received {value!r}."
            )
        if kind in (int, float):
            ranges.check(f"Argument `{field.name}`", value, kind, declared["allowed"])
        else:
            check(options, field.name, isinstance(value, kind), _TYPES[kind])
        if declared["list_of"]:
            numbers(options, field.name)


def numbers(options, name):
    """Returns the numbers of an option that is a text with commas between them, in a list."""
    (field,) = (field for field in dataclasses.fields(options) if field.name == name)
    declared = field.metadata
    return ranges.parse_list(
        f"Argument `{name}`",
        getattr(options, name),
        declared["list_of"],
        declared["allowed"],
        declared["distinct"],
    )


def check(options, name, holds, expected):
    """Raises ValueError, which says what is expected of a field, where that does not hold."""
    if not holds:
        raise ValueError(
            f"Argument `{name}` must be {expected}, received {getattr(options, name)!r}."
        )


def check_of_tasks(options, tasks):
    """Raises ValueError where an option of another task than those of a run was changed.

    Args:
      options: of `option`.
      tasks: names of the tasks, as they are published.
    """
    for field in dataclasses.fields(options):
        owner = _OF_TASKS.get(field.name)
        if owner and owner not in tasks and getattr(options, field.name) != field.default:
            raise ValueError(
                f"Argument `{field.name}` belongs to the task {owner}, received "
                f"{getattr(options, field.name)!r} with {' and '.join(tasks)}; leave it out."
            )


def check_left_out(options, names):
    """Raises ValueError where an option that the method does not use was changed."""
    for field in dataclasses.fields(options):
        if field.name in names:
            is_default = getattr(options, field.name) == field.default
            check(options, field.name, is_default, f"left out with method={options.method}")


@dataclasses.dataclass(frozen=True)
class FinetuneOptions:
    """Settings of `bert_tf.finetune`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    # What to train, on what, and where to put it.
    task_name: str = option("", "GLUE task, xnli, squad, mlm, or tsv for files of your own.")
    data_dir: str = option("", "Folder of the task in its published layout.")
    tasks: str = option("", "Tasks to train together instead, with commas: RTE,STS-B,tsv.")
    glue_dir: str = option("", "Of tasks: folder with one for each, of its name: RTE, STS-B, tsv.")
    task_masks: str = option("", "Of tasks: mask files of their units, RTE=path,STS-B=path.")
    tfds: str = option("", "Data set of TFDS instead, such as glue/sst2; glue for all of tasks.")
    init_checkpoint: str = option("", "BERT to start from: folder or checkpoint, any format.")
    output_dir: str = option("", "Folder for the model, checkpoints and TensorBoard files.")
    mask: str = option("", "Mask file: what it removes is gone, weights that it masks stay 0.")
    bert_config_file: str = option("", "BERT config, if it does not lie beside the checkpoint.")
    vocab_file: str = option("", "Vocabulary, if it does not lie beside the checkpoint.")
    do_lower_case: bool = option(
        None, "Uncased vocabulary; else the checkpoint or its words say so."
    )
    text_columns: str = option("", "Task tsv: one or two column names, separated by a comma.")
    label_column: str = option("", "Task tsv: name of the label's column.")
    label_type: str = option("class", "Task tsv: what a label is.", ("class", "number"))
    quoting: str = option(
        "minimal", "Task tsv: how fields are quoted; none if quotes mean nothing.", QUOTINGS
    )
    language: str = option("en", "Task xnli: its language, two letters.")
    doc_stride: int = option(
        128, "Task squad: tokens between the starts of two windows.", allowed=FROM_1
    )
    max_query_length: int = option(
        64, "Task squad: tokens of a question that are kept.", allowed=FROM_1
    )
    n_best_size: int = option(
        20, "Task squad: starts and ends combined, answers kept.", allowed=FROM_1
    )
    max_answer_length: int = option(30, "Task squad: the most tokens of an answer.", allowed=FROM_1)
    train_file: str = option("", "Task mlm: text of data_dir to train on; train.txt.")
    dev_file: str = option("", "Task mlm: text of data_dir to evaluate on; dev.txt.")
    # Data.
    do_train: bool = option(True, "Trains; otherwise the model at hand is evaluated.")
    do_eval: bool = option(True, "Scores the dev set at every checkpoint.")
    do_predict: bool = option(False, "Writes predictions for the test set at the end.")
    max_seq_length: int = option(
        None,
        "Longest input in WordPieces; longer ones are cut. 128, of squad windows of 384.",
        allowed=SEQUENCE_LENGTH,
    )
    train_batch_size: int = option(
        32, "Examples a training step, over all devices.", allowed=FROM_1
    )
    gradient_accumulation_steps: int = option(
        1, "Parts of that batch, one after the other.", allowed=PARTS
    )
    eval_batch_size: int = option(64, "Examples a batch of evaluation.", allowed=FROM_1)
    predict_batch_size: int = option(64, "Examples a batch of prediction.", allowed=FROM_1)
    num_train_epochs: float = option(3.0, "Passes over the training set.", allowed=ABOVE_0)
    train_examples: int = option(
        0, "Trains on the first N of the rest alone, of each task; 0 is all.", allowed=FROM_0
    )
    train_subset: int = option(
        0, "Trains on N examples drawn by the seed alone; 0 is all.", allowed=FROM_0
    )
    holdout_examples: int = option(
        0,
        "Training examples held out, of squad whole articles; they choose the best model.",
        allowed=FROM_0,
    )
    holdout_seed: int = option(0, "Which ones, whatever the seed of the run.", allowed=SEED)
    length_buckets: str = option(
        "",
        "Widths of batches next to max_seq_length; ascending multiples of 8.",
        allowed=FROM_1,
        list_of=int,
    )
    # Weights.
    optimizer: str = option(
        "adamw", "Adam of BERT, or Adamax as MT-DNN trains BERT.", tuple(optimization.OPTIMIZERS)
    )
    learning_rate: float = option(
        5e-5, "Rate of the weights, decays to 0; 0 trains gates alone.", allowed=FROM_0
    )
    warmup_proportion: float = option(
        0.1, "Share of the run in which that rate grows, below 1.", allowed=SHARE_BELOW_1
    )
    weight_decay: float = option(0.01, "Decoupled decay of kernels and embeddings.", allowed=FROM_0)
    regularization_scale: float = option(0.0, "L2 on kernels and factors.", allowed=FROM_0)
    hidden_dropout_prob: float = option(
        None, "Dropout of hidden states; of the checkpoint.", allowed=SHARE_BELOW_1
    )
    attention_probs_dropout_prob: float = option(
        None, "Dropout of attention; of the checkpoint.", allowed=SHARE_BELOW_1
    )
    seed: int = option(0, "Of everything random.", allowed=SEED)
    # Gates.
    gate: str = option(
        "",
        "Gates of a factorized model, or magnitude masks of a dense one; by --target_sparsity "
        "hard_concrete.",
        gates.PRUNING.after("", "none"),
    )
    factorized: bool = option(False, "As in the original: train factors without gates.")
    target_sparsity: float = option(
        None, "Sparsity of the dense kernels to reach, in [0, 1).", allowed=SHARE_BELOW_1
    )
    target_sparsity_warmup: int = option(
        None,
        "Steps to it, 0 at once; 4/5 of the gates' training, of magnitude masks all.",
        allowed=FROM_0,
    )
    mask_update_steps: int = option(
        None,
        "Steps between two updates of magnitude masks; a hundredth of theirs, at least 10.",
        allowed=FROM_1,
    )
    gate_freeze_fraction: float = option(
        0.5, "Share of the run after which gates are fixed.", allowed=SHARE_ABOVE_0
    )
    initial_log_alpha: float = option(
        3.0, "Start of log_alpha, at the boundary if ordered.", allowed=FINITE
    )
    gate_order_examples: int = option(
        1600,
        "Training examples whose gradients order new gates by importance; 0 starts all equal.",
        allowed=FROM_0,
    )
    alpha_learning_rate: float = option(
        None, "Rate of the gates; from the run's length.", allowed=FROM_0
    )
    lambda_learning_rate: float = option(
        None, "Rate of the multipliers; from the run's length.", allowed=FROM_0
    )
    learning_rate_warmup: int = option(
        0, "Steps in which the rates of gates and multipliers grow.", allowed=FROM_0
    )
    gate_schedule: str = option("constant", "Of both rates after that.", ("constant", "noam"))
    sparsity_base: str = option(
        "dense", "Also shows sparsity over the factors, as the original.", ("dense", "factorized")
    )
    # Distillation.
    teacher: str = option("", "Model directory whose logits the student learns.")
    distill_alpha: float = option(
        0.9, "Share of the distillation loss, with a teacher.", allowed=SHARE
    )
    distill_temperature: float = option(
        2.0, "Temperature of the distillation loss.", allowed=ABOVE_0
    )
    # Running.
    save_checkpoints_steps: int = option(
        0, "Steps between checkpoints; 0 is 1000 or an epoch.", allowed=FROM_0
    )
    keep_checkpoints: int = option(2, "Newest checkpoints that stay.", allowed=FROM_1)
    mixed_precision: str = option("none", "Type of activations.", ("none", "float16", "bfloat16"))
    jit_compile: bool = option(False, "Compiles the training step by XLA.")
    deterministic: bool = option(False, "Operations of a GPU give the same numbers every time.")
    # Devices.
    distribution_strategy: str = option(
        "one_device", "How a step is spread over devices.", distribution.STRATEGIES
    )
    num_gpus: int = option(None, "GPUs of this machine to use; all there are.", allowed=FROM_0)
    tpu: str = option("", "Address or name of a TPU; empty or local is the one of this machine.")
    worker_hosts: str = option("", "Workers as host:port with commas, where TF_CONFIG is not set.")
    task_index: int = option(
        -1, "Which of them this process is, from 0.", allowed=Range(at_least=-1)
    )
    worker_timeout: int = option(600, "Seconds to wait for the other workers.", allowed=FROM_0)

    def __post_init__(self):
        check_fields(self)
        self._check_tasks()
        others = {"task_name": self.tfds or self.tasks, "data_dir": self.glue_dir}
        for name in ("task_name", "data_dir", "init_checkpoint", "output_dir"):
            if not getattr(self, name) and not others.get(name):
                raise ValueError(f"Argument `{name}` is needed, received nothing.")
        self._check_widths()
        fits = self.gradient_accumulation_steps <= self.train_batch_size
        check(self, "gradient_accumulation_steps", fits, "at most `train_batch_size`")
        for field in dataclasses.fields(self):
            unused = field.name in _OF_TEACHERS and not self.teacher
            fits = not unused or getattr(self, field.name) == field.default
            check(self, field.name, fits, "left out without a `teacher`")
        if self.factorized and (self.gate or self.target_sparsity is not None):
            raise ValueError(
                "Argument `factorized` trains factors without gates, received "
                f"gate={self.gate!r} and target_sparsity={self.target_sparsity} beside it."
            )
        if self.gate == "none" and self.target_sparsity is not None:
            raise ValueError(
                "Argument `target_sparsity` needs gates, received gate='none' and "
                f"target_sparsity={self.target_sparsity}."
            )
        if self.gate in gates.BY_MAGNITUDE and self.target_sparsity is None:
            raise ValueError(
                f"Argument `gate={self.gate}` needs `target_sparsity`, which its masks reach by a "
                "schedule, received none."
            )

    @property
    def gate_name(self):
        """Name of the gate that a model without gates gets, or None."""
        if self.factorized or self.gate == "none":
            return None
        if self.gate:
            return self.gate
        return None if self.target_sparsity is None else "hard_concrete"

    @property
    def most_epochs(self):
        """Epochs of the longest training of a run."""
        return self.num_train_epochs

    @property
    def widths(self):
        """The widths that `length_buckets` names, a list of ints."""
        return numbers(self, "length_buckets")

    def _check_widths(self):
        if not (widths := self.widths):
            return
        # With the task its default length is known, and this is checked again.
        longest = self.max_seq_length or widths[-1]
        check(self, "length_buckets", max(widths) <= longest, "widths up to `max_seq_length`")
        fit = all(width % WIDTH_STEP == 0 or width == longest for width in widths)
        expected = f"ascending multiples of {WIDTH_STEP}, or `max_seq_length` itself"
        check(self, "length_buckets", fit and widths == sorted(widths), expected)

    def _check_tasks(self):
        """Checks what several tasks allow."""
        if not self.tasks:
            for name in ("glue_dir", "task_masks"):
                if getattr(self, name):
                    raise ValueError(
                        f"Argument `{name}` belongs to `tasks`, received {getattr(self, name)!r} "
                        "without them."
                    )
            return
        if not (self.glue_dir or self.tfds):
            raise ValueError(
                "Argument `glue_dir` is needed for `tasks`, the folder with one for each, received "
                "nothing."
            )
        if self.glue_dir and (self.tfds or self.data_dir not in ("", self.glue_dir)):
            raise ValueError(
                f"Argument `glue_dir` excludes `data_dir` and `tfds`, received {self.glue_dir!r} "
                f"beside {self.tfds or self.data_dir!r}."
            )
        for name, why in (
            ("task_name", "names a single task"),
            ("teacher", "has the logits of a single task"),
            ("regularization_scale", "moves weights that a batch's task masks"),
            ("train_subset", "draws examples of a single task"),
        ):
            if getattr(self, name):
                raise ValueError(
                    f"Argument `{name}` {why} and excludes `tasks`, received {getattr(self, name)} "
                    f"and {self.tasks!r}."
                )
