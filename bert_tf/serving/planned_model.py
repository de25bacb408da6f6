"""A model as it is served: in each format as the latency table of its engine recommends."""

from bert_tf.serving import constant_folding, execution_plan, rank_ranges
from bert_tf.serving.served_model import ServedModel


class PlannedModels:
    """The models that are exported in place of one; formats of equal plans share one.

    Sublayers that are the same for every token are folded into biases first.

    Args:
      model: a `BertModel` without gates.
      service: its `bert_tf.serving.services.Service`.
      tables: by name of a format the `LatencyTable` of the engine that it is planned for, or a
        ValueError that says why there is none.
      batches: list of inputs by which factors are balanced, see `rank_ranges.maxima`; default none.
    """

    def __init__(self, model, service, tables, batches=()):
        self._model, self._service = constant_folding.fold(model), service
        self._rank_maxima = rank_ranges.maxima(self._model, batches)
        self._tables, self._served, self._chosen = tables, [], {}

    def served(self, name):
        """Returns the `ServedModel` for a format.

        Args:
          name: of the format.

        Raises:
          ValueError: if there is no table, or one of models of another width.
        """
        plan, _ = self._choose(name)
        for known, served in self._served:
            if known == plan:
                return served
        model = execution_plan.apply(self._model, plan, self._rank_maxima)
        served = ServedModel(model, self._service, plan.config.num_positions)
        self._served.append((plan, served))
        return served

    def describe(self, name):
        """Returns the form of the model for a format and why, plain data; fails as `served`.

        Args:
          name: of the format.
        """
        plan, choices = self._choose(name)
        return {
            "config": plan.config.to_dict(),
            "execution": plan.execution.to_dict(),
            "choices": choices,
            "latencies_of": self._tables[name].environment,
        }

    def _choose(self, name):
        if name not in self._chosen:
            table = self._tables[name]
            if isinstance(table, ValueError):
                raise table
            self._chosen[name] = execution_plan.choose(self._model.config, table)
        return self._chosen[name]
