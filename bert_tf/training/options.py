"""Every setting of a fine-tuning run, with its default and one line of help.

The program `tools/finetune.py` makes its flags from these fields. Names are the
original's where it has one; the defaults are ours and prune at the first try.
"""

import dataclasses
import math

from bert_tf.data.table_rows import QUOTINGS
from bert_tf.training import distribution, optimization
from flop_tf import gates


def option(default, text, choices=None):
    """Returns a dataclass field with a help text and, where given, the allowed values."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


def check_choices(options):
    """Raises ValueError where a field of a dataclass of `option` has none of its allowed values."""
    for field in dataclasses.fields(options):
        value, choices = getattr(options, field.name), field.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(
                f"Argument `{field.name}` must be one of {', '.join(filter(None, choices))}, "
                f"received {value!r}."
            )


def check(options, name, holds, expected):
    """Raises ValueError, which says what is expected of a field, where that does not hold."""
    if not holds:
        raise ValueError(
            f"Argument `{name}` must be {expected}, received {getattr(options, name)!r}."
        )


def check_left_out(options, names):
    """Raises ValueError where one of the fields that `options.method` has not is no default."""
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
    do_lower_case: bool = option(None, "Uncased vocabulary; taken from the checkpoint, or true.")
    text_columns: str = option("", "Task tsv: one or two column names, separated by a comma.")
    label_column: str = option("", "Task tsv: name of the label's column.")
    label_type: str = option("class", "Task tsv: what a label is.", ("class", "number"))
    quoting: str = option(
        "minimal", "Task tsv: how fields are quoted; none if quotes mean nothing.", QUOTINGS
    )
    language: str = option("en", "Task xnli: its language, two letters.")
    doc_stride: int = option(128, "Task squad: tokens between the starts of two windows.")
    max_query_length: int = option(64, "Task squad: tokens of a question that are kept.")
    n_best_size: int = option(20, "Task squad: starts and ends combined, answers kept.")
    max_answer_length: int = option(30, "Task squad: the most tokens of an answer.")
    train_file: str = option("", "Task mlm: text of data_dir to train on; train.txt.")
    dev_file: str = option("", "Task mlm: text of data_dir to evaluate on; dev.txt.")
    # Data.
    do_train: bool = option(True, "Trains; otherwise the model at hand is evaluated.")
    do_eval: bool = option(True, "Scores the dev set at every checkpoint.")
    do_predict: bool = option(False, "Writes predictions for the test set at the end.")
    max_seq_length: int = option(
        None, "Longest input in WordPieces; longer ones are cut. 128, of squad windows of 384."
    )
    train_batch_size: int = option(32, "Examples a training step, over all devices.")
    gradient_accumulation_steps: int = option(1, "Parts of that batch, one after the other.")
    eval_batch_size: int = option(64, "Examples a batch of evaluation.")
    predict_batch_size: int = option(64, "Examples a batch of prediction.")
    num_train_epochs: float = option(3.0, "Passes over the training set.")
    train_examples: int = option(
        0, "Trains on the first N of the rest alone, of each task; 0 is all."
    )
    train_subset: int = option(0, "Trains on N examples drawn by the seed alone; 0 is all.")
    holdout_examples: int = option(
        0, "Training examples held out, of squad whole articles; they choose the best model."
    )
    holdout_seed: int = option(0, "Which ones, whatever the seed of the run.")
    length_buckets: str = option("", "Widths of batches beside max_seq_length; multiples of 8.")
    # Weights.
    optimizer: str = option(
        "adamw", "Adam of BERT, or Adamax as MT-DNN trains BERT.", tuple(optimization.OPTIMIZERS)
    )
    learning_rate: float = option(5e-5, "Rate of the weights, decays to 0; 0 trains gates alone.")
    warmup_proportion: float = option(0.1, "Share of the run in which that rate grows, below 1.")
    weight_decay: float = option(0.01, "Decoupled decay of kernels and embeddings.")
    regularization_scale: float = option(0.0, "L2 on kernels and factors.")
    hidden_dropout_prob: float = option(None, "Dropout of hidden states; of the checkpoint.")
    attention_probs_dropout_prob: float = option(None, "Dropout of attention; of the checkpoint.")
    seed: int = option(0, "Of everything random.")
    # Gates.
    gate: str = option(
        "",
        "Gates of a factorized model, or magnitude masks of a dense one; by --target_sparsity "
        "hard_concrete.",
        ("", "none", *gates.PRUNING),
    )
    factorized: bool = option(False, "As in the original: train factors without gates.")
    target_sparsity: float = option(None, "Sparsity of the dense kernels to reach, in [0, 1).")
    target_sparsity_warmup: int = option(
        None, "Steps to it, 0 at once; 4/5 of the gates' training, of magnitude masks all."
    )
    mask_update_steps: int = option(
        None, "Steps between two updates of magnitude masks; a hundredth of theirs, at least 10."
    )
    gate_freeze_fraction: float = option(0.5, "Share of the run after which gates are fixed.")
    initial_log_alpha: float = option(3.0, "Start of log_alpha, at the boundary if ordered.")
    gate_order_examples: int = option(
        1600, "Training examples whose gradients order new gates by importance; 0 starts all equal."
    )
    alpha_learning_rate: float = option(None, "Rate of the gates; from the run's length.")
    lambda_learning_rate: float = option(None, "Rate of the multipliers; from the run's length.")
    learning_rate_warmup: int = option(0, "Steps in which the rates of gates and multipliers grow.")
    gate_schedule: str = option("constant", "Of both rates after that.", ("constant", "noam"))
    sparsity_base: str = option(
        "dense", "Also shows sparsity over the factors, as the original.", ("dense", "factorized")
    )
    # Distillation.
    teacher: str = option("", "Model directory whose logits the student learns.")
    distill_alpha: float = option(0.9, "Share of the distillation loss, with a teacher.")
    distill_temperature: float = option(2.0, "Temperature of the distillation loss.")
    # Running.
    save_checkpoints_steps: int = option(0, "Steps between checkpoints; 0 is 1000 or an epoch.")
    keep_checkpoints: int = option(2, "Newest checkpoints that stay.")
    mixed_precision: str = option("none", "Type of activations.", ("none", "float16", "bfloat16"))
    jit_compile: bool = option(False, "Compiles the training step by XLA.")
    deterministic: bool = option(False, "Operations of a GPU give the same numbers every time.")
    # Devices.
    distribution_strategy: str = option(
        "one_device", "How a step is spread over devices.", distribution.STRATEGIES
    )
    num_gpus: int = option(None, "GPUs of this machine to use; all there are.")
    tpu: str = option("", "Address or name of a TPU; empty or local is the one of this machine.")
    worker_hosts: str = option("", "Workers as host:port with commas, where TF_CONFIG is not set.")
    task_index: int = option(-1, "Which of them this process is, from 0.")
    worker_timeout: int = option(600, "Seconds to wait for the other workers.")

    def __post_init__(self):
        check_choices(self)
        self._check_tasks()
        others = {"task_name": self.tfds or self.tasks, "data_dir": self.glue_dir}
        for name in ("task_name", "data_dir", "init_checkpoint", "output_dir"):
            if not getattr(self, name) and not others.get(name):
                raise ValueError(f"Argument `{name}` is needed, received nothing.")
        for name in ("train_batch_size", "eval_batch_size", "predict_batch_size"):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        longest = math.inf if self.max_seq_length is None else self.max_seq_length
        check(self, "max_seq_length", longest >= 3, "at least 3")
        check(self, "num_train_epochs", 0 < self.num_train_epochs < math.inf, "above 0")
        check(
            self, "gradient_accumulation_steps", self.gradient_accumulation_steps >= 1, "at least 1"
        )
        steps = self.mask_update_steps
        check(self, "mask_update_steps", steps is None or steps >= 1, "at least 1")
        check(self, "keep_checkpoints", self.keep_checkpoints >= 1, "at least 1")
        for name in (
            "train_examples",
            "train_subset",
            "holdout_examples",
            "gate_order_examples",
            "learning_rate",
            "weight_decay",
            "regularization_scale",
            "learning_rate_warmup",
            "save_checkpoints_steps",
            "target_sparsity_warmup",
            "alpha_learning_rate",
            "lambda_learning_rate",
        ):
            value = getattr(self, name)
            check(self, name, value is None or 0 <= value < math.inf, "at least 0")
        for name in ("seed", "holdout_seed"):
            check(self, name, 0 <= getattr(self, name) < 2**31, "in [0, 2147483648)")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, name)
            check(self, name, value is None or 0 <= value < 1, "in [0, 1)")
        widths = [width.strip() for width in self.length_buckets.split(",")]
        holds = not self.length_buckets or all(
            width.isdecimal() and int(width) <= longest for width in widths
        )
        check(
            self, "length_buckets", holds, "widths up to `max_seq_length` with commas between them"
        )
        check(self, "warmup_proportion", 0 <= self.warmup_proportion < 1, "in [0, 1)")
        check(self, "distill_alpha", 0 <= self.distill_alpha <= 1, "in [0, 1]")
        check(self, "gate_freeze_fraction", 0 < self.gate_freeze_fraction <= 1, "in (0, 1]")
        check(self, "distill_temperature", self.distill_temperature > 0, "above 0")
        if self.target_sparsity is not None:
            check(self, "target_sparsity", 0 <= self.target_sparsity < 1, "in [0, 1)")
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
