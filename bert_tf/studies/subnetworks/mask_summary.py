"""What the masks of tasks and seeds say, as plain data: within a task, and between tasks.

L layers, N heads, K tasks, S seeds.
"""

import numpy as np

from bert_tf.studies.subnetworks import mask_agreement, subnetwork_size, survival
from bert_tf.surgery import units

#: What a mask is of, and its number of axes: heads `[L, N]`, FFN blocks `[L]`.
COMPONENTS = {"heads": 2, "ffn": 1}


def summarize(masks, config=None):
    """Summarizes the masks of subnetworks.

    Args:
      masks: dict by task of dicts by seed of `{"heads": bool [L, N], "ffn": bool [L]}`, true
        where kept.
      config: the `BertConfig` of the whole model, or None: then there are no sizes.

    Returns:
      Dict of plain data:
        `agreement`: a row for each task and component: `kept` by seed, `stable` (what all seeds
          keep), and the statistics of `bert_tf.studies.subnetworks.mask_agreement`;
        `jaccard`: the pairwise index of the seeds of each task and component;
        `between_tasks`: by component, over the seeds that all tasks have: survival, overlap and
          the share of similar pairs; empty without such seeds;
        `sizes`: of each task and seed, see `bert_tf.studies.subnetworks.subnetwork_size.sizes`.

    Raises:
      ValueError: if a mask is of another kind or shape than the first, or a package is missing.
    """
    stacked = {task: _stacked(task, seeds) for task, seeds in masks.items()}
    _check_shapes(stacked)
    pairs = [(task, component) for task in masks for component in COMPONENTS]
    shared = [s for s in next(iter(masks.values()), ()) if all(s in m for m in masks.values())]
    return {
        "agreement": [
            {
                **{"task": task, "component": component, "seeds": list(masks[task])},
                **_agreement(stacked[task][component]),
            }
            for task, component in pairs
        ],
        "jaccard": [
            {
                **{"task": task, "component": component, "seeds": list(masks[task])},
                "values": mask_agreement.jaccard(_flat(stacked[task][component])).tolist(),
            }
            for task, component in pairs
        ],
        "between_tasks": {
            component: _between_tasks(masks, shared, component)
            for component in (COMPONENTS if shared else ())
        },
        "sizes": [] if config is None else list(_sizes(masks, config)),
    }


def over_seeds(seeds):
    """Returns mean and deviation over seeds of what is kept of each head and FFN, plain data.

    Args:
      seeds: dict by seed of `{"heads": [L, N], "ffn": [L]}`, bool or shares in [0, 1].

    Returns:
      Dict with `seeds`, and for each component `mean` and `deviation`, the latter None for one.
    """
    found = {"seeds": list(seeds)}
    for component in COMPONENTS:
        mean, deviation = survival.mean_and_deviation([one[component] for one in seeds.values()])
        found[component] = {"mean": mean.tolist(), "deviation": _listed(deviation)}
    return found


def _agreement(masks):
    """Returns the statistics of the masks `[S, ...]` of a task."""
    flat = _flat(masks)
    statistic, p = mask_agreement.cochran_q(flat)
    return {
        "kept": flat.sum(axis=1).tolist(),
        "components": flat.shape[1],
        "stable": int(survival.stable(flat).sum()),
        "intersection_over_union": mask_agreement.intersection_over_union(flat),
        "mean_jaccard": mask_agreement.mean_jaccard(flat),
        "cochran_q": statistic,
        "cochran_p": p,
        "similar_pairs": mask_agreement.similar_pairs(flat),
        "fleiss_kappa": mask_agreement.fleiss_kappa(flat),
        "krippendorff_alpha": mask_agreement.krippendorff_alpha(flat),
    }


def _between_tasks(masks, seeds, component):
    """Returns survival and overlap over all tasks, of the seeds that they share."""
    chosen = np.array([[by_seed[s][component] for s in seeds] for by_seed in masks.values()])
    flat = chosen.reshape([*chosen.shape[:2], -1])
    mean, deviation = survival.survival(chosen)
    shared, spread = survival.task_overlap(flat)
    return {
        "tasks": list(masks),
        "seeds": seeds,
        "survival": {"mean": mean.tolist(), "deviation": _listed(deviation)},
        "mean_survival": float(mean.mean()),
        "mean_deviation": None if deviation is None else float(deviation.mean()),
        "stable": int(survival.stable_over_tasks(chosen).sum()),
        "overlap": {"mean": shared.tolist(), "deviation": _listed(spread)},
        "similar_pairs": [
            [mask_agreement.similar_pairs(first, second) for second in flat] for first in flat
        ],
    }


def _sizes(masks, config):
    """Yields the size of every subnetwork."""
    for task, seeds in masks.items():
        for seed, mask in seeds.items():
            small = units.config_under(config, units.by_path(mask))
            yield {"task": task, "seed": seed, **subnetwork_size.sizes(small, config)}


def _stacked(task, seeds):
    """Returns the masks of a task, bool `[S, ...]` by component."""
    if not seeds:
        raise ValueError(f"Task {task!r} must have masks of at least one seed, received none.")
    found = {}
    for component, ndim in COMPONENTS.items():
        arrays = [np.asarray(mask.get(component)) for mask in seeds.values()]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1 or any(a.dtype != bool or a.ndim != ndim or not a.size for a in arrays):
            received = ", ".join(dict.fromkeys(f"{a.dtype} {list(a.shape)}" for a in arrays))
            raise ValueError(
                f"Task {task!r} must have bool masks of {component!r}, {ndim}-dimensional and of "
                f"one shape, received {received}."
            )
        found[component] = np.stack(arrays)
    return found


def _check_shapes(stacked):
    for component in COMPONENTS:
        shapes = {task: list(masks[component].shape[1:]) for task, masks in stacked.items()}
        if len({str(shape) for shape in shapes.values()}) > 1:
            raise ValueError(
                f"The masks of {component!r} must have one shape in all tasks, received {shapes}."
            )


def _flat(masks):
    return masks.reshape([len(masks), -1])


def _listed(array):
    return None if array is None else array.tolist()
