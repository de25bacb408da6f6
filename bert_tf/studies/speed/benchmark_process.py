"""The process that is measured: its settings, and the memory of one made for it."""

import concurrent.futures.process
import multiprocessing
import os

import tensorflow as tf

from flop_tf import processes
from flop_tf.backend import keras


def configure(precision, threads=0):
    """Sets up this process before any model is made.

    Args:
      precision: "none" for float32, or "bfloat16" for mixed precision.
      threads: of an operation; 0 leaves it to TensorFlow.
    """
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    keras.mixed_precision.set_global_policy("float32" if precision == "none" else "mixed_bfloat16")


def peak_memory(prepare, *arguments, precision="none", threads=0):
    """Returns the memory of a function that is called three times, in a process of its own.

    Needs Linux.

    Args:
      prepare: function of a module; `prepare(*arguments)` returns the function that is called.
      *arguments: values that pickle can send.
      precision: see `configure`.
      threads: see `configure`.

    Returns:
      `{"base_bytes", "peak_bytes"}`: with all libraries imported, and the maximum up to the end.
      On a GPU the memory of the device.

    Raises:
      OSError: if the process is killed, such as for lack of memory.
    """
    context = multiprocessing.get_context("spawn")
    # Without the initializer it would wait for ever for more to do, if this process is killed.
    pool = concurrent.futures.ProcessPoolExecutor(
        1, context, initializer=processes.end_with_parent, initargs=(os.getpid(),)
    )
    with pool:
        try:
            return pool.submit(_measure, prepare, arguments, precision, threads).result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise OSError(
                "The process whose memory is measured was killed, maybe for want of memory; pass "
                "smaller batches, or --nomemory."
            ) from error


def _measure(prepare, arguments, precision, threads):
    configure(precision, threads)
    base = _memory("VmRSS")
    call = prepare(*arguments)
    for _ in range(3):
        call()
    if tf.config.list_physical_devices("GPU"):
        return {
            "base_bytes": 0,
            "peak_bytes": tf.config.experimental.get_memory_info("GPU:0")["peak"],
        }
    return {"base_bytes": base, "peak_bytes": _memory("VmHWM")}


def _memory(key):
    # Not `getrusage`: its maximum is taken over from the parent, which holds all models at once.
    with open("/proc/self/status", encoding="ascii") as file:
        values = dict(line.split(":", 1) for line in file)
    return int(values[key].split()[0]) * 1024
