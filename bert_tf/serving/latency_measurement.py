"""Measures a latency table: small models are written, timed by turns, and their times explained."""

import collections
import contextlib
import os
import sys
import tempfile

import numpy as np
import scipy.optimize
import tqdm
from absl import logging

from bert_tf import timing
from bert_tf.latency import LatencyTable, terms
from bert_tf.serving import formats, latency_probes, model_writer
from bert_tf.serving.engines import ENGINES, Process, by_turns, num_threads
from bert_tf.tasks import model_task

#: The most blocks of each small model, and how many models: the sum predicts other models.
MOST_BLOCKS, NUM_MODELS = 6, 24
#: What is enough to choose between ways to compute one model, for which sizes count little.
QUICK = {"rounds": 3, "most_blocks": 1, "number": 12, "num_sizes": 1}

# A table that is further from its models' times than this share, in the median, was disturbed: the
# models are timed again, at most so often.
_DISTURBED, _MOST_TIMES = 0.05, 3


def measure(
    config,
    shape,
    engine_names,
    rounds=8,
    most_blocks=MOST_BLOCKS,
    number=NUM_MODELS,
    num_sizes=latency_probes.NUM_SIZES,
):
    """Returns the latency tables of engines on this machine; shows progress.

    Args:
      config: an `EncoderConfig`; the tables are of all models that pruning makes of it.
      shape: `(B, T)`.
      engine_names: names in `bert_tf.serving.engines.ENGINES`.
      rounds: how often each model is timed, at least 1; default 8. As often again, and once more,
        where the table does not explain the times because other work disturbed them.
      most_blocks: of each model, which has no more than `config`; default `MOST_BLOCKS`.
      number: models, at least 3, and three more for each way that a format alone has;
        default `NUM_MODELS`.
      num_sizes: numbers of heads, and of neurons, with seconds of their own, in [1, 3]; default
        `latency_probes.NUM_SIZES`.

    Returns:
      `{name of an engine: LatencyTable}`; a ValueError in its place where the engine cannot run
      such models.

    Raises:
      ValueError: if an engine is unknown or not installed, or a format cannot hold a model.
    """
    forms = collections.defaultdict(dict)
    for engine in engine_names:
        ENGINES[engine].check()
        form = formats.get(ENGINES[engine].formats[0])
        forms[form.choices][engine] = form
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for some, plans, places in _written(config, forms, most_blocks, number, folder):
            for engine, form in some.items():
                paths = [form.path(place) for place in places]
                try:
                    sizes = latency_probes.sizes(config, num_sizes)
                    found = np.empty([0, len(paths)])
                    for _ in range(_MOST_TIMES):
                        more = times(engine, paths, plans[0].config, shape, rounds)
                        found = np.concatenate([found, more])
                        table = table_of(config, shape, engine, plans, found, sizes)
                        if error_of(table, plans, found) <= _DISTURBED:
                            break
                    tables[engine] = table
                except ValueError as error:
                    tables[engine] = error
    return tables


def write(plans, forms, folder):
    """Writes models with random weights, each into a folder of its own; shows progress.

    Args:
      plans: list of `Plan`.
      forms: the `bert_tf.serving.formats.Format`s to write each model in.
      folder: path of a folder; a model that is there already is not written again.

    Returns:
      The path of the folder of each model.

    Raises:
      ValueError: if a format cannot hold a model.
    """
    folders = [os.path.join(folder, str(index)) for index in range(len(plans))]
    for plan, place in zip(_progress(plans, f"models in {folder}"), folders, strict=True):
        if not os.path.exists(place):
            os.makedirs(f"{place}.aside", exist_ok=True)
            served = latency_probes.served(plan)
            for form in forms:
                form.write(served, f"{place}.aside")
            os.rename(f"{place}.aside", place)
    return folders


def times(engine, paths, config, shape, rounds):
    """Returns the seconds of a call of models by turns, the medians of turns `[rounds, models]`.

    Args:
      engine: name of the engine.
      paths: of the models of `write`, as the engine loads them.
      config: an `EncoderConfig` whose vocabulary and positions all models have.
      shape: `(B, T)`.
      rounds: how often each model has its turn, at least 1; one more before them does not count.

    Raises:
      ValueError: if the engine cannot run a model.
    """
    timed, rows = request(config, shape), []
    with Process(ENGINES[engine], paths[0]) as process:
        for _ in _progress(range(rounds + 1), f"rounds at {shape[0]}x{shape[1]} by {engine}"):
            row = []
            for path in paths:
                process.load(path)
                row.append(np.median(process.turn(timed)))
            rows.append(row)
    return np.array(rows[1:])


def turns(engine, paths, config, shape, rounds):
    """Returns the seconds of calls of models, each in a process of its own as exports are timed.

    Args:
      engine: see `times`; so the rest.
      paths: see above.
      config: see above.
      shape: see above.
      rounds: how often each model has its turn, at least 1.

    Returns:
      For each model a list of the seconds of its calls, an array a round.

    Raises:
      ValueError: if the engine cannot run a model.
    """
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(Process(ENGINES[engine], path)) for path in paths]
        return by_turns(running, request(config, shape), rounds)


def table_of(config, shape, engine, plans, seconds, sizes):
    """Returns the table that explains the times of models.

    Args:
      config: an `EncoderConfig`, whose unpruned blocks are the largest.
      shape: `(B, T)`.
      engine: name of the engine.
      plans: the `Plan` of each model.
      seconds: of `times`.
      sizes: of `latency_probes.sizes`.
    """
    counts = [terms.of_model(plan.config, plan.execution, sizes) for plan in plans]
    fitted = fit(counts, seconds)
    place = config.hidden_size, config.head_size
    table = LatencyTable(engine, tuple(shape), *place, fitted, environment())
    error = error_of(table, plans, seconds)
    logging.info("The table is within %.1f %% (median) of its models' times.", 100 * error)
    return table


def error_of(table, plans, seconds):
    """Returns the median share by which a table misses the times of models, a float.

    Args:
      table: a `LatencyTable`.
      plans: the `Plan` of each model.
      seconds: of `times`.
    """
    predicted = np.array([table.predict(plan.config, plan.execution) for plan in plans])
    return float(np.median(np.abs(predicted / fastest(seconds) - 1)))


def fastest(seconds):
    """Returns the time of each model in its fastest round: what else runs only adds to it.

    Args:
      seconds: of `times`, array `[rounds, models]`.
    """
    return np.min(seconds, axis=0)


def environment():
    """Returns `bert_tf.timing.environment` and `threads`, of an operation of an engine."""
    return {**timing.environment(), "threads": num_threads()}


def fit(counts, seconds):
    """Returns the seconds of terms that explain the times of models, by least squares.

    Relative errors count, of the times of `fastest`. Only terms of `terms.DIFFERENCES` may be below
    0, and more heads or neurons never take less.

    Args:
      counts: for each model how often it has each term, see `terms.of_model`.
      seconds: times of the models, array `[rounds, models]`.

    Returns:
      `{(term, size): (seconds, spread)}`, see `LatencyTable`.
    """
    keys = sorted(set().union(*counts))
    matrix = np.array([[one.get(key, 0.0) for key in keys] for one in counts])
    # Of a curve the rises from size to size are fitted: this makes of them its points.
    points = np.array([[float(a[0] == b[0] and b[1] <= a[1]) for b in keys] for a in keys])
    lowest = [-np.inf if term in terms.DIFFERENCES else 0.0 for term, _ in keys]

    def solve(times):
        weighted = matrix @ points / times[:, np.newaxis]
        scale = np.linalg.norm(weighted, axis=0)
        bounds = lowest, [np.inf] * len(keys)
        found = scipy.optimize.lsq_linear(weighted / scale, np.ones(len(times)), bounds, "bvls")
        return points @ (found.x / scale)

    low, high = np.percentile([solve(times) for times in seconds], [25, 75], axis=0)
    chosen = solve(fastest(seconds))
    return {
        key: (float(value), float(spread))
        for key, value, spread in zip(keys, chosen, high - low, strict=True)
    }


def request(config, shape):
    """Returns a request of random tokens, `(name of a signature, {name: array})`.

    Args:
      config: an `EncoderConfig`.
      shape: `(B, T)`.
    """
    (batch,) = model_task.random_features(config, shape[1], 1, shape[0])
    return "serving_default", {name: tensor.numpy() for name, tensor in batch.items()}


def _written(config, forms, most_blocks, number, folder):
    """Writes the models of formats, those of the first ways to compute here, others elsewhere.

    Args:
      config: see `measure`; so `most_blocks` and `number`.
      forms: `{choices: {name of an engine: Format}}`.
      most_blocks: see above.
      number: see above.
      folder: path of a folder for all of them.

    Returns:
      List of `({name of an engine: Format}, plans, paths of the models' folders)`.

    Raises:
      ValueError: if a format cannot hold a model.
    """
    groups = []
    for choices, some in forms.items():
        plans = latency_probes.make(config, choices, most_blocks, number + 3 * len(choices))
        own = os.path.join(folder, str(len(groups)))
        groups.append((some, plans, [os.path.join(own, str(index)) for index in range(len(plans))]))
    (first, plans, places), *others = groups
    with contextlib.ExitStack() as stack:
        elsewhere = [stack.enter_context(model_writer.Writing(_tasks(*group))) for group in others]
        write(plans, dict.fromkeys(first.values()), os.path.dirname(places[0]))
        for error in (error for writing in elsewhere for error in writing.results()):
            if error is not None:
                raise error
    return groups


def _tasks(forms, plans, places):
    """Returns the tasks of `model_writer` that write each model in each format."""
    unique = dict.fromkeys(forms.values())
    return [
        (plan, form, place) for plan, place in zip(plans, places, strict=True) for form in unique
    ]


def _progress(steps, what):
    interval = 1.0 if sys.stderr.isatty() else 30.0
    return tqdm.tqdm(steps, what, mininterval=interval, dynamic_ncols=True)
