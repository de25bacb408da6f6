"""Texts and labels of one split, and the tables of the published layouts they come from."""

import dataclasses
import itertools
import os

import numpy as np
from absl import logging

from bert_tf.data import table_rows


@dataclasses.dataclass(frozen=True)
class Examples:
    """N texts or pairs of texts.

    Args:
      texts_a: list of N strings.
      texts_b: list of N strings, or None for single texts.
      labels: `[N]`, int32 classes or float32 scores, or float32 `[N, C]` of several labels or
        numbers, or None where the split has none.
      ids: list of N strings, the index of the published file or the row number from 0.
    """

    texts_a: list
    texts_b: list | None
    labels: np.ndarray | None
    ids: list

    def __len__(self):
        return len(self.texts_a)

    def take(self, indices):
        """Returns the examples at `indices`, in that order.

        Args:
          indices: sequence of ints.
        """
        return Examples(
            [self.texts_a[i] for i in indices],
            None if self.texts_b is None else [self.texts_b[i] for i in indices],
            None if self.labels is None else self.labels[np.asarray(indices, np.int64)],
            [self.ids[i] for i in indices],
        )


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A file with one split of a task; its classes have a method `read(data_dir)`.

    Args:
      file: path inside the data folder.
    """

    file: str

    def exists(self, data_dir):
        """Whether the file lies in `data_dir`.

        Args:
          data_dir: folder of the task.
        """
        return os.path.lexists(os.path.join(data_dir, self.file))


@dataclasses.dataclass(frozen=True)
class Table:
    """Where a file of rows holds its examples.

    Args:
      file: path inside the data folder: `.jsonl` has an object a line, commas separate the fields
        of a `.csv` file, else tabs.
      texts: names of the text columns.
      label: name of the label column, a tuple of several, or None; a test file may lack them.
      id: name of the column that predictions are filed under, or None for the row number.
      header: names of the columns of a file without a header line, or None.
      where: `(column, value)` that a row must have to count, or None.
      pairs_file: file of the pairs of ids (MRPC's `dev_ids.tsv`) that choose rows, or None.
      in_pairs: whether the rows in `pairs_file` are taken or the others.
      label_is_optional: whether the label column may be absent, as in test files.
      skips_short_rows: whether rows with too few fields are counted and left out instead of an
        error.
      quoting: one of `bert_tf.data.table_rows.QUOTINGS`. Defaults to "none": quotes have no
        meaning in published files.
      is_rectangular: whether each row must have as many fields as the header. Defaults to False:
        no fewer than are needed.
      excludes: files that must not lie next to it, since they could be meant as well.
      is_numbered: whether columns are numbers from 1, of a file without a header line.
      label_may_be_list: whether a label of JSON lines may be a list of texts, then a tuple.
    """

    file: str
    texts: tuple
    label: str | tuple | None = None
    id: str | None = None
    header: tuple | None = None
    where: tuple | None = None
    pairs_file: str | None = None
    in_pairs: bool = True
    label_is_optional: bool = False
    skips_short_rows: bool = False
    quoting: str = "none"
    is_rectangular: bool = False
    excludes: tuple = ()
    is_numbered: bool = False
    label_may_be_list: bool = False

    def exists(self, data_dir):
        """Returns whether every file that this table needs lies in a folder.

        Args:
          data_dir: the folder.
        """
        needed = [self.file] if self.pairs_file is None else [self.file, self.pairs_file]
        return all(os.path.lexists(os.path.join(data_dir, file)) for file in needed)

    def read(self, data_dir):
        """Reads the rows that count.

        Args:
          data_dir: the folder of the file.

        Returns:
          `(texts, labels, ids, line_numbers)`: a list of strings for each text
          column, strings or None, strings, and ints from 1, where the rows begin. Of several label
          columns the labels are tuples of strings.

        Raises:
          ValueError: if the file is missing, empty, not UTF-8, lacks a column or has it twice,
            has no rows, has a row with too few fields or, where it is rectangular, too many, or in
            place of a text something else.
        """
        path = os.path.join(data_dir, self.file)
        check_alone(data_dir, self.file, self.excludes)
        rows = table_rows.read(path, self.quoting)
        header, rows = self._header(path, rows)
        if not header:
            raise ValueError(f"The data file {path!r} is empty.")
        columns, keys = self._columns(header), self._keys
        if self.is_numbered and max(map(int, columns)) > len(header):
            raise ValueError(
                f"The data file {path!r} needs the columns {columns}, counted from 1, but its "
                f"first row has {len(header)}."
            )
        _check_columns(path, (*columns, *keys), header)
        places, counts = [header.index(name) for name in columns], self._chooser(data_dir, header)
        least = 1 + max(map(header.index, (*columns, *keys)))
        found = [
            (number, *[fields[i] for i in places])
            for number, fields in self._complete(path, rows, header, least)
            if counts(fields)
        ]
        if not found:
            raise ValueError(f"The data file {path!r} has no examples for this task.")
        numbers, *values = map(list, zip(*found, strict=True))
        table = dict(zip(columns, values, strict=True))
        self._check_texts(path, table, numbers)
        ids = table.get(self.id) or [str(i) for i in range(len(numbers))]
        return [table[name] for name in self.texts], self._labels(table), ids, numbers

    def _check_texts(self, path, table, numbers):
        """Raises ValueError where JSON has something else than a text in a column."""
        for name, values in table.items():
            may_be_list = name == self.label and self.label_may_be_list
            for number, value in zip(numbers, values, strict=True):
                if isinstance(value, str):
                    continue
                is_list = isinstance(value, tuple)
                if may_be_list and is_list and all(isinstance(one, str) for one in value):
                    continue
                received = "a list" if is_list else "nothing" if value is None else "an object"
                wanted = "a text or a list of texts" if may_be_list else "a text"
                raise ValueError(
                    f"The data file {path!r} must have {wanted} in the column {name!r}, received "
                    f"{received} in line {number}."
                )

    def _labels(self, table):
        if isinstance(self.label, tuple) and table.keys() >= set(self.label):
            return list(zip(*(table[name] for name in self.label), strict=True))
        return table.get(self.label)

    def _header(self, path, rows):
        """Returns the names of the columns, numbers where there are none, and the rows."""
        if self.header:
            return self.header, rows
        number, first = next(rows, (1, ()))
        if not self.is_numbered or not first:
            return tuple(first), rows
        logging.info("%s: the first row is one of text, for columns are numbers: %s", path, first)
        numbers = tuple(str(1 + place) for place in range(len(first)))
        return numbers, itertools.chain([(number, first)], rows)

    def _columns(self, header):
        """Returns the names of the columns to read."""
        labels = self.label if isinstance(self.label, tuple) else (self.label,)
        # Without a header line nothing says that it is there but its number.
        if self.label_is_optional and not set(labels) & set(header):
            labels = ()
        names = (*self.texts, *labels, self.id if self.id in header else None)
        return [name for name in names if name]

    def _complete(self, path, rows, header, least):
        """Yields the rows with at least so many fields, as many as in the header if rectangular."""
        num_short, first = 0, "first row" if self.is_numbered else "header"
        for number, fields in rows:
            if self.is_rectangular and len(fields) != len(header):
                holds = f"{table_rows.delimiter(path)!r} or a line break"
                advice = f"no field may hold {holds}"
                if self.quoting != "none":
                    advice = f"a field that holds {holds} must stand in quotes"
                raise ValueError(
                    f"The data file {path!r} must have {len(header)} fields in each row, as in its "
                    f"{first}, received {len(fields)} in line {number}; {advice}."
                )
            if len(fields) >= least:
                yield number, fields
            elif self.skips_short_rows:
                num_short += 1
            else:
                raise ValueError(
                    f"The data file {path!r} needs at least {least} fields in each line, "
                    f"received {len(fields)} in line {number}."
                )
        if num_short:
            logging.warning("%s: left out %d rows with too few fields.", path, num_short)

    @property
    def _keys(self):
        """Names of the columns by which rows are chosen."""
        return self.where[:1] if self.where else ("#1 ID", "#2 ID") if self.pairs_file else ()

    def _chooser(self, data_dir, header):
        """Returns a function that says whether the fields of a row count."""
        places = [header.index(name) for name in self._keys]
        if self.where:
            return lambda fields: fields[places[0]] == self.where[1]
        if self.pairs_file:
            rows = table_rows.read(os.path.join(data_dir, self.pairs_file), "none")
            pairs = {tuple(fields) for _, fields in rows}
            return lambda fields: (tuple(fields[i] for i in places) in pairs) == self.in_pairs
        return lambda fields: True


def check_alone(data_dir, file, others):
    """Raises ValueError where a file lies next to others that could be meant as well.

    Args:
      data_dir: the folder.
      file: name of the file in it.
      others: names of the others.
    """
    for other in others:
        if os.path.lexists(os.path.join(data_dir, other)):
            raise ValueError(
                f"The folder {str(data_dir)!r} must have one of {file} and {other}, "
                "received both; remove the one that is not meant."
            )


def _check_columns(path, columns, header):
    first = [name[:40] for name in header[:12]]
    if missing := [name for name in columns if name not in header]:
        raise ValueError(
            f"The data file {path!r} needs the columns {missing}, its first line has {first}."
        )
    if twice := [name for name in columns if header.count(name) > 1]:
        raise ValueError(
            f"The data file {path!r} must have the columns {twice} once, its first line has "
            f"{first}."
        )
