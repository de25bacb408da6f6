"""What the subnetworks of all seeds share, as tickets of their own, and others of that size.

Reference: When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import os

import numpy as np

from bert_tf.pruning import masks as mask_files
from bert_tf.pruning import units
from bert_tf.tickets import ticket_file
from flop_tf import files, subnetworks

#: The kinds of tickets, see `flop_tf.subnetworks`.
KINDS = ("super_good", "super_bad", "super_random")


def write(folder, config, masks, method, seed=0, **about):
    """Writes the tickets of one task and returns what `tickets.json` says of them, plain data.

    Args:
      folder: where to write.
      config: the `BertConfig` of the whole model.
      masks: list of `{"heads": bool [L, N], "ffn": bool [L]}`, one for each seed.
      method: what found the masks.
      seed: int, of what is drawn.
      **about: plain data for the files: task, model_dir, ...

    Raises:
      ValueError: if there are no masks or they are of different shapes.
      OSError: if a file cannot be written.
    """
    rng = np.random.default_rng(seed)
    found = {kind: {} for kind in KINDS}
    for unit in ("heads", "ffn"):
        stacked = [mask[unit] for mask in masks]
        good = subnetworks.super_good(stacked)
        bad = subnetworks.super_bad(stacked, rng)
        drawn = subnetworks.super_random(good, bad, rng)
        for kind, mask in zip(KINDS, (good, bad, drawn), strict=True):
            found[kind][unit] = mask
    tickets = [
        ticket_file.write(
            folder,
            kind,
            kind,
            config,
            units.by_path(mask),
            {unit: int(np.sum(~kept)) for unit, kept in mask.items()},
            method,
            **about,
            seed=seed,
        )
        for kind, mask in found.items()
    ]
    data = {"method": method, "model": mask_files.identity(config), **about, "tickets": tickets}
    files.write_json(os.path.join(folder, ticket_file.TICKETS_FILE), data)
    return tickets
