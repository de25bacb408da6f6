"""A BERT without what costs more than it is worth, repaired: no training is needed."""

import dataclasses

from absl import logging

from bert_tf.methods.compress import block_repair, unit_choice, unit_energy
from bert_tf.surgery import compression, narrow_heads, projection_statistics, units
from flop_tf import surgery
from flop_tf.linalg import factorization

#: What is above a target by more than this share is kept only if nothing else was found.
MOST_ABOVE = 0.03

# Batches on which two cuts of each sublayer are compared.
_COMPARED_BATCHES = 8
# How near to a target what is measured must be, else a cut is corrected for it; and how often.
_TOLERANCE, _MOST_CUTS = 0.02, 5


class UnitCuts:
    """Cuts of one model to targets of its cost.

    Args:
      source: the `bert_tf.checkpoints.Source` with its head, without gates; factors of its
        projections are merged, so that they are chosen anew.
      encoded: `EncodedExamples` of training, at least 64; labels are not looked at.
      groups: names of `unit_choice.GROUPS` that may go; default sublayers, heads and neurons.
      ordered_by: function of energies and model that returns energies to go by, such as
        `unit_energy.with_fisher`; default None, their own.
    """

    def __init__(self, source, encoded, groups=unit_choice.GROUPS[:3], ordered_by=None):
        config, weights = compression.merged(source.config, source.weights)
        self.source = dataclasses.replace(source, config=config, weights=weights)
        self.model, self.dataset = self.source.model(), block_repair.batches(encoded)
        energies = unit_energy.unit_energies(self.model, self.dataset)
        if ordered_by is not None:
            energies = ordered_by(energies, self.model)
        some = self.dataset.shard(max(1, len(self.dataset) // _COMPARED_BATCHES), 0)
        self._moments = moments = None
        if "head_dimensions" in groups:
            self._moments = narrow_heads.head_moments(self.model, self.dataset)
        if "ranks" in groups:
            moments = projection_statistics.second_moments(self.model, self.dataset)
        logging.info("Measuring what %d sublayers are worth.", len(energies))
        self.sublayers = unit_choice.sublayers(
            self.source, energies, some, groups, self._moments, moments
        )

    def choose(self, cost, allowed, measure=None):
        """Returns what each sublayer keeps for a target, a `unit_choice.Cut` by path.

        Args:
          cost: a `unit_costs.Cost`.
          allowed: what the model may cost, a number above 0.
          measure: function of an `EncoderConfig` that measures what such a model really costs over
            what is allowed; the cut is corrected until that is 1 to two hundredths. None trusts
            `cost`.

        Raises:
          ValueError: if the model with the least that may stay costs more.
        """
        choice = unit_choice.Choice(self.sublayers, self.source.config, cost)
        wanted, tried = allowed, []
        for _ in range(_MOST_CUTS if measure else 1):
            try:
                cuts = choice.within(wanted)
            except ValueError:
                if not tried:
                    raise
                break  # A correction is out of reach.
            ratio = measure(self.config_under(cuts)) if measure else 1.0
            logging.info("A cut has %.3f of its target.", ratio)
            # What is too slow comes after all that is not.
            tried.append((ratio > 1 + MOST_ABOVE, abs(ratio - 1), len(tried), cuts))
            if abs(ratio - 1) <= _TOLERANCE:
                break
            wanted /= ratio
        return min(tried)[-1]

    def config_under(self, cuts):
        """Returns the `EncoderConfig` of what cuts leave.

        Args:
          cuts: of `choose`.
        """
        config = self.source.config
        for path, cut in cuts.items():
            _, index, kind = path.split(".")
            layers = list(config.layers)
            layers[int(index)] = cut.applied(config, int(index), kind)
            config = dataclasses.replace(config, layers=tuple(layers))
        return config

    def smaller(self, cuts, repair=True):
        """Returns the `Source` of what cuts leave.

        Args:
          cuts: of `choose`.
          repair: whether its projections are repaired.

        Returns:
          `(Source, report)`, the latter of `block_repair.repair`, {} without.
        """
        final, report = self.config_under(cuts), {}
        dense = self._with_kernels(cuts)
        found = dense.model()
        if repair:
            report = block_repair.repair(found, self.model, dense.model(), self.dataset)
        specs = {(i, name): spec for i, name, spec, _ in final.projections() if spec.rank}
        if specs:
            moments = projection_statistics.second_moments(found, self.dataset)
            ranked = compression.with_factors(
                dense.config,
                surgery.named_weights(found),
                specs,
                moments,
                factorization.SPLITS["whitened"],
            )
            found = dataclasses.replace(dense, config=ranked[0], weights=ranked[1]).model()
            if repair:
                report = block_repair.repair(found, self.model, dense.model(), self.dataset)
        return dataclasses.replace(
            self.source, config=final, weights=surgery.named_weights(found)
        ), report

    def _with_kernels(self, cuts):
        """Returns the `Source` of what cuts leave, but for ranks: its projections stay dense."""
        mask, sizes = {}, {}
        for sublayer in self.sublayers:
            cut = cuts[sublayer.path]
            mask[sublayer.path] = sublayer.keep(cut.number)
            if cut.key_size or cut.value_size:
                sizes[int(sublayer.path.split(".")[1])] = cut.key_size, cut.value_size
        config, weights = self.source.config, self.source.weights
        config, weights = units.remove(config, weights, mask)
        moments = {
            index: narrow_heads.HeadMoments(
                *(part[mask[f"blocks.{index}.heads"]] for part in self._moments[index])
            )
            for index in sizes
        }
        config, weights = narrow_heads.narrow(config, weights, moments, sizes)
        return dataclasses.replace(self.source, config=config, weights=weights)
