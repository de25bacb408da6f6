"""The splits of a task: which source is read, and which of its examples are used."""

import numpy as np

from bert_tf.data import batching


class Splits:
    """Splits by name. A subclass has `name`, `splits` and `arguments`, see `Task`."""

    @property
    def dev_splits(self):
        """Names of the splits to evaluate on; the first one decides."""
        return self.expand("dev")

    @property
    def test_splits(self):
        """Names of the splits to predict."""
        return self.expand("test")

    def expand(self, split):
        """Returns the splits that `split` names: "dev" of MNLI is two.

        Args:
          split: name of a split, or what comes before the first underscore of several.

        Returns:
          Tuple of names, at least one.

        Raises:
          ValueError: if the task has no such split.
        """
        names = tuple(name for name, _ in self.splits)
        found = tuple(name for name in names if name == split or name.startswith(f"{split}_"))
        if not found:
            raise self._no_split(split)
        return found

    def source(self, data_dir, split):
        """Returns the first source of a split that exists in `data_dir`.

        Args:
          data_dir: folder of the task.
          split: one of the names in `splits`.

        Raises:
          ValueError: if there is no such split or none of its files.
        """
        if not data_dir:
            raise ValueError(f"Task {self.name} needs `data_dir`, the folder of its files.")
        sources = dict(self.splits).get(split)
        if sources is None:
            raise self._no_split(split)
        for source in sources:
            if source.exists(data_dir):
                return source
        files = list(dict.fromkeys(source.file for source in sources))
        raise ValueError(
            f"Task {self.name} reads its split {split!r} from {' or '.join(files)}, but the folder "
            f"{str(data_dir)!r} has no such file."
        )

    def _no_split(self, split):
        tfds = dict(self.arguments).get("tfds")
        source = f" in the data set {tfds!r}" if tfds else ""
        return ValueError(
            f"Task {self.name} has no split {split!r}{source}, expected one of "
            f"{[name for name, _ in self.splits]}."
        )

    def holdout(self, examples, num_examples, seed):
        """Splits examples at random, see `bert_tf.data.batching.holdout`.

        Args:
          examples: the result of `Task.read`.
          num_examples: int from 0 on, below their number.
          seed: int; the same seed splits the same way.

        Returns:
          `(rest, held out)`, both as the examples.
        """
        return batching.holdout(examples, num_examples, seed)

    def first(self, examples, num_examples):
        """Returns the first examples.

        Args:
          examples: the result of `Task.read`.
          num_examples: int, the most to take.
        """
        return examples.take(range(min(num_examples, len(examples))))

    def sample(self, examples, num_examples, seed):
        """Returns examples that are drawn at random, in their old order.

        Args:
          examples: the result of `Task.read`.
          num_examples: int, in [1, number of examples].
          seed: int; the same seed draws the same examples.

        Raises:
          ValueError: if there are fewer.
        """
        if not 1 <= num_examples <= len(examples):
            raise ValueError(
                f"Argument `train_subset` must be at most the {len(examples)} training examples, "
                f"received {num_examples}."
            )
        chosen = np.random.default_rng(seed).permutation(len(examples))[:num_examples]
        return examples.take(np.sort(chosen))
