"""The masks of tasks and seeds summarized as plain data: within a task, and between tasks.

L layers, N heads, K tasks, S seeds.
"""

import numpy as np

from bert_tf.studies.masks import mask_agreement, subnetwork_size, survival
from bert_tf.surgery import units
from flop_tf.searches import subnetworks

#: The number of axes by component: heads `[L, N]`, FFNs `[L]`.
COMPONENTS = {"heads": 2, "ffn": 1}


def summarize(masks, config=None):
    """Summarizes the masks of subnetworks.

    Args:
      masks: dict by task of dicts by seed of `{"heads": bool [L, N], "ffn": bool [L]}`, true
        where kept.
      config: the `EncoderConfig` of the whole model, or None: then there are no sizes.

    Returns:
      Dict of plain data:
        `agreement`: a row for each task and component: `kept` by seed, `stable` (the number that
          all seeds keep), and the statistics of `bert_tf.studies.masks.mask_agreement`;
        `jaccard`: the pairwise index of the seeds of each task and component;
        `between_tasks`: by component, over the seeds that all tasks have: survival, overlap and
          the share of similar pairs; empty without such seeds;
        `sizes`: of each task and seed, see `bert_tf.studies.masks.subnetwork_size.sizes`.

    Raises:
      ValueError: if a mask is of another kind or shape than the first, or a package is missing.
    """
    stacked = {task: _stacked(task, seeds) for task, seeds in masks.items()}
    _check_shapes(stacked)
    found = {"agreement": [], "jaccard": []}
    for task, seeds in masks.items():
        for component in COMPONENTS:
            flat = stacked[task][component].reshape([len(seeds), -1])
            about = {"task": task, "component": component, "seeds": list(seeds)}
            found["agreement"].append({**about, **_agreement(flat)})
            found["jaccard"].append({**about, "values": mask_agreement.jaccard(flat).tolist()})
    shared = [s for s in next(iter(masks.values()), ()) if all(s in m for m in masks.values())]
    found["between_tasks"] = {
        component: _between_tasks(masks, shared, component) for component in COMPONENTS if shared
    }
    found["sizes"] = [
        {
            **{"task": task, "seed": seed},
            **subnetwork_size.sizes(units.config_under(config, units.by_path(mask)), config),
        }
        for task, seeds in ({} if config is None else masks).items()
        for seed, mask in seeds.items()
    ]
    return found


def over_seeds(seeds):
    """Returns mean and deviation over seeds of the kept share of each head and FFN, plain data.

    Args:
      seeds: dict by seed of `{"heads": [L, N], "ffn": [L]}`, bool or shares in [0, 1].

    Returns:
      Dict with `seeds`, and for each component `mean` and `deviation`, the latter None for one.
    """
    found = {"seeds": list(seeds)}
    for component in COMPONENTS:
        values = [one[component] for one in seeds.values()]
        found[component] = _listed(*survival.mean_and_deviation(values))
    return found


def _agreement(masks):
    """Returns the statistics of the masks `[S, n]` of a task."""
    statistic, p = mask_agreement.cochran_q(masks)
    return {
        "kept": masks.sum(axis=1).tolist(),
        "components": masks.shape[1],
        "stable": int(subnetworks.super_good(masks).sum()),
        "intersection_over_union": mask_agreement.intersection_over_union(masks),
        "mean_jaccard": mask_agreement.mean_jaccard(masks),
        **{"cochran_q": statistic, "cochran_p": p},
        "similar_pairs": mask_agreement.similar_pairs(masks),
        "fleiss_kappa": mask_agreement.fleiss_kappa(masks),
        "krippendorff_alpha": mask_agreement.krippendorff_alpha(masks),
    }


def _between_tasks(masks, seeds, component):
    """Returns survival and overlap over all tasks, of the seeds that they share."""
    chosen = np.array([[by_seed[s][component] for s in seeds] for by_seed in masks.values()])
    flat = chosen.reshape([*chosen.shape[:2], -1])
    mean, deviation = survival.survival(chosen)
    return {
        "tasks": list(masks),
        "seeds": seeds,
        "survival": _listed(mean, deviation),
        "mean_survival": float(mean.mean()),
        "mean_deviation": None if deviation is None else float(deviation.mean()),
        "stable": int(survival.stable_over_tasks(chosen).sum()),
        "overlap": _listed(*survival.task_overlap(flat)),
        "similar_pairs": [[mask_agreement.similar_pairs(one, two) for two in flat] for one in flat],
    }


def _stacked(task, seeds):
    """Returns the masks of a task, bool `[S, ...]` by component."""
    if not seeds:
        raise ValueError(f"Task {task!r} must have masks of at least one seed, received none.")
    found = {}
    for component, ndim in COMPONENTS.items():
        arrays = [np.asarray(mask.get(component)) for mask in seeds.values()]
        received = list(dict.fromkeys(f"{a.dtype} {list(a.shape)}" for a in arrays))
        first = arrays[0]
        if len(received) > 1 or first.dtype != bool or first.ndim != ndim or not first.size:
            raise ValueError(
                f"Task {task!r} must have bool masks of {component!r}, {ndim}-dimensional and of "
                f"one shape, received {', '.join(received)}."
            )
        found[component] = np.stack(arrays)
    return found


def _check_shapes(stacked):
    for component in COMPONENTS:
        shapes = {task: list(masks[component].shape[1:]) for task, masks in stacked.items()}
        if len(set(map(str, shapes.values()))) > 1:
            raise ValueError(
                f"The masks of {component!r} must have one shape in all tasks, received {shapes}."
            )


def _listed(mean, deviation):
    return {"mean": mean.tolist(), "deviation": None if deviation is None else deviation.tolist()}
