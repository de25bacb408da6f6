"""Texts and labels of one split, and the tables of the published layouts they come from."""

import dataclasses
import os

import numpy as np
from absl import logging

from bert_tf.data.text_files import read_lines


@dataclasses.dataclass(frozen=True)
class Examples:
    """N texts or pairs of texts.

    Args:
      texts_a: list of N strings.
      texts_b: list of N strings, or None for single texts.
      labels: `[N]`, int32 classes or float32 scores, or None where the split has none.
      ids: list of N strings, the index of the published file or the row number from 0.
    """

    texts_a: list
    texts_b: list | None
    labels: np.ndarray | None
    ids: list

    def __len__(self):
        return len(self.texts_a)

    def take(self, indices):
        """Returns the examples at `indices`, in that order."""
        return Examples(
            [self.texts_a[i] for i in indices],
            None if self.texts_b is None else [self.texts_b[i] for i in indices],
            None if self.labels is None else self.labels[np.asarray(indices, np.int64)],
            [self.ids[i] for i in indices],
        )


@dataclasses.dataclass(frozen=True)
class Table:
    """Where a tab-separated file holds its examples. Quotes have no meaning in it.

    Args:
      file: path inside the data folder.
      texts: names of the one or two text columns.
      label: name of the label column, or None; a test file may lack it.
      id: name of the column that predictions are filed under, or None for the row number.
      header: names of the columns of a file without a header line, or None.
      where: `(column, value)` that a row must have to count, or None.
      pairs_file: file of the pairs of ids (MRPC's `dev_ids.tsv`) that choose rows, or None.
      in_pairs: whether the rows in `pairs_file` are taken or the others.
      label_is_optional: whether the label column may be absent, as in test files.
      skips_short_rows: whether rows with too few fields are counted and left out instead of an
        error.
    """

    file: str
    texts: tuple
    label: str | None = None
    id: str | None = None
    header: tuple | None = None
    where: tuple | None = None
    pairs_file: str | None = None
    in_pairs: bool = True
    label_is_optional: bool = False
    skips_short_rows: bool = False

    def exists(self, data_dir):
        """Whether every file that this table needs lies in `data_dir`."""
        files = [self.file] if self.pairs_file is None else [self.file, self.pairs_file]
        return all(os.path.isfile(os.path.join(data_dir, file)) for file in files)

    def read(self, data_dir):
        """Reads the rows that count.

        Returns:
          `(texts, labels, ids, line_numbers)`: a list of strings for each text
          column, strings or None, strings, and ints from 1.

        Raises:
          ValueError: if the file is missing, empty, not UTF-8, lacks a column,
            has no rows, or has a row with too few fields.
        """
        path = os.path.join(data_dir, self.file)
        lines = read_lines(path, "data file")
        header = self.header or tuple(lines[0].split("\t"))
        has_label = self.label in header or not self.label_is_optional
        columns = [*self.texts, *([self.label] if self.label and has_label else [])]
        _check_columns(path, columns, header)
        numbered = enumerate(lines if self.header else lines[1:], start=1 if self.header else 2)
        rows = self._rows(path, numbered, header, columns)
        if self.pairs_file is not None:
            rows = self._chosen(data_dir, path, rows, header)
        if not rows:
            raise ValueError(f"The data file {path!r} has no examples for this task.")
        values = [[row[header.index(name)] for _, row in rows] for name in columns]
        num_texts = len(self.texts)
        ids = (
            [row[header.index(self.id)] for _, row in rows]
            if self.id in header
            else [str(i) for i in range(len(rows))]
        )
        labels = values[num_texts] if len(values) > num_texts else None
        return values[:num_texts], labels, ids, [number for number, _ in rows]

    def _rows(self, path, numbered, header, columns):
        """Returns `(line number, fields)` of the lines that are not blank and that count."""
        needed = 1 + max(header.index(name) for name in columns)
        rows, num_short = [], 0
        for number, line in numbered:
            fields = line.split("\t")
            if not line.strip():
                continue
            if len(fields) < needed:
                if not self.skips_short_rows:
                    raise ValueError(
                        f"The data file {path!r} needs at least {needed} fields in each line, "
                        f"received {len(fields)} in line {number}."
                    )
                num_short += 1
            elif self.where is None or fields[header.index(self.where[0])] == self.where[1]:
                rows.append((number, fields))
        if num_short:
            logging.warning("%s: left out %d rows with too few fields.", path, num_short)
        return rows

    def _chosen(self, data_dir, path, rows, header):
        """Returns the rows that `pairs_file` chooses."""
        names = ("#1 ID", "#2 ID")
        _check_columns(path, names, header)
        columns = [header.index(name) for name in names]
        lines = read_lines(os.path.join(data_dir, self.pairs_file), "data file")
        pairs = {tuple(line.split("\t")) for line in lines}
        return [
            (number, fields)
            for number, fields in rows
            if (tuple(fields[i] for i in columns) in pairs) == self.in_pairs
        ]


def _check_columns(path, columns, header):
    if missing := [name for name in columns if name not in header]:
        raise ValueError(
            f"The data file {path!r} needs the columns {missing}, its first line has "
            f"{[name[:40] for name in header[:12]]}."
        )
