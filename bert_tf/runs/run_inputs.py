"""What a run starts from: its task, its checkpoint with the head of the task, and its data."""

import dataclasses

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.heads.head import head_of
from bert_tf.runs.run_data import RunData, check_length
from bert_tf.surgery import compression, masks, task_masks, units
from bert_tf.tasks import registry
from flop_tf import gates


class RunInputs:
    """The inputs of a run.

    Attributes:
      options: `FinetuneOptions`, with the length of the task where they name none.
      task: of `bert_tf.tasks.registry`.
      source: the `bert_tf.checkpoints.Source` to train, under its masks and with the task's head.
      changes: dict of the changes of its config.
      tokenizer: of the source.
      data: `RunData`.

    Args:
      options: `FinetuneOptions`.

    Raises:
      ValueError: if a file, an option or what the checkpoint holds does not fit.
    """

    def __init__(self, options):
        if options.glue_dir:
            options = dataclasses.replace(options, data_dir=options.glue_dir)
        self.task = registry.of_options(options)
        tied = self.task.head_class.is_tied
        files = options.bert_config_file, options.vocab_file
        source = read_source(options.init_checkpoint, *files, pretraining_head=tied)
        source = _with_head(source, self.task, options)
        self.tokenizer = source.tokenizer(options.do_lower_case)
        if options.mask:
            source = masks.apply(source, masks.load(options.mask, source.config).masks, tied)
        if options.task_masks:
            found = task_masks.load(options.task_masks, self.task, source.config)
            source = task_masks.with_masks(source, found)
        self.source = source
        length = options.max_seq_length or self.task.seq_length(source.info)
        self.options = options = dataclasses.replace(options, max_seq_length=length)
        self.changes = _config_changes(options, source, self.task)
        self.data = RunData(options, self.task, self.tokenizer)


def _with_head(source, task, options):
    owner = f"the checkpoint {options.init_checkpoint!r}"
    if options.do_train:
        return task.start(source, owner)
    if not task.has_head(source):
        raise ValueError(
            f"Argument `do_train=false` scores the model at hand, but {owner} has no task head; "
            "take one that was trained on this task."
        )
    return task.with_head(source, owner)


def _config_changes(options, source, task):
    config = source.config
    if options.teacher and task.head_class.is_tied:
        raise ValueError(
            f"Argument `teacher` needs a task with a logit for each class, received the task "
            f"{task.name!r}; train_mask.py distils hidden states on text."
        )
    task.check_masks(config, f"the checkpoint {options.init_checkpoint!r}")
    changes = dict(task.head)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    check_length(options.max_seq_length, config)
    if options.teacher:
        theirs = model_dir.read(options.teacher).config
        _check_logits(options.teacher, theirs, dataclasses.replace(config, **task.head))
        if options.distill_layers:
            _check_blocks(options.teacher, theirs, config)
    if options.factorized and config.has_gates:
        raise ValueError(
            "Argument `factorized` trains factors without gates, but the checkpoint "
            f"{options.init_checkpoint!r} has gates; remove them first with remove_mask.py."
        )
    if options.gate_name and config.has_gates:
        _check_gates(options, config)
    elif options.gate_name:
        changes["layers"] = _gated(config, options).layers
    return changes


def _gated(config, options):
    """Returns a config with the gates that the options name."""
    name, of_units = options.gate_name, options.gated_units
    for kind in options.kinds:
        if kind != "ranks" and not units.has_units(config, kind):
            raise ValueError(
                f"Argument `groups={options.groups}` needs a model with {kind}, but the checkpoint "
                f"{options.init_checkpoint!r} has none left; leave {kind} out."
            )
    arguments = gates.accepted(name, initial_log_alpha=options.initial_log_alpha)
    if "ranks" in options.kinds:
        config = compression.with_gates(config, name, **arguments)
    # Those over ranks are made first: a config of gates over units counts as gated.
    return units.with_gates(config, of_units, name, **arguments)


def _check_logits(teacher, theirs, config):
    """Raises ValueError where a teacher with the student's head gives vectors of another width."""
    wanted, found = head_of(config).num_logits, head_of(theirs).num_logits
    if (config.head, config.num_labels) == (theirs.head, theirs.num_labels) and wanted != found:
        raise ValueError(
            f"Argument `teacher` must give vectors of the student's width {wanted}, but "
            f"{teacher!r} gives some of {found}."
        )


def _check_blocks(teacher, theirs, config):
    """Raises ValueError where a teacher's hidden states are not those of a student."""
    wanted, found = (
        f"{one.num_hidden_layers} blocks of width {one.hidden_size}" for one in (config, theirs)
    )
    if wanted != found:
        raise ValueError(
            f"Argument `distill_layers` needs a teacher with the student's {wanted}, but "
            f"{teacher!r} has {found}; leave it out to learn the logits alone."
        )


def _check_gates(options, config):
    """Raises ValueError if a model has gates, but other ones than the options name."""
    kinds = {kind for layer in config.layers for kind in layer.gates}
    kinds |= {"ranks" for *_, spec, _ in config.projections() if spec.gate}
    wanted = {*options.gated_units, *({"ranks"} & set(options.kinds))}
    if options.kinds != ["ranks"] and wanted != kinds:
        raise ValueError(
            f"Argument `groups={options.groups}` needs a model without gates or with gates over "
            f"these, but {options.init_checkpoint!r} has some over "
            f"{', '.join(sorted(kinds)) or 'its weights'}; remove them first with remove_mask.py."
        )
    expected = {options.gate} if options.gate else set(gates.PRUNING)
    found = {spec.gate.get("name") for *_, spec, _ in config.projections() if spec.gate}
    if not found or not found <= expected:
        raise ValueError(
            f"Argument `gate={options.gate_name}` needs a model without gates or with gates of "
            f"{' or '.join(sorted(expected))} over its projections, but {options.init_checkpoint!r}"
            f"{' under its mask' if options.mask else ''} has those of "
            f"{', '.join(sorted(map(str, found))) or 'its units'}; remove them first with "
            "remove_mask.py."
        )
