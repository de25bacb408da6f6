"""What a search for a mask reads: a dense BERT, its texts, and a teacher."""

from bert_tf.checkpoints import read_source
from bert_tf.methods.tickets import importance_file
from bert_tf.runs.run_data import RunData, check_length
from bert_tf.surgery import masks
from bert_tf.tasks.mlm import MlmTask


class SearchData:
    """The inputs of a search.

    Attributes:
      source: the dense BERT, a `bert_tf.checkpoints.Source`; one with a trained head may take
        its place.
      tokenizer: its tokenizer.
      task: the task of masked words on the texts.
      text: their blocks, a `RunData`.
      teacher: a BERT to learn from, or None where nothing is learned from one.
      importance: dict of the importances of units by path, empty where none are given.
      mask: dict of the boolean arrays of a mask to score by path, or None.

    Args:
      options: `MaskOptions`.

    Raises:
      ValueError: if a file, an option or what the checkpoint holds does not fit.
    """

    def __init__(self, options):
        self.source = _read_dense(options)
        self.tokenizer = self.source.tokenizer(options.do_lower_case)
        self.task = MlmTask(train_file=options.train_file, dev_file=options.dev_file)
        _check_sizes(options, self.source.config)
        self.text = RunData(options.finetune_options(), self.task, self.tokenizer)
        self.teacher = _read_teacher(options, self.source, self.tokenizer)
        self.importance = _read_importance(options, self.source.config)
        self.mask = masks.load(options.mask, self.source.config).masks if options.mask else None
        if self.teacher is not None:
            self._check_teacher(options.loss_terms())
        if options.mlm and not (self.has_head or options.train_head):
            raise ValueError(
                f"The checkpoint {options.init_checkpoint!r} must have a head of masked language "
                "modelling, received none; pass --train_head to train one first, or learn from a "
                "teacher alone by --mlm=false."
            )

    @property
    def has_head(self):
        """Whether the BERT has a head of masked language modelling."""
        return self.source.config.head == MlmTask.head["head"] and self.source.has_head

    def _check_teacher(self, terms):
        # Now: what does not fit must not come to light after the head was trained.
        student = self.source
        if self.mask is not None:
            student = masks.apply(student, self.mask, tied=True)
        terms.check_teacher(student.config, self.teacher.config)


def _read_dense(options):
    files = options.bert_config_file, options.vocab_file
    source = read_source(options.init_checkpoint, *files, pretraining_head=True)
    masks.check_dense(source, f"The checkpoint {options.init_checkpoint!r}")
    return source


def _check_sizes(options, config):
    num_blocks = len(config.layers)
    if options.blocks and max(options.blocks) >= num_blocks:
        raise ValueError(
            f"Argument `layers_to_mask` must name blocks from 0 to {num_blocks - 1}, received "
            f"{options.layers_to_mask!r}."
        )
    check_length(options.max_seq_length, config)


def _read_teacher(options, student, tokenizer):
    if not options.loss_terms().distills:
        if options.teacher:
            raise ValueError(
                "Argument `teacher` needs something to learn from it: --distill_hidden, "
                f"--distill_attention or --distill_relation, received {options.teacher!r}."
            )
        return None
    source = student
    if options.teacher:
        source = read_source(options.teacher)
        other = source.tokenizer(options.do_lower_case)
        if (other.digest, other.rules) != (tokenizer.digest, tokenizer.rules):
            raise ValueError(
                f"The teacher {options.teacher!r} must have the vocabulary of the student, "
                "received another one."
            )
        check_length(options.max_seq_length, source.config, "teacher")
    return source.model(**MlmTask.head)


def _read_importance(options, config):
    found = {}
    if not options.importance:
        return found
    for path in options.importance.split(","):
        found |= importance_file.load(path.strip(), config)[0]
    for index, kind, _ in config.units(*options.unit_kinds):
        if f"blocks.{index}.{kind}" not in found:
            raise ValueError(
                f"Argument `importance` must name files with those of {kind}, received "
                f"{options.importance!r}; measure them by flop-find-tickets --units={kind}."
            )
    return found
