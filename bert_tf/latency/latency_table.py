"""How long the parts of a model take on an engine at a shape: measured once, saved, looked up.

B batch, T tokens, I inputs, O outputs, R rank, N heads, D head size, F feed-forward.
"""

import dataclasses
import functools
import glob
import os
import typing

from bert_tf.encoders.execution import TRAINING
from bert_tf.latency import terms
from flop_tf import files
from flop_tf.files import json_file

#: The latency table of an engine in the folder of an export, by its name.
TABLE_FILE = os.path.join("assets.extra", "latency_table.{}.json")

_ADVICE = "flop-benchmark --table makes one"
# What of an environment decides how fast an engine is.
_MACHINE = {"device": "", "cores": " cores", "threads": " threads"}


class _Row(typing.TypedDict):
    term: str
    size: json_file.Count
    seconds: json_file.Number
    spread: json_file.Number


class _Data(typing.TypedDict):
    engine: str
    shape: tuple[json_file.Size, json_file.Size]
    hidden_size: json_file.Size
    head_size: json_file.Size
    rows: list[_Row]
    environment: json_file.Object


@dataclasses.dataclass(frozen=True)
class LatencyTable:
    """Seconds of the parts of a model; a model takes their sum.

    ```python
    table = LatencyTable.load("runs/table/latency_table.json")
    table.predict(config)                               # seconds of a whole model
    table.attention(7) - table.product(384, 224) + table.product(384, 224, rank=32)
    ```

    A sublayer is what it takes more than its bias, residual and LayerNorm, which always stay, so
    that one without heads or neurons takes 0.

    Args:
      engine: name in `bert_tf.serving.engines.ENGINES`.
      shape: `(B, T)`.
      hidden_size: H of the models.
      head_size: D of the models.
      seconds: `{(term, size): (seconds, spread)}`, see `terms`; the size is N or F, else 0; the
        spread is the interquartile range over the rounds of the measurement, in seconds.
      environment: device, threads and versions, see `bert_tf.timing.environment`.
    """

    engine: str
    shape: tuple
    hidden_size: int
    head_size: int
    seconds: dict
    environment: dict

    @functools.cached_property
    def sizes(self):
        """The measured numbers of heads and neurons by term, increasing."""
        return {
            term: sorted(size for name, size in self.seconds if name == term)
            for term in terms.CURVES
        }

    def has(self, term):
        """Returns whether a term, one of `terms`, was measured: not every engine has all ways.

        Args:
          term: its name, a text.
        """
        return (term, 0) in self.seconds

    def predict(self, config, execution=TRAINING):
        """Returns the seconds of a model.

        Args:
          config: an `EncoderConfig` without gates.
          execution: its `Execution`; default the one of training.

        Raises:
          ValueError: if the table is of models of another width.
        """
        self.check_config(config)
        return self.total(terms.of_model(config, execution, self.sizes))

    def attention(self, num_heads):
        """Returns the seconds of an attention sublayer with dense projections.

        Args:
          num_heads: N, a number of at least 0, which need not be whole.
        """
        return self.total(terms.of_curve(terms.ATTENTION, num_heads, self.sizes))

    def ffn(self, num_neurons):
        """Returns the seconds of an FFN sublayer with dense projections.

        Args:
          num_neurons: F, a number of at least 0, which need not be whole.
        """
        return self.total(terms.of_curve(terms.FFN, num_neurons, self.sizes))

    def sublayer(self, kind, number):
        """Returns the seconds of a sublayer with dense projections by its units.

        Args:
          kind: "heads" or "neurons".
          number: N or F, see `attention` and `ffn`.
        """
        return self.attention(number) if kind == "heads" else self.ffn(number)

    def product(self, inputs, outputs, rank=None):
        """Returns the seconds of a projection's products, of any two ways the difference counts.

        Args:
          inputs: I, at least 1.
          outputs: O, at least 1.
          rank: R of two factors, 0 for a bias alone; default None, a dense kernel.
        """
        dense = self.total({(terms.KERNEL, 0): inputs * outputs})
        return dense + self.total(terms.of_product(inputs, outputs, rank))

    def total(self, counts):
        """Returns the seconds of terms.

        An engine that computes a way like the usual one lacks its terms, which take nothing.

        Args:
          counts: how often by `(term, size)`, see `terms`.
        """
        known = {key: seconds for key, (seconds, _) in self.seconds.items()}
        return sum(count * known.get(key, 0.0) for key, count in counts.items())

    def check_config(self, config):
        """Raises ValueError if the table is of models of another width.

        Args:
          config: an `EncoderConfig`.
        """
        if (config.hidden_size, config.head_size) != (self.hidden_size, self.head_size):
            raise ValueError(
                f"The latency table must be of models with hidden_size={config.hidden_size} and "
                f"heads of {config.head_size}, received one of hidden_size={self.hidden_size} and "
                f"heads of {self.head_size}; measure one for this model by flop-benchmark --table."
            )

    def save(self, path):
        """Writes the table as a JSON file.

        Args:
          path: path of the file.
        """
        rows = [
            {"term": term, "size": size, "seconds": seconds, "spread": spread}
            for (term, size), (seconds, spread) in sorted(self.seconds.items())
        ]
        described = {
            field: getattr(self, field) for field in _Data.__annotations__ if field != "rows"
        }
        files.write_json(path, {**described, "shape": list(self.shape), "rows": rows})

    @classmethod
    def load(cls, path):
        """Returns the table in a file of `save`.

        Args:
          path: path of the file.

        Raises:
          ValueError: if there is no such file or it holds something else.
        """
        data = json_file.read(path, _Data, "latency table", _ADVICE)
        seconds = {
            (row["term"], row["size"]): (float(row["seconds"]), float(row["spread"]))
            for row in data["rows"]
        }
        if not all(any(term == name for name, size in seconds if size) for term in terms.CURVES):
            raise ValueError(
                f"The latency table {os.fspath(path)!r} must have seconds of some numbers of heads "
                f"and neurons, received none; {_ADVICE}."
            )
        return cls(
            data["engine"],
            tuple(data["shape"]),
            data["hidden_size"],
            data["head_size"],
            seconds,
            data["environment"],
        )


def load_for(path, engines, shape, config, environment):
    """Returns the table in a file if it is of an engine, shape, model and machine.

    Args:
      path: path of the file.
      engines: names of engines; it must be of one of them.
      shape: `(B, T)`.
      config: the `EncoderConfig` of the model.
      environment: of this machine, see `bert_tf.serving.latency_measurement.environment`.

    Raises:
      ValueError: if there is no such file or it is of something else.
    """
    table = LatencyTable.load(path)
    known = table.engine if table.engine in engines else " or ".join(engines)
    for what, wanted, given in (
        ("engine", known, table.engine),
        ("shape", "x".join(map(str, shape)), "x".join(map(str, table.shape))),
        ("machine", _machine(environment), _machine(table.environment)),
    ):
        if wanted != given:
            raise ValueError(
                f"The latency table {path!r} must be of the {what} {wanted}, received one of "
                f"{given}; measure one by flop-benchmark --table."
            )
    table.check_config(config)
    return table


def paths_of(places, engines):
    """Returns the paths of latency tables: files as they are, in a folder those of engines.

    Args:
      places: paths of files of latency tables, or of the folders of exports.
      engines: names of engines.

    Raises:
      ValueError: if a folder has no table of any engine.
    """
    found = []
    for place in places:
        if os.path.isdir(place):
            tables = glob.glob(os.path.join(glob.escape(place), TABLE_FILE.format("*")))
            if not tables:
                raise ValueError(
                    f"The folder {place!r} must be of an export with latency tables, but it has no "
                    f"{TABLE_FILE.format('ENGINE')!r}; {_ADVICE}."
                )
            wanted = [os.path.join(place, TABLE_FILE.format(engine)) for engine in engines]
            found += [path for path in wanted if path in tables]
        else:
            found.append(place)
    return found


def _machine(environment):
    """Returns a text that names device, cores and threads of an environment."""
    return ", ".join(f"{environment.get(key)}{unit}" for key, unit in _MACHINE.items())
