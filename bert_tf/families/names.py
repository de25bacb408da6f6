"""Name tables: where each weight of ours comes from in the files of a family."""

import collections.abc
import dataclasses

import numpy as np

from bert_tf.heads.head import HEADS


@dataclasses.dataclass(frozen=True)
class From:
    """Where a weight of ours comes from.

    A table is a dict of `From` by our path; `{i}` in both stands for the number of a block.

    Args:
      name: name in the source.
      transform: function of the source's array that returns ours.
    """

    name: str
    transform: collections.abc.Callable = np.asarray


#: Where our layers and blocks are.
EMBEDDINGS, BLOCK = "encoder.embeddings", "encoder.blocks.{i}"

#: The weights of PyTorch's `Linear`, which are `[O, I]`, and of its `LayerNorm`, for `layers`.
LINEAR = {"kernel": From(".weight", np.transpose), "bias": From(".bias")}
NORM = {"gamma": From(".weight"), "beta": From(".bias")}


@dataclasses.dataclass(frozen=True)
class Names:
    """How one format names the weights of a family.

    Args:
      table: `From` by our path, every head of the family included.
      ignored: regular expression of whole names that are no part of the model.
      prefix: of names, where a model has a head.
      optional: paths that a source may lack together; a model of it starts them anew.
    """

    table: dict[str, From]
    ignored: str = r"(?!)"
    prefix: str = ""
    optional: tuple[str, ...] = ()

    def of_task_heads(self):
        """Returns the table without the heads of pretraining."""
        tied = tuple(f"{name}." for name, head in HEADS.items() if head.is_tied)
        return without(self.table, *tied)

    def for_head(self, head):
        """Returns the same with one row for each name of the source.

        Heads may have their weights under the same names, as a classifier and the head of tokens
        of BERT.

        Args:
          head: name of ours whose rows stay; None, or where it has no such row, the first ones.
        """
        owners = {row.name: path for path, row in reversed(self.table.items())}
        own = (path for path in self.table if path.startswith(f"{head}."))
        owners |= {self.table[path].name: path for path in own}
        table = {path: row for path, row in self.table.items() if owners[row.name] == path}
        return dataclasses.replace(self, table=table)


def without(table, *starts):
    """Returns a table without the rows of some of our paths.

    Args:
      table: dict of `From` by our path.
      *starts: what such paths start with.
    """
    return {path: row for path, row in table.items() if not path.startswith(starts)}


def per_block(table, num_blocks):
    """Returns the table with each row of `{i}` repeated for every block.

    Args:
      table: dict of `From` by our path.
      num_blocks: number of blocks, at least 1.
    """
    return {
        path.replace("{i}", str(i)): From(row.name.replace("{i}", str(i)), row.transform)
        for path, row in table.items()
        for i in range(num_blocks if "{i}" in path else 1)
    }


def layers(names, rows):
    """Returns the rows of layers of one kind.

    Args:
      names: dict of the source's name of each layer by our path.
      rows: dict of `From` by our name of each weight of such a layer, as names below it.
    """
    return {
        f"{path}.{part}": From(name + row.name, row.transform)
        for path, name in names.items()
        for part, row in rows.items()
    }
