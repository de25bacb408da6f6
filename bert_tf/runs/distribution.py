"""Devices of a run: one, several of a machine, several machines, a TPU.

The strategies are those of tf-models' helper. GPU and TPU go through the same
calls as the CPU devices that the tests use.
"""

import contextlib
import functools
import os
import socket
import time
import typing

import tensorflow as tf
from official.common import distribute_utils

from flop_tf.files import json_file

#: Names of the strategies.
STRATEGIES = ("one_device", "mirrored", "multi_worker_mirrored", "tpu", "parameter_server")

_OF_SEVERAL_PROCESSES = ("multi_worker_mirrored", "parameter_server")

_SECONDS_BETWEEN_TRIES = 0.5


class _Config(typing.TypedDict):
    """What is read of TF_CONFIG."""

    cluster: dict[str, list[str]]
    task: json_file.Object


def make_strategy(options):
    """Sets up the devices and returns the `tf.distribute.Strategy` of a run.

    Memory of GPUs grows as it is needed. Several workers wait for each other.

    Args:
      options: `FinetuneOptions`.

    Returns:
      A `tf.distribute.Strategy`.

    Raises:
      ValueError: if a device that the options name is not there.
      ConnectionError: if a worker or the TPU does not answer.
    """
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
        # It groups sums of many terms, such as the expected sparsity, in an order of each process.
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    num_gpus = len(gpus) if options.num_gpus is None else options.num_gpus
    if num_gpus > len(gpus):
        raise ValueError(
            f"Argument `num_gpus` must be at most {len(gpus)}, the GPUs of this machine, received "
            f"{num_gpus}."
        )
    name = options.distribution_strategy
    if name == "one_device" and bool(num_gpus) == bool(gpus):
        # TensorFlow takes that device anyway. Batches of its `OneDeviceStrategy` go through an
        # iterator that takes as long to end as it was in use, up to a minute.
        return tf.distribute.get_strategy()
    if name in _OF_SEVERAL_PROCESSES:
        _wait_for_workers(_task(options), options.worker_timeout)
    with _as_connection_error(name, options.tpu):
        return _strategy(name, num_gpus, options.tpu)


@functools.cache
def _strategy(name, num_gpus, tpu):
    """Returns the same strategy for the same devices.

    TensorFlow numbers collective operations from the start in each one, and mixes up those of
    two strategies in a process.
    """
    return distribute_utils.get_distribution_strategy(name, num_gpus=num_gpus, tpu_address=tpu)


@contextlib.contextmanager
def losing_workers(strategy):
    """Turns what TensorFlow says of a lost worker into one sentence.

    Args:
      strategy: of the run.

    Raises:
      ConnectionError: if a collective operation inside does not end.
    """
    try:
        yield
    except (
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
        tf.errors.UnavailableError,
    ) as error:
        if strategy.num_replicas_in_sync < 2 and not is_asynchronous(strategy):
            raise
        reason = error.message.partition("\n")[0]
        raise ConnectionError(
            "Another worker or device does not answer any more; start all workers again with the "
            f"same commands and they go on from the last checkpoint ({reason})."
        ) from error


def is_chief(options):
    """Returns whether this process is the one of its run that writes files.

    Args:
      options: `FinetuneOptions`.

    Raises:
      ValueError: if workers are named but not which of them this one is.
    """
    if options.distribution_strategy not in _OF_SEVERAL_PROCESSES:
        return True
    cluster, kind, index = _task(options)
    if options.distribution_strategy == "parameter_server":
        return kind == "chief"
    return kind == "chief" or (kind == "worker" and index == 0 and "chief" not in cluster)


def is_asynchronous(strategy):
    """Returns whether workers make their steps independently of each other, by parameter servers.

    Args:
      strategy: a `tf.distribute.Strategy`.
    """
    return isinstance(strategy, tf.distribute.experimental.ParameterServerStrategy)


def serve(options):
    """Where this process is a worker or a parameter server of a chief: works for it without end.

    Args:
      options: `FinetuneOptions`.
    """
    if options.distribution_strategy != "parameter_server" or is_chief(options):
        return
    cluster, kind, index = _task(options)
    tf.distribute.Server(tf.train.ClusterSpec(cluster), kind, index, "grpc").join()


def _task(options):
    """Returns `(cluster, kind, index)` of this process and makes sure that TF_CONFIG says so."""
    by_servers = options.distribution_strategy == "parameter_server"
    if "TF_CONFIG" not in os.environ:
        if by_servers:
            raise ValueError(
                "Argument `distribution_strategy=parameter_server` needs TF_CONFIG, which names a "
                "chief, workers and parameter servers (ps)."
            )
        hosts = [host.strip() for host in options.worker_hosts.split(",") if host.strip()]
        if not hosts or not 0 <= options.task_index < len(hosts):
            raise ValueError(
                f"Argument `distribution_strategy={options.distribution_strategy}` needs "
                "TF_CONFIG, or `worker_hosts` and a `task_index` below their number, received "
                f"{options.worker_hosts!r} and {options.task_index}."
            )
        distribute_utils.configure_cluster(",".join(hosts), options.task_index)
    try:
        config = json_file.parse(os.environ["TF_CONFIG"], _Config, "TF_CONFIG")
        task = config["task"]
        cluster, kind, index = config["cluster"], task["type"], int(task["index"])
        cluster[kind][index]  # Raises where it is not there, as the next line does.
        [cluster[name][0] for name in ("chief", "worker", "ps") if by_servers]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"TF_CONFIG must be JSON with `cluster`{', in it chief, worker and ps,' * by_servers} "
            f"and a `task` of it, received {os.environ['TF_CONFIG'][:200]!r}."
        ) from error
    return cluster, kind, index


def _wait_for_workers(task, timeout):
    """Returns once every other worker can be reached; they wait for this one meanwhile.

    TensorFlow would wait for an hour and then abort the process.
    """
    cluster, kind, index = task
    own = cluster[kind][index]
    missing = [host for hosts in cluster.values() for host in hosts if host != own]
    deadline = time.monotonic() + timeout
    with socket.create_server(("", _address(own)[1])):
        while missing:
            missing = [host for host in missing if not _answers(host)]
            if missing and time.monotonic() > deadline:
                raise ConnectionError(
                    f"The workers {', '.join(missing)} did not answer {own} within {timeout} "
                    "seconds; start all workers with the same --worker_hosts, or pass a longer "
                    "--worker_timeout."
                )
            # After the last one, too: those that tried just before must find this one yet.
            time.sleep(_SECONDS_BETWEEN_TRIES if missing else 2 * _SECONDS_BETWEEN_TRIES)


def _address(host):
    name, _, port = host.rpartition(":")
    if not name or not (port.isascii() and port.isdecimal()) or int(port) >= 2**16:
        raise ValueError(
            f"Argument `worker_hosts` must name workers as host:port, received {host!r}."
        )
    return name, int(port)


def _answers(host):
    try:
        socket.create_connection(_address(host), timeout=2).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _as_connection_error(name, tpu):
    try:
        yield
    except (tf.errors.OpError, RuntimeError, OSError) as error:
        if name != "tpu":
            raise
        raise ConnectionError(f"The TPU {tpu!r} does not answer: {error}.") from error
