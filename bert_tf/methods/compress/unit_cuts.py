"""A BERT without the units that cost more than they are worth, repaired: no training is needed."""

import dataclasses

from absl import logging

from bert_tf.methods.compress import block_repair, unit_choice, unit_energy
from bert_tf.surgery import units
from flop_tf import surgery

#: What is above a target by more than this share is kept only if nothing else was found.
MOST_ABOVE = 0.03

# Batches on which two cuts of each sublayer are compared.
_COMPARED_BATCHES = 8
# How near to a target what is measured must be, else a cut is corrected for it; and how often.
_TOLERANCE, _MOST_CUTS = 0.02, 5


class UnitCuts:
    """Cuts of one model to targets of its cost.

    Args:
      source: the `bert_tf.checkpoints.Source` with its head, without gates.
      encoded: `EncodedExamples` of training, at least 64; labels are not looked at.
    """

    def __init__(self, source, encoded):
        self.source, self.model = source, source.model()
        self.dataset = block_repair.batches(encoded)
        energies = unit_energy.unit_energies(self.model, self.dataset)
        some = self.dataset.shard(max(1, len(self.dataset) // _COMPARED_BATCHES), 0)
        logging.info("Measuring what %d sublayers are worth.", len(energies))
        self.sublayers = unit_choice.sublayers(source, energies, some)

    def choose(self, cost, allowed, measure=None):
        """Returns the mask of the units that stay for a target, boolean arrays by path.

        Args:
          cost: a `unit_costs.Cost`.
          allowed: what the model may cost, a number above 0.
          measure: function of an `EncoderConfig` that measures what such a model really costs over
            what is allowed; the cut is corrected until that is 1 to two hundredths. None trusts
            `cost`.

        Raises:
          ValueError: if the model without any of its units costs more.
        """
        wanted, tried = allowed, []
        for _ in range(_MOST_CUTS if measure else 1):
            try:
                mask = unit_choice.choose(self.sublayers, self.source.config, cost, wanted)
            except ValueError:
                if not tried:
                    raise
                break  # A correction is out of reach.
            ratio = measure(units.config_under(self.source.config, mask)) if measure else 1.0
            logging.info("A cut has %.3f of its target.", ratio)
            # What is too slow comes after all that is not.
            tried.append((ratio > 1 + MOST_ABOVE, abs(ratio - 1), len(tried), mask))
            if abs(ratio - 1) <= _TOLERANCE:
                break
            wanted /= ratio
        return min(tried)[-1]

    def smaller(self, mask, repair=True):
        """Returns the `Source` without the units that a mask removes.

        Args:
          mask: of `choose`.
          repair: whether its projections are repaired.

        Returns:
          `(Source, report)`, the latter of `block_repair.repair`, {} without.
        """
        config, weights = units.remove(self.source.config, self.source.weights, mask)
        source = dataclasses.replace(self.source, config=config, weights=weights)
        if not repair:
            return source, {}
        student = source.model()
        report = block_repair.repair(student, self.model, mask, self.dataset)
        return dataclasses.replace(source, weights=surgery.named_weights(student)), report
