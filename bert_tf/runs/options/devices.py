"""Options of the devices that a training step is spread over."""

import dataclasses

from bert_tf.option_fields import FINE_TUNING, option
from bert_tf.ranges import FROM_0, Range
from bert_tf.runs import distribution


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """GPUs, TPUs and workers."""

    distribution_strategy: str = option(
        "one_device",
        "How a step is spread over devices.",
        distribution.STRATEGIES,
        runs=FINE_TUNING,
    )
    num_gpus: int = option(None, "GPUs of this machine to use; by default all.", allowed=FROM_0)
    tpu: str = option("", "Address or name of a TPU; empty or local is the one of this machine.")
    worker_hosts: str = option("", "Workers as host:port with commas, where TF_CONFIG is not set.")
    task_index: int = option(
        -1, "Index of this process among the workers, from 0.", allowed=Range(at_least=-1)
    )
    worker_timeout: int = option(600, "Seconds to wait for the other workers.", allowed=FROM_0)
