"""What a fine-tuning run reads: examples to train on, to score and to predict, and a teacher."""

import tensorflow as tf

from bert_tf.checkpoints import model_dir
from bert_tf.data import batch_plan, batching
from bert_tf.heads import losses
from bert_tf.runs import teacher

# Examples a batch where gradients are squared: small, see `flop_tf.rank_importance`.
SMALL_BATCH = 8


def training_examples(task, data_dir, options):
    """Returns the examples that a run trains on, and the ones that it holds out or None.

    Args:
      task: of `bert_tf.tasks.registry`.
      data_dir: its folder.
      options: anything with `holdout_examples`, `holdout_seed`, `train_subset`, `seed` and
        `train_examples`, see `FinetuneOptions`.

    Raises:
      ValueError: if a file does not fit the task, or a number what it has.
    """
    examples, held = task.read(data_dir, "train"), None
    if options.holdout_examples:
        examples, held = task.holdout(examples, options.holdout_examples, options.holdout_seed)
    if options.train_subset:
        examples = task.sample(examples, options.train_subset, options.seed)
    if options.train_examples:
        examples = task.first(examples, options.train_examples)
    return examples, held


def check_length(max_seq_length, config, model="checkpoint"):
    """Raises ValueError where a model has fewer positions than the longest input has tokens.

    Args:
      max_seq_length: of the run.
      config: the `EncoderConfig` of the model.
      model: what it is called in the sentence.
    """
    if max_seq_length > config.num_positions:
        raise ValueError(
            f"Argument `max_seq_length` must be at most {config.num_positions}, the "
            f"positions of the {model}, received {max_seq_length}."
        )


class RunData:
    """The encoded examples of a run.

    Attributes:
      train: examples of training, without the held-out ones.
      splits: encoded examples to score, by split; "holdout" is the first where there is one.
      tests: examples to predict, by split.
      report_split: the split whose scores go without a prefix.
      select_split: the split that chooses the best checkpoint, or None.
      total_steps: of the run.
      save_steps: steps between checkpoints.

    Args:
      options: `FinetuneOptions`.
      task: of `bert_tf.tasks.registry`.
      tokenizer: of the student.

    Raises:
      ValueError: if a file does not fit the task or the teacher the student.
    """

    def __init__(self, options, task, tokenizer):
        self._options, self._task, self._tokenizer = options, task, tokenizer
        self.splits, self.tests = {}, {}
        self.train = None
        self.total_steps = self.save_steps = 1  # Of a run without training.
        if options.do_train or options.holdout_examples:
            self._read_train()
        if options.do_eval:
            for split in task.dev_splits:
                self.splits[split] = self._encode(task.read(options.data_dir, split))
        # Read now: a missing file must not come to light after hours of training.
        if options.do_predict:
            for split in task.test_splits:
                self.tests[split] = task.read(options.data_dir, split)
        self.teacher_logits = self._teach() if options.teacher and options.do_train else None
        self.report_split = task.dev_splits[0]
        # Held-out examples choose the best checkpoint, so that dev stays untouched by the choice.
        self.select_split = next(iter(self.splits), None)

    def train_batches(self, first_step, context=None):
        """Returns the batches of the run from a step on, with the teacher's logits if it has one.

        Args:
          first_step: steps that were made already.
          context: `tf.distribute.InputContext` of the process; None is one replica in one process.

        Returns:
          `tf.data.Dataset` of `(features, labels, weights)`, an element for each of the
          process' replicas in turn. Processes that are not synchronous share the steps.
        """
        options, context = self._options, context or tf.distribute.InputContext()
        if context.num_replicas_in_sync < (pipelines := context.num_input_pipelines):
            return self.train_batches(first_step).shard(pipelines, context.input_pipeline_id)
        dataset = batching.replica_dataset(
            self.train,
            options.train_batch_size,
            options.seed,
            first_step,
            self.total_steps - first_step,
            self.widths,
            context,
            options.gradient_accumulation_steps,
        )
        if (change := self._task.batch_change(self._tokenizer)) is not None:
            dataset = self._changed(dataset, change, first_step, context)
        if self.teacher_logits is None:
            return dataset.map(lambda *batch: batch[:3])
        logits = tf.constant(self.teacher_logits)

        def with_teacher(features, labels, weights, index):
            return (
                {**features, losses.TEACHER_LOGITS: tf.gather(logits, tf.maximum(index, 0))},
                labels,
                weights,
            )

        return dataset.map(with_teacher)

    def small_batches(self, num_examples):
        """Returns small batches for gradients of single examples.

        Args:
          num_examples: int of at least 1.

        Returns:
          `tf.data.Dataset` of `(features, labels, index)`, of as many examples or a few more.
        """
        steps = -(-min(num_examples, len(self.train)) // SMALL_BATCH)
        return batching.training_dataset(
            self.train, SMALL_BATCH, seed=self._options.seed, num_steps=steps
        )

    def _changed(self, dataset, change, first_step, context):
        """Returns batches as the task changes them, each by a seed of step and replica."""
        replicas, local = context.num_replicas_in_sync, batch_plan.local_replicas(context)

        def changed(number, batch):
            features, _, *rest = batch
            step = first_step + number // len(local)
            replica = local.start + number % len(local)
            return *change(features, [self._options.seed, step * replicas + replica]), *rest

        return dataset.enumerate().map(changed)

    def _encode(self, examples, training=False):
        return self._task.encode(
            examples, self._tokenizer, self._options.max_seq_length, training=training
        )

    def _read_train(self):
        options = self._options
        train, held = training_examples(self._task, options.data_dir, options)
        if held is not None:
            self.splits["holdout"] = self._encode(held)
        self.train = self._encode(train, training=True)
        steps_per_epoch = self.train.num_batches(options.train_batch_size)
        # Now: what cannot be planned must not come to light after a stage was trained.
        batch_size = min(options.train_batch_size, len(self.train))
        batch_plan.check_run(options.most_epochs * steps_per_epoch, batch_size)
        self.total_steps = max(1, round(options.num_train_epochs * steps_per_epoch))
        self.save_steps = options.save_checkpoints_steps or min(1000, steps_per_epoch)

    def _teach(self):
        """Returns the teacher's logits of the training examples, `[N, ...]`."""
        folder, ours = self._options.teacher, self._tokenizer
        source = model_dir.read(folder)
        theirs = source.tokenizer()
        if theirs.digest != ours.digest or theirs.rules != ours.rules:
            rules = theirs.rules
            other = next((k for k, v in ours.rules.items() if rules.get(k) != v), "vocabulary")
            other = "case" if other == "do_lower_case" else other
            raise ValueError(
                f"The teacher {folder!r} must have the vocabulary and the case of the student, "
                f"received another {other if theirs.digest == ours.digest else 'vocabulary'}."
            )
        self._task.check_head(source.config, f"the teacher {folder!r}")
        logits = teacher.logits(source, folder, self.train, self._options.eval_batch_size)
        outputs = self._task.outputs_of(source.labels, f"the teacher {folder!r}")
        return self._task.head_class.of_outputs(logits, outputs)

    @property
    def widths(self):
        """Returns the widths that batches may have; None is every multiple of 8."""
        longest = self._options.max_seq_length
        if self._options.length_buckets:
            return [*self._options.widths, longest]
        if self._options.distribution_strategy == "tpu":
            return [longest]  # A TPU wants to know all shapes beforehand.
        if not self._options.jit_compile:
            return None
        # XLA compiles every width anew.
        return [*(width for width in (16, 32, 64) if width < longest), longest]
