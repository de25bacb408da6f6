"""The objective of scores that are trained while all weights but the head stay as they are.

How scores start and thresholds follow is in `flop_tf.training.mask_training`, how scores make the
mask of a step in `flop_tf.gates.straight_through`.
"""

import dataclasses

import numpy as np

from bert_tf.methods.text_masks.mask_loss import MaskLoss
from bert_tf.runs.optimization import decaying_adam
from bert_tf.surgery import masks, units
from bert_tf.tasks.mlm import MlmTask
from flop_tf.training import mask_rules, mask_training
from flop_tf.training.task_objective import TaskObjective


class TrainedScores(TaskObjective):
    """Trains a score for each weight of a BERT, or for each unit.

    Adam trains the scores and our usual optimizer the head. Both rates decay to 0, and both
    gradients are clipped to norm 1, each on its own.

    Attributes:
      model: the BERT with gates, compiled.

    Args:
      options: `MaskOptions`.
      data: `SearchData`.
    """

    def __init__(self, options, data):
        self.options = options
        self.model = model = _with_gates(options, data.source).model(**MlmTask.head)
        groups = _groups(options, model.encoder, data.importance)
        self._freeze_weights(groups)
        self._scored = mask_training.ScoredMasks(groups)
        rng = np.random.default_rng(options.seed)
        self._scored.start(options.first_scores, self._sparsity(0), rng)
        self._first = self._scored.masks()
        scores, weights = _optimizers(options, model)
        super().__init__(
            gate_optimizer=scores,
            train_weights=options.mlm,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            seed=options.seed,
            loss=MaskLoss(options.loss_terms(), data.teacher),
        )
        model.compile(weights, loss=data.task.loss(), objective=self)

    def begin(self, model):
        """Notes the masks from which training starts or goes on."""
        self._last = self._scored.masks()
        return super().begin(model)

    def callbacks(self):
        """Returns the callback that sets the thresholds anew, between two steps."""
        every = self.options.update_every
        return [mask_training.Rethresholding(self._scored, self._sparsity, every)]

    def scored(self, step):
        """Returns a context that yields the masks of a step by path; the model is under them.

        Thresholds are put back after it: when training sets its own must not depend on who looks.
        """
        return self._scored.rethresholded(self._sparsity(step))

    def changes(self, now):
        """Returns the shares of entries that differ from the first masks and from the last ones.

        Args:
          now: dict of the boolean masks of a step; they are the last ones of the next call.
        """
        size = sum(map(np.size, now.values()))
        then = {"mask_distance": self._first, "mask_change": self._last}
        self._last = now
        return {
            name: sum(np.count_nonzero(now[path] != masks[path]) for path in now) / size
            for name, masks in then.items()
        }

    def found(self, step):
        """Returns the masks after a number of steps, of exactly its sparsity, a dict by path.

        Args:
          step: number of updates so far.
        """
        return self._scored.project(self._sparsity(step))

    def _freeze_weights(self, groups):
        encoder = self.model.encoder
        encoder.trainable = False
        for gate, _ in (pair for group in groups for pair in group.values()):
            gate.trainable = True
        # Nothing on text reads the pooler, so that its mask stays the first one.
        encoder.pooler.trainable = False

    def _sparsity(self, step):
        """Returns the sparsity to have after a number of steps."""
        options = self.options
        if options.start_sparsity is None:
            return options.sparsity
        progress = step / options.num_train_steps
        return mask_rules.cubic_sparsity(options.start_sparsity, options.sparsity, progress)


def _optimizers(options, model):
    """Returns the optimizers of scores and weights, both built."""
    steps, decay = options.num_train_steps, options.score_weight_decay or None
    settings = {"epsilon": 1e-8, "bias_correction": True, "weight_decay": decay}
    scores = decaying_adam(options.score_rate, steps, model.gate_variables(), **settings)
    return scores, decaying_adam(options.learning_rate, steps, model.weight_variables())


def _with_gates(options, source):
    if options.unit_kinds:
        config = units.with_gates(source.config, options.unit_kinds, options.binarizer)
        return dataclasses.replace(source, config=config)
    return masks.with_gates(source, options.binarizer, options.blocks)


def _groups(options, encoder, importance):
    """Returns the groups of `ScoredMasks`: one a matrix, or one a kind of units.

    What is large is kept at first: of units the importance, or without any the norm of the weights
    after each.
    """
    if not options.unit_kinds:
        return [
            {path: (gate, lambda variable=variable: variable.numpy())}
            for path, gate, variable in encoder.weight_gates()
        ]
    groups = {kind: {} for kind in options.unit_kinds}
    for path, gate in encoder.unit_gates():
        _, index, kind = path.split(".")
        if options.blocks is None or int(index) in options.blocks:
            sizes = importance.get(path)
            if sizes is None:
                sizes = _size_of_units(encoder.blocks[int(index)], kind)
            groups[kind][path] = gate, lambda sizes=sizes: sizes
    return list(groups.values())


def _size_of_units(block, kind):
    """Returns the norm of the weights after each head or neuron of a block."""
    projection = {"heads": block.attention_output, "neurons": block.ffn_out}[kind]
    kernel = projection.kernel.numpy()
    return np.linalg.norm(kernel.reshape(block.layer.num_units(kind), -1), axis=1)
