"""The example client over real sockets; a SavedModel answers in the place of the server."""

import concurrent.futures
import http.server
import importlib.util
import json
import os
import pathlib
import subprocess
import threading

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.serving import services
from bert_tf.serving.formats.saved_model import SavedModel
from bert_tf.serving.served_model import ServedModel
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer

grpc = pytest.importorskip("grpc")
apis = pytest.importorskip("tensorflow_serving.apis", reason="The extra `export` is not installed.")
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc  # noqa: E402

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "dull", "film"]
TEXTS = ["a good film", "dull"]


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("client", EXAMPLES / "serving_client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model():
    config = EncoderConfig(
        vocab_size=len(VOCAB),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=16,
        initializer_range=0.3,
    )
    return BertModel(config)


@pytest.fixture(scope="module")
def signatures(model, tmp_path_factory):
    """Those of the loaded SavedModel, `name/1` as TensorFlow Serving loads it."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    service = services.get(registry.get("SST-2"), Tokenizer(str(folder / "vocab.txt")), 8)
    SavedModel().write(ServedModel(model, service, 16), str(folder / "toy/1"))
    return tf.saved_model.load(str(folder / "toy/1")).signatures


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Parses a request and answers it by a signature, as TensorFlow Serving does."""

    def __init__(self, signatures):
        self.signatures = signatures

    def Predict(self, request, context):
        inputs = {name: tf.constant(tf.make_ndarray(p)) for name, p in request.inputs.items()}
        try:
            outputs = self.signatures[request.model_spec.signature_name](**inputs)
        except (KeyError, TypeError, tf.errors.OpError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"refused: {error}")
        response = predict_pb2.PredictResponse()
        for name, tensor in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
        return response


class Rest(http.server.BaseHTTPRequestHandler):
    """Columns or rows of JSON, converted to what the signature takes."""

    def do_POST(self):
        assert self.path == "/v1/models/toy:predict"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            code, answer = 200, self.answer(body)
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
            code, answer = 400, {"error": f"refused: {error}"}
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(answer, default=bytes.decode).encode())

    def answer(self, body):
        signature = self.server.signatures[body["signature_name"]]
        _, specs = signature.structured_input_signature
        columns = body.get("inputs")
        if columns is None:
            columns = {name: [row[name] for row in body["instances"]] for name in specs}
        inputs = {name: tf.constant(v, specs[name].dtype) for name, v in columns.items()}
        outputs = {name: tensor.numpy().tolist() for name, tensor in signature(**inputs).items()}
        if "inputs" in body:
            return {"outputs": outputs}
        rows = zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def rest(signatures):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    server.signatures = signatures
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def grpc_address(signatures):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Grpc(signatures), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture(scope="module")
def expected(model):
    ids = np.array([[2, 4, 5, 7, 3], [2, 6, 3, 0, 0]], np.int32)
    inputs = {
        "input_word_ids": ids,
        "input_mask": (ids > 0).astype(np.int32),
        "input_type_ids": np.zeros_like(ids),
    }
    logits = model({name: tf.constant(array) for name, array in inputs.items()}, training=False)
    return inputs, logits.numpy()


def assert_answers(answers, logits):
    assert set(answers) == {"logits", "probabilities", "label"}
    np.testing.assert_allclose(answers["logits"], logits, atol=1e-5)
    labels = [label.decode() if isinstance(label, bytes) else label for label in answers["label"]]
    assert labels == [str(i) for i in logits.argmax(axis=1)]


def test_texts_and_ids_over_rest(client, rest, expected):
    ids, logits = expected
    assert_answers(client.ask_rest(rest, "toy", {"text": TEXTS}), logits)
    lists = {name: array.tolist() for name, array in ids.items()}
    assert_answers(client.ask_rest(rest, "toy", lists, "serving_default"), logits)


def test_texts_and_ids_over_grpc(client, grpc_address, expected):
    ids, logits = expected
    assert_answers(client.ask_grpc(grpc_address, "toy", {"text": TEXTS}), logits)
    assert_answers(client.ask_grpc(grpc_address, "toy", ids, "serving_default"), logits)


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_the_program_prints_the_answer(way, client, rest, grpc_address, expected, capsys):
    address = rest if way == "rest" else grpc_address
    client.main(["--model=toy", f"--{way}={address}", json.dumps({"text": TEXTS})])
    assert_answers(json.loads(capsys.readouterr().out), expected[1])


@pytest.mark.parametrize("inputs", [{"text": [1, 2]}, {"text": "a"}, {"sentence": ["a"]}])
@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_a_refused_request_is_one_sentence(way, inputs, client, rest, grpc_address):
    address = rest if way == "rest" else grpc_address
    with pytest.raises(SystemExit, match="^serving_client: error: refused: "):
        client.main(["--model=toy", f"--{way}={address}", json.dumps(inputs)])


def test_no_server(client):
    for way in ("--rest=http://127.0.0.1:9", "--grpc=127.0.0.1:9"):
        with pytest.raises(SystemExit, match="^serving_client: error: .*(refused|[Cc]onnect)"):
            client.main(["--model=toy", way, '{"text": ["a"]}'])


def serve(*args, path="/usr/bin:/bin"):
    command = [str(EXAMPLES / "serve.sh"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": path})


def test_the_script_starts_the_server_with_the_folder(tmp_path):
    """The program in the place of the server prints its arguments."""
    binary = tmp_path / "bin/tensorflow_model_server"
    version = tmp_path / "toy/1/saved_model.pb"
    for path in (binary, version):
        path.parent.mkdir(parents=True)
        path.write_text('#!/bin/sh\necho "$@"\n')
    binary.chmod(0o755)
    path = f"{binary.parent}{os.pathsep}/usr/bin:/bin"
    done = serve(tmp_path / "toy", "--port=9000", path=path)
    assert f"--model_name=toy --model_base_path={tmp_path}/toy " in done.stdout
    assert done.stdout.endswith("--enable_model_warmup=true --port=9000\n")
    done = serve(tmp_path / "toy")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("serve: error: tensorflow_model_server is not on the PATH;")


def test_the_script_needs_an_export(tmp_path):
    assert serve().stderr == "serve: error: the folder of an export is needed, received none.\n"
    assert "'nowhere' does not exist" in serve("nowhere").stderr
    assert "has no version with a saved_model.pb" in serve(tmp_path).stderr
