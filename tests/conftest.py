"""Fixtures and settings of all tests."""

import functools
import http.server
import os
import pathlib
import threading
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Read once, when TensorFlow is imported.
# Threads that wait for work burn the time of the other tests that run next to this one.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_datasets as tfds  # noqa: E402

from flop_tf.backend import keras  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]

# Two devices for the tests of replicas; everything else runs on the first.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def pytest_collection_modifyitems(items):
    """Puts the tests of programs, the longest, first, so that none of them is left at the end."""
    items.sort(key=lambda item: "tools" not in item.path.relative_to(ROOT).parts)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session", autouse=True)
def short_turns():
    """The times of toys decide nothing: one call is enough where users wait a tenth of a second."""
    from bert_tf.serving.engines import Process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Process.turn, "__defaults__", (0.005,))
        yield


@pytest.fixture(scope="session")
def two_devices():
    """One strategy for all tests: TensorFlow mixes up the collective operations of several."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def shared():
    """The folder `shared` next to the repository, with real data."""
    path = ROOT.parent / "shared"
    if not (path / "data").is_dir():
        pytest.skip("The folder `shared` with the real data does not stand next to the repository.")
    return path


@pytest.fixture(scope="session")
def minilm_dir():
    """The folder that `tools/fetch_minilm.py` wrote, as `./run_all.sh` has it do."""
    path = pathlib.Path(os.environ.get("FLOP_MINILM_DIR", ROOT / "runs/demo/minilm"))
    if not (path / "model.safetensors").is_file():
        pytest.skip("No MiniLM: run ./run_all.sh, or name its folder by FLOP_MINILM_DIR.")
    return path


@pytest.fixture(scope="session")
def publish(tmp_path_factory):
    """Returns a function that puts a GLUE folder where TFDS' own GLUE code downloads it from."""
    folder = tmp_path_factory.mktemp("published")
    handler = functools.partial(_QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    glue = tfds.builder_cls("glue")

    def publish(config, files):
        archive = folder / f"{config}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in files:
                file.write(path, f"{glue.builder_configs[config].data_dir}/{path.name}")

    publish.folder, publish.address = folder, f"{address}/"

    with pytest.MonkeyPatch.context() as patch:
        for name, config in glue.builder_configs.items():
            patch.setattr(config, "data_url", f"{address}/{name}.zip")
        yield publish
    server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass
