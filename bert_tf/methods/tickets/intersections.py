"""What the subnetworks of all seeds share, as tickets of their own, and others of that size.

Reference: When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import os

import numpy as np

from bert_tf.methods.tickets import ticket_file
from bert_tf.surgery import masks as mask_files
from bert_tf.surgery import units
from flop_tf import files
from flop_tf.searches import subnetworks


def write(folder, config, masks, method, seed=0, **about):
    """Writes the tickets of one task and returns their entries in `tickets.json`, plain data.

    They are `super_good`, `super_bad` and for each seed `super_random-SEED`, drawn anew; see
    `flop_tf.searches.subnetworks`.

    Args:
      folder: where to write.
      config: the `EncoderConfig` of the whole model.
      masks: dict by seed of `{"heads": bool [L, N], "ffn": bool [L]}`.
      method: what found the masks.
      seed: int, of what is drawn.
      **about: plain data for the files: task, model_dir, ...

    Raises:
      ValueError: if there are no masks or they are of different shapes.
      OSError: if a file cannot be written.
    """
    rng = np.random.default_rng(seed)
    found = {u: _shared({s: mask[u] for s, mask in masks.items()}, rng) for u in ("heads", "ffn")}
    tickets = []
    for name in found["heads"]:
        mask = {unit: by_name[name] for unit, by_name in found.items()}
        removed = {unit: int(np.sum(~kept)) for unit, kept in mask.items()}
        kind, by_path = name.partition("-")[0], units.by_path(mask)
        tickets.append(
            ticket_file.write(
                folder, name, kind, config, by_path, removed, method, **about, seed=seed
            )
        )
    data = {"method": method, "model": mask_files.identity(config), **about, "tickets": tickets}
    files.write_json(os.path.join(folder, ticket_file.TICKETS_FILE), data)
    return tickets


def _shared(masks, rng):
    """Returns masks by the name of the ticket, of the masks of a unit by seed."""
    good = subnetworks.super_good(list(masks.values()))
    bad = subnetworks.super_bad(list(masks.values()), rng)
    drawn = {f"super_random-{s}": subnetworks.super_random(good, bad, rng) for s in masks}
    return {"super_good": good, "super_bad": bad, **drawn}
