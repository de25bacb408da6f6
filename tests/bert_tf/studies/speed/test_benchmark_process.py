"""Processes of three generations: this one, the benchmark, and the one whose memory is measured."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__)

CODE = f"""
from bert_tf.studies.speed import benchmark_process
import {HERE.stem}
benchmark_process.peak_memory({HERE.stem}.measure)
"""


def measure():
    print("measured", flush=True)
    time.sleep(600)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends children so.")
@pytest.mark.parametrize("moment", ["at its start", "when it measures"])
def test_the_measured_process_does_not_outlive_a_killed_benchmark(moment):
    path = os.pathsep.join([str(HERE.parent), str(HERE.parents[4])])
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    # Python starts a tracker of resources before it.
    while moment == "at its start" and len(children.read_text().split()) < 2:
        assert process.poll() is None, "It ended by itself."
        time.sleep(0.01)
    if moment == "when it measures":
        assert process.stdout.readline() == "measured\n"
    process.kill()
    process.communicate(timeout=30)  # Ends when nobody has the pipe open any more.
