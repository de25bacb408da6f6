"""The example server without TensorFlow: a process, real sockets, and the model to compare with."""

import ast
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from syntax import imports

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.serving import services
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer

pytest.importorskip("tensorflow_serving", reason="The extra `export` is not installed.")
pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = ROOT / "examples/onnx_serving.py"

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "good", "Good", "bad", "b", "##ad", "##s", *"éeσς日本!,"]
ODD = ["Good É e\u0301 \x00bad\u200b", "日本\tbads!\u3000good", "x" * 101, "ΑΣ Σ [SEP] bad, !", ""]
TABLE = {"name": "tsv", "label_column": "y"}
SCORES = {**TABLE, "label_type": "number", "labels": None}
CASES = {
    "classes": (
        {**TABLE, "labels": ["no", "maybe", "yes"], "text_columns": ["x"]},
        {"special_tokens": SPECIAL},
        512,
    ),
    # With two factors of the word embedding.
    "cased": ({"name": "SST-2"}, {"do_lower_case": False}, 512, 12),
    "pairs": ({**SCORES, "text_columns": ["x", "z"]}, {}, 47),
}


class Server:
    """The program on a free port.

    Args:
      path: of the ONNX file.
      *args: more of its command line.
    """

    def __init__(self, path, *args):
        command = [sys.executable, str(PROGRAM), str(path), "--port=0", *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes)
        self.address = self.process.stdout.readline().strip()
        self.host, self.path = re.fullmatch("http://([^/]+)(/.+)", self.address).groups()

    def connect(self):
        return http.client.HTTPConnection(self.host, timeout=60)

    def socket(self):
        host, port = self.host.split(":")
        return socket.create_connection((host, int(port)), timeout=60)

    def ask(self, inputs, connection=None):
        """Returns the outputs of a request that is answered."""
        with contextlib.closing(connection or self.connect()) as one:
            return outputs(one, self.path, inputs)

    def refusal(self, body=None, method="POST", path=None, headers=(), connection=None):
        """Returns status and sentence of a request that is not."""
        with contextlib.closing(connection or self.connect()) as one:
            one.request(method, path or self.path, body, dict(headers))
            response = one.getresponse()
            answer = json.load(response)
        assert list(answer) == ["error"] and answer["error"].endswith(".")
        return response.status, answer["error"]

    def end(self):
        """Asks it to end; returns the exit code and what it said."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self):
        """Returns the exit code and what it said, when it has ended."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def outputs(connection, path, inputs):
    """Asks on a connection, which stays open."""
    connection.request("POST", path, json.dumps({"inputs": inputs}))
    response = connection.getresponse()
    answer = json.load(response)
    assert response.status == 200, answer
    return answer["outputs"]


@pytest.fixture(scope="module")
def exported(export, tmp_path_factory):
    """Exports a case by name once; returns its file and our model's answers to columns of texts."""
    found = {}

    def exported(name):
        if name not in found:
            found[name] = export_case(export, tmp_path_factory.mktemp(name), *CASES[name])
        return found[name]

    return exported


def export_case(export, folder, task, rules, length, rank=None):
    vocab_file, source = folder / "words.txt", str(folder / "source")
    vocab_file.write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
    found = registry.get(**task)
    config = EncoderConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=512,
        initializer_range=0.5,
        word_embedding_rank=rank,
        **found.head,
    )
    tokenizer = Tokenizer(str(vocab_file), **rules)
    model = BertModel(config)
    model_dir.save(source, model, tokenizer, task=task, max_seq_length=length)
    export(source, str(folder / "toy"), format_names=["onnx"], optimize_for=(8, 16))
    service = services.get(found, bert_tf.load_tokenizer(source), length)

    def expected(columns):
        features = service.features(dict(zip(service.text_names, columns, strict=True)))
        answers = service.answers(service.outputs(model(features, training=False)))
        return {name: tensor.numpy() for name, tensor in answers.items()}

    return folder / "toy/1/model.onnx", expected


@pytest.fixture(scope="module")
def server(exported):
    """The server of the classes, which takes at most 8 texts and 20,000 bytes."""
    one = Server(exported("classes")[0], "--max_texts=8", "--max_body=20000", "--max_wait_ms=2")
    yield one
    assert one.end() == (0, "")


def assert_equal(given, expected):
    assert set(given) == set(expected)
    for name, values in expected.items():
        if values.dtype == object:
            assert given[name] == [value.decode() for value in values]
        else:
            np.testing.assert_allclose(given[name], values, atol=1e-4)  # The limit of ONNX.


def texts(rng, length):
    """Returns a text of about so many tokens."""
    return " ".join(rng.choices([*WORDS, *ODD], k=length))


@pytest.mark.parametrize("name", CASES)
def test_200_requests_at_a_time(exported, name):
    """Lists and single texts of 1 to 512 tokens, from 40 connections that stay open."""
    path, expected = exported(name)
    rng, num_texts = random.Random(0), 2 if name == "pairs" else 1
    names = ["text"] if num_texts == 1 else ["text_a", "text_b"]
    requests = []
    for index in range(200):
        longest = rng.choice([1, 8, 30, 120, 520])
        columns = [
            [texts(rng, rng.randint(0, longest)) for _ in range(1 if index % 2 else index % 7)]
            for _ in names
        ]
        requests.append((columns, index % 2 == 1))
    server = Server(path)

    def ask(part):
        with contextlib.closing(server.connect()) as connection:
            return [
                outputs(
                    connection,
                    server.path,
                    {n: c[0] if single else c for n, c in zip(names, columns, strict=True)},
                )
                for columns, single in part
            ]

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        parts = list(pool.map(ask, [requests[i : i + 5] for i in range(0, 200, 5)]))
    answers = [answer for part in parts for answer in part]
    assert server.end() == (0, "")
    assert len({str(answer) for answer in answers}) > 100
    for (columns, single), given in zip(requests, answers, strict=True):
        if not columns[0]:
            assert given == {}
        else:
            given = {name: [value] for name, value in given.items()} if single else given
            assert_equal(given, expected(columns))


def test_ids_are_those_of_training(exported):
    """Whole texts of pairs at every sum of lengths around the limit."""
    path, expected = exported("pairs")
    server = Server(path)
    sizes = [(a, b) for a in (0, 1, 21, 22, 23, 40, 90) for b in (0, 1, 21, 22, 23, 24, 90)]
    columns = [["good bad " * a for a, _ in sizes], ["é b " * b for _, b in sizes]]
    given = server.ask({"text_a": columns[0], "text_b": columns[1]})
    assert server.end()[0] == 0
    assert_equal(given, expected(columns))


def test_the_client_of_tensorflow_serving_asks_it_too(server, exported):
    address = f"http://{server.host}"
    command = [sys.executable, str(ROOT / "examples/serving_client.py"), "--model=toy"]
    command += [f"--rest={address}", json.dumps({"text": ODD})]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert_equal(json.loads(done.stdout), exported("classes")[1]([ODD]))


def test_health(server):
    with urllib.request.urlopen(f"http://{server.host}/health") as response:
        assert json.load(response) == {"status": "ok", "model": "toy"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body must be JSON such as .*: Expecting value"),
        (b"{", "The body must be JSON"),
        (b"\xff\xfe", "The body must be JSON"),
        (b"[" * 15000, "The body must be JSON"),
        (b"[]", "The body must hold text as in "),
        (b'{"inputs": "good"}', "The body must hold text"),
        (b'{"inputs": {"sentence": ["a"]}}', "The body must hold text"),
        (b'{"inputs": {"text": ["a"], "more": ["a"]}}', "The body must hold text"),
        (b'{"inputs": {"text": 3}}', "text must be a list of strings"),
        (b'{"inputs": {"text": null}}', "text must be a list of strings"),
        (b'{"inputs": {"text": ["a", 3]}}', "text must be a list of strings"),
        (b'{"inputs": {"text": [["a"]]}}', "text must be a list of strings"),
        (b'{"inputs": {"text": "\\ud800"}}', "text must be Unicode text, received half"),
        (b'{"inputs": {"text": ["a","a","a","a","a","a","a","a","a"]}}', "at most 8 .* received 9"),
        (b'{"signature_name": "ids", "inputs": {"text": ["a"]}}', "must be 'text'"),
    ],
)
def test_malformed_bodies(server, body, sentence):
    """A connection goes on after them."""
    connection = server.connect()
    with contextlib.closing(connection):
        for _ in range(2):
            connection.request("POST", server.path, body)
            response = connection.getresponse()
            assert response.status == 400
            assert re.match(f"(?s).*{sentence}", json.load(response)["error"])
        assert outputs(connection, server.path, {"text": "good"})["label"]


def test_malformed_pairs(exported):
    server = Server(exported("pairs")[0])
    for inputs, sentence in (
        ({"text_a": ["a"]}, "must hold text_a, text_b"),
        ({"text_a": ["a"], "text_b": ["a", "b"]}, "text_a and text_b must be lists of one length"),
        ({"text_a": "a", "text_b": ["a"]}, "text_a must be a list of strings"),
    ):
        status, error = server.refusal(json.dumps({"inputs": inputs}))
        assert status == 400 and sentence in error
    assert isinstance(server.ask({"text_a": "a", "text_b": "good"})["score"], float)
    assert server.end() == (0, "")


def test_other_refusals(server):
    for path in ("/", "/v1/models/other:predict", "/v1/models/toy"):
        assert server.refusal(b"{}", path=path)[0] == 404
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert server.refusal(b"{}", method=method)[0] == 405
    assert server.refusal(b"{}", path="/health")[0] == 405
    assert server.refusal(method="BREW")[0] == 405
    for size in (20_001, 3_000_000):
        status, error = server.refusal(b"x" * size)
        assert (status, str(size) in error) == (413, True)
    for length in ("-1", "x", "1" * 500):
        assert server.refusal(headers={"Content-Length": length})[0] in (400, 413)
    assert server.refusal(iter([b"{}"]), headers={"Transfer-Encoding": "chunked"})[0] == 411
    with contextlib.closing(server.connect()) as connection:
        connection.request("HEAD", "/health")
        assert connection.getresponse().status == 405


def test_no_http_at_all(server):
    with server.socket() as one:
        one.sendall(b"good morning\r\n\r\n")
        assert b"400" in one.recv(1000)


def test_clients_that_are_slow_or_hang_up_do_not_block_others(server, exported):
    slow = server.socket()
    slow.sendall(f"POST {server.path} HTTP/1.1\r\nContent-Le".encode())
    stuck = server.socket()
    stuck.sendall(f"POST {server.path} HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{{".encode())
    body = json.dumps({"inputs": {"text": "good"}}).encode()
    head = f"POST {server.path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for sent in (head[:5], head, head + body[:5], head + body):
        for _ in range(5):
            with server.socket() as one:
                one.sendall(sent)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    given = server.ask({"text": ["good"]})
    assert_equal(given, exported("classes")[1]([["good"]]))
    slow.sendall(f"ngth: {len(body)}\r\n\r\n".encode() + body)
    assert b"200 OK" in slow.recv(1000)
    for one in (slow, stuck):
        one.close()


def test_a_client_that_waits_to_be_let_in(server):
    body = json.dumps({"inputs": {"text": "good"}}).encode()
    with server.socket() as one:
        head = f"POST {server.path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
        one.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert one.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        one.sendall(body)
        assert b"200 OK" in one.recv(1000)


def test_more_than_it_takes_waits_elsewhere(exported):
    server = Server(exported("classes")[0], "--max_waiting=3")
    status, error = server.refusal(json.dumps({"inputs": {"text": ["a"] * 4}}))
    assert (status, error) == (503, "Too many texts wait for an answer; try again later.")
    assert server.ask({"text": "a"})
    assert server.end() == (0, "")


def test_sigterm_finishes_what_is_under_way(exported):
    """Of 60 connections, one that has sent half of its body and one that has sent nothing."""
    path, expected = exported("classes")
    server = Server(path, "--max_batch=1", "--threads=1")
    many = ["good bad " * 100] * 4
    answers = expected([many])
    idle, half = server.socket(), server.socket()
    body = json.dumps({"inputs": {"text": many}}).encode()
    head = f"POST {server.path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    half.sendall(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") + body[:9])
    assert half.recv(100).startswith(b"HTTP/1.1 100")  # The request is under way.
    asked = [server.socket() for _ in range(58)]
    for one in asked:
        one.sendall(head + body)
    select.select([asked[0]], [], [])  # One is answered, the others are not.
    server.process.send_signal(signal.SIGTERM)
    assert idle.recv(10) == b""  # The signal has arrived.
    half.sendall(body[9:])
    for one in (half, *asked):
        response = http.client.HTTPResponse(one)
        response.begin()
        assert response.status == 200
        assert one in asked or response.getheader("Connection") == "close"
        assert_equal(json.load(response)["outputs"], answers)
    assert server.ended() == (0, "")
    with pytest.raises(ConnectionRefusedError):
        server.socket()


def test_requests_that_take_too_long_are_cut(exported):
    server = Server(exported("classes")[0], "--grace=0.2")
    stuck = server.socket()
    stuck.sendall(f"POST {server.path} HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{{".encode())
    assert server.ask({"text": "a"})
    assert server.end()[0] == 1
    stuck.close()


def run(*args):
    command = [sys.executable, str(PROGRAM), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_exports_that_cannot_be_served(exported, tmp_path):
    path, _ = exported("classes")
    version = tmp_path / "toy/1"
    version.parent.mkdir()
    subprocess.run(["cp", "-r", str(path.parent), str(version)], check=True)
    model, report = version / "model.onnx", version / "assets.extra/export.json"

    def refused(sentence):
        done = run(model)
        assert done.returncode == 1 and re.match(f"onnx_serving: error: .*{sentence}", done.stderr)
        assert done.stderr.count("\n") == 1

    whole, text = model.read_bytes(), report.read_text()
    model.write_bytes(whole[: len(whole) // 2])
    refused("")
    model.unlink()
    refused("the export's file '.*model.onnx' cannot be read: No such file")
    model.write_bytes(whole)
    report.write_text("{}")
    refused("has no 'text_names'; export it again")
    report.write_text(text)
    (version / "assets/tokenizer.json").write_text("{}")
    refused("")


def test_a_port_that_is_taken(server, exported):
    done = run(exported("classes")[0], f"--port={server.host.split(':')[1]}")
    assert done.returncode == 1 and "error: [Errno" in done.stderr


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--threads=-1", r"--threads must be in \[0, 1000000000\], received -1"),
        ("--max_batch=0", r"--max_batch must be in \[1, 1000000000\], received 0"),
        ("--grace=nan", r"--grace must be in \[0, 1000000000\], received nan"),
        ("--max_wait_ms=inf", r"--max_wait_ms must be in \[0, 1000000000\], received inf"),
        ("--port=99999", "port must be 0-65535"),
    ],
)
def test_numbers_out_of_range(exported, argument, sentence):
    done = run(exported("classes")[0], argument)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert re.match(f"onnx_serving: error: .*{sentence}", done.stderr)


def test_it_needs_three_packages():
    tree = ast.parse(PROGRAM.read_text("utf-8"))
    names = {name.partition(".")[0] for name in imports(tree)}
    assert names - set(sys.stdlib_module_names) == {"numpy", "onnxruntime", "tokenizers"}
