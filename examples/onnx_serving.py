"""Answers texts over HTTP by an ONNX file of flop-export, without TensorFlow.

  pip install onnxruntime numpy tokenizers
  python examples/onnx_serving.py served/sst2/1/model.onnx
  curl localhost:8501/v1/models/sst2:predict -d '{"inputs": {"text": ["a good film", "so dull"]}}'

Requests and answers are those of the signature `text` of BERT in TensorFlow Serving's REST, so that
`serving_client.py` asks both; a text in place of a list gets its answers without one, too.
`GET /health` says whether the server takes requests. SIGTERM ends it when all are answered.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.parse

import numpy as np
import onnxruntime
import tokenizers

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")

#: The shortest texts, in tokens, are batched together, longer ones from each power of two on.
SHORT = 16

#: The smallest value of each number of the command line, and the largest of all.
_LEAST = {
    "threads": 0,
    "max_batch": 1,
    "max_tokens": 1,
    "max_wait_ms": 0,
    "max_waiting": 1,
    "max_texts": 1,
    "max_body": 1,
    "grace": 0,
}
_MOST = 10**9


class Model:
    """An ONNX file of an export, and the files next to it.

    Args:
      path: of the file, in the folder of its version: `NAME/1/model.onnx`.
      threads: int, threads of an operation; 0 takes one a core.

    Raises:
      OSError: if a file cannot be read.
      ValueError: if a file is damaged, or its model gives no classes, score or embedding.
    """

    def __init__(self, path, threads=0):
        folder = os.path.dirname(os.path.abspath(path))
        self.name = os.path.basename(os.path.dirname(folder))
        report = json.loads(_read(os.path.join(folder, "assets.extra", "export.json")))
        try:
            self.text_names, self.max_length = report["text_names"], report["max_seq_length"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"the export in {folder!r} has no {error}; export it again") from error
        self.labels, self.thresholds = (
            _read(path).split("\n")[:-1] if os.path.exists(path) else None
            for path in (
                os.path.join(folder, "assets", f"{n}.txt") for n in ("labels", "thresholds")
            )
        )
        whole = _read(os.path.join(folder, "assets", "tokenizer.json"))
        self.tokenizer = _made(tokenizers.Tokenizer.from_str, whole)
        padding = map(self.tokenizer.token_to_id, ("[PAD]", "<pad>"))
        self.pad_id = next((number for number in padding if number is not None), 0)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Batches come in thousands of shapes, and it would keep a plan for each.
        options.enable_mem_pattern = False
        # Threads that spin while they wait would take the processor from tokenizer and sockets.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with open(path, "rb"):  # What it says of a missing file is longer.
            self.session = _made(onnxruntime.InferenceSession, path, options)
        self.output_names = [output.name for output in self.session.get_outputs()]
        if {"probabilities", "score", "scores", "embedding"}.isdisjoint(self.output_names):
            raise ValueError(
                f"the model {path!r} must give probabilities, scores or an embedding, received one "
                f"that gives {', '.join(self.output_names)}"
            )

    def encode(self, texts):
        """Returns ids and segments of a text or a pair, cut as in training.

        Args:
          texts: list of one or two strings.
        """
        parts = [self.tokenizer.encode(text, add_special_tokens=False) for text in texts]
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(len(parts) == 2)
        kept = [room]
        if len(parts) == 2:  # The longer one first; of two long ones half and half.
            first = min(len(parts[0]), max(room - len(parts[1]), (room + 1) // 2))
            kept = [first, room - first]
        for part, number in zip(parts, kept, strict=True):
            part.truncate(number)
        whole = self.tokenizer.post_process(*parts)
        return whole.ids, whole.type_ids

    def answer(self, rows):
        """Returns the outputs of each row, a list of `{name: plain data}`.

        Args:
          rows: list of `encode`.
        """
        longest = max(len(ids) for ids, _ in rows)
        shape = len(rows), longest
        word_ids, mask, types = np.full(shape, self.pad_id), np.zeros(shape), np.zeros(shape)
        for index, (ids, segments) in enumerate(rows):
            word_ids[index, : len(ids)], types[index, : len(ids)] = ids, segments
            mask[index, : len(ids)] = 1
        arrays = (array.astype(np.int32) for array in (word_ids, mask, types))
        outputs = self.session.run(self.output_names, dict(zip(INPUTS, arrays, strict=True)))
        answers = [
            dict(zip(self.output_names, row, strict=True))
            for row in zip(*(output.tolist() for output in outputs), strict=True)
        ]
        if self.labels:
            for answer in answers:
                answer |= self._named(answer)
        return answers

    def _named(self, answer):
        """Returns the class, or the labels that hold, in an answer to one text."""
        if self.thresholds:
            each = zip(
                self.labels, answer["probabilities"], map(float, self.thresholds), strict=True
            )
            return {"labels": ", ".join(label for label, share, least in each if share >= least)}
        if "logits" in answer:
            return {"label": self.labels[int(np.argmax(answer["logits"]))]}
        return {}


class Refused(Exception):
    """A request that is not answered.

    Args:
      code: the HTTP status.
      sentence: why.
    """

    def __init__(self, code, sentence):
        super().__init__(sentence)
        self.code = code


class Batcher:
    """Runs the rows of all requests in batches of about one length, the oldest row first.

    Args:
      model: a `Model`.
      max_batch: int, the most rows of a batch.
      max_tokens: int, the most tokens of a batch with padding, unless one row has more.
      max_wait: float, seconds that a row waits for others to come.
      max_waiting: int, the most rows that wait; more are refused.
    """

    def __init__(self, model, max_batch, max_tokens, max_wait, max_waiting):
        self.model, self.max_batch, self.max_tokens = model, max_batch, max_tokens
        self.max_wait, self.max_waiting = max_wait, max_waiting
        self._rows = collections.deque()  # Of (arrival, row, future).
        self._changed = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, rows):
        """Returns a future of the answer to each row.

        Args:
          rows: list of `Model.encode`.

        Raises:
          Refused: if too many rows wait.
        """
        now = time.monotonic()
        added = [(now, row, concurrent.futures.Future()) for row in rows]
        with self._changed:
            if len(self._rows) + len(added) > self.max_waiting:
                raise Refused(503, "Too many texts wait for an answer; try again later.")
            self._rows += added
            self._changed.notify()
        return [future for _, _, future in added]

    def _work(self):
        while True:
            batch = self._next()
            try:
                answers = self.model.answer([row for _, row, _ in batch])
            except Exception as error:  # The next batch may be a better one.
                for _, _, future in batch:
                    future.set_exception(error)
            else:
                for (_, _, future), answer in zip(batch, answers, strict=True):
                    future.set_result(answer)

    def _next(self):
        """Waits for a batch and returns its rows: the oldest one, and others of its bucket."""
        with self._changed:
            self._changed.wait_for(lambda: self._rows)
            until = self._rows[0][0] + self.max_wait
            while len(self._rows) < self.max_batch and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            bucket = _bucket(self._rows[0])
            most = max(1, min(self.max_batch, self.max_tokens // bucket))
            same = [entry for entry in self._rows if _bucket(entry) == bucket][:most]
            chosen = set(map(id, same))
            self._rows = collections.deque(e for e in self._rows if id(e) not in chosen)
        return same


class Handler(http.server.BaseHTTPRequestHandler):
    """A connection: one request after the other, each answered in JSON."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # Seconds without a byte, and the most that a body takes.
    disable_nagle_algorithm = True
    wbufsize = -1  # An answer is one packet.

    def parse_request(self):
        """Reads the head of a request, which is under way from now on."""
        self.server.busy.add(self.connection)
        return super().parse_request()

    def handle_expect_100(self):
        """Lets a client send its body."""
        allowed = super().handle_expect_100()
        self.wfile.flush()
        return allowed

    def handle_one_request(self):
        """Answers a request, the last one where the server ends."""
        super().handle_one_request()
        self.server.busy.discard(self.connection)
        self.close_connection |= self.server.ends

    def _handle(self):
        self.has_unread = True
        try:
            code, answer = 200, self._answer(urllib.parse.unquote(self.path.partition("?")[0]))
        except Refused as error:
            code, answer = error.code, {"error": str(error)}
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            self.server.handle_error(self.connection, self.client_address)
            code, answer = 500, {"error": f"The model failed: {error}"}
        self._send(code, answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle

    def _answer(self, path):
        """Returns the answer to a request; raises Refused."""
        server = self.server
        methods = {"/health": "GET", f"/v1/models/{server.model.name}:predict": "POST"}
        body = self._body()
        if path not in methods:
            raise Refused(404, f"The path must be one of {list(methods)}, received {path!r}.")
        if self.command != methods[path]:
            raise Refused(405, f"{path} takes {methods[path]}, received {self.command}.")
        if path == "/health":
            if server.ends:
                raise Refused(503, "The server ends.")
            return {"status": "ok", "model": server.model.name}
        rows, single = _texts(body, server.model.text_names, server.max_texts)
        futures = server.batcher.submit([server.model.encode(row) for row in rows])
        answers = [future.result() for future in futures]
        if single:
            return {"outputs": answers[0]}
        names = answers[0] if answers else ()
        return {"outputs": {name: [answer[name] for answer in answers] for name in names}}

    def _body(self):
        """Returns the bytes of the body; raises Refused."""
        if "Transfer-Encoding" in self.headers:
            raise Refused(411, "A request must have a Content-Length, received it in chunks.")
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refused(400, f"The Content-Length must be a number, received {length[:80]!r}.")
        if int(length[:20]) > self.server.max_body:
            raise Refused(
                413, f"A body has at most {self.server.max_body} bytes, received {length[:20]}."
            )
        body, until = b"", time.monotonic() + self.timeout
        while len(body) < int(length):
            part = self.rfile.read1(int(length) - len(body))
            if not part:
                raise ConnectionAbortedError
            if time.monotonic() > until:
                raise Refused(408, f"A body must come within {self.timeout} seconds.")
            body += part
        self.has_unread = False
        return body

    def send_error(self, code, message=None, explain=None):
        """Sends what the base class refuses: a request that is no HTTP, or an odd method."""
        self.has_unread, self.close_connection = True, True
        self.request_version = self.protocol_version  # The oldest one has no status.
        code = 405 if code == 501 else code
        self._send(code, {"error": f"{message or http.HTTPStatus(code).phrase}."})

    def _send(self, code, answer):
        self.close_connection |= self.has_unread or self.server.ends
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code == 405:
            self.send_header("Allow", "GET" if self.path.startswith("/health") else "POST")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()
        if self.has_unread:
            self._drain()

    def _drain(self):
        """Reads on for a while: closing before all is read would take the answer back."""
        until = time.monotonic() + 5
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            while time.monotonic() < until and self.connection.recv(1 << 16):
                pass

    def log_message(self, *args):
        """Says nothing of single requests."""


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection, one more for the model.

    Args:
      address: `(host, port)`.
      model: a `Model`.
      batcher: its `Batcher`.
      max_texts: int, the most texts or pairs of a request.
      max_body: int, the most bytes of a request.
    """

    request_queue_size = 1024
    timeout = 0  # Of `handle_request`, which `end` uses alone.

    def __init__(self, address, model, batcher, max_texts, max_body):
        self.model, self.batcher = model, batcher
        self.max_texts, self.max_body = max_texts, max_body
        self.busy, self.ends = set(), False
        self._open, self._closed = set(), threading.Condition()
        super().__init__(address, Handler)

    def process_request(self, request, client_address):
        """Starts the thread of a connection."""
        with self._closed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        """Ends a connection."""
        super().shutdown_request(request)
        with self._closed:
            self._open.discard(request)
            self.busy.discard(request)
            self._closed.notify()

    def handle_error(self, request, client_address):
        """Says what went wrong, unless it is a client that hung up."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def handle_timeout(self):
        """See `end`."""
        self._accepts = False

    def end(self, seconds):
        """Takes no more connections and waits for requests that have begun.

        Args:
          seconds: float, the most to wait.

        Returns:
          Whether all are answered.
        """
        self.ends = self._accepts = True
        self.shutdown()
        while self._accepts:  # Those that wait to be accepted.
            self.handle_request()
        self.server_close()
        with self._closed:
            for connection in self._open - self.busy:
                with contextlib.suppress(OSError):  # What has come can still be read.
                    connection.shutdown(socket.SHUT_RD)
            return self._closed.wait_for(lambda: not self._open, seconds)


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def _made(maker, given, *args):
    """Returns what a library makes; its errors have no class in common."""
    try:
        return maker(given, *args)
    except Exception as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def _sentence(error):
    """Returns an error as text; a file that cannot be read is named as one of the export."""
    if isinstance(error, OSError) and error.filename:
        return f"the export's file {error.filename!r} cannot be read: {error.strerror}"
    return error


def _bucket(entry):
    """Returns the most tokens in the bucket of a row that waits: a power of two."""
    _, (ids, _), _ = entry
    return max(SHORT, 1 << (len(ids) - 1).bit_length())


def _texts(body, names, most):
    """Returns the texts of a request, lists of one or two, and whether it is a single one.

    Args:
      body: bytes of the request.
      names: list of the names of the texts.
      most: int, the most texts of a name.

    Raises:
      Refused: if the request is malformed.
    """
    example = json.dumps({"inputs": {name: ["..."] for name in names}})
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body must be JSON such as {example}: {error}.") from error
    inputs = data.get("inputs") if isinstance(data, dict) else None
    if not isinstance(inputs, dict) or set(inputs) != set(names):
        raise Refused(400, f"The body must hold {', '.join(names)} as in {example}.")
    if data.get("signature_name", "text") != "text":
        raise Refused(400, "The signature_name must be 'text', the one that takes texts.")
    columns = [inputs[name] for name in names]
    single = all(isinstance(column, str) for column in columns)
    columns = [[column] for column in columns] if single else columns
    for name, column in zip(names, columns, strict=True):
        if not isinstance(column, list) or not all(isinstance(text, str) for text in column):
            raise Refused(400, f"{name} must be a list of strings, as in {example}.")
        if len(column) > most:
            raise Refused(400, f"A request has at most {most} texts, received {len(column)}.")
        if len(column) != len(columns[0]):
            raise Refused(400, f"{' and '.join(names)} must be lists of one length.")
        if any("\ud800" <= char <= "\udfff" for text in column for char in text):
            raise Refused(400, f"{name} must be Unicode text, received half a surrogate pair.")
    return list(zip(*columns, strict=True)), single


def _arguments(argv):
    """Returns the arguments; raises ValueError where a number is out of range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the .onnx file in the folder of an export")
    parser.add_argument("--host", default="127.0.0.1", help="address; 0.0.0.0 is every one")
    parser.add_argument("--port", type=int, default=8501, help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=0, help="of the model; 0 is one a core")
    parser.add_argument("--max_batch", type=int, default=32, help="texts of a batch")
    parser.add_argument("--max_tokens", type=int, default=2048, help="tokens of a batch")
    parser.add_argument("--max_wait_ms", type=float, default=0, help="wait for more texts")
    parser.add_argument("--max_waiting", type=int, default=2000, help="texts; more get 503")
    parser.add_argument("--max_texts", type=int, default=256, help="texts of a request")
    parser.add_argument("--max_body", type=int, default=1 << 20, help="bytes of a request")
    parser.add_argument("--grace", type=float, default=30, help="seconds to end in")
    args = parser.parse_args(argv)
    for name, least in _LEAST.items():
        value = getattr(args, name)
        if not least <= value <= _MOST:
            raise ValueError(f"--{name} must be in [{least}, {_MOST}], received {value}")
    return args


def _ended():
    """Returns a socket that has a byte once SIGTERM or SIGINT has come.

    A handler runs in the main thread alone, which another thread that a signal is delivered to
    does not wake from a lock.
    """
    ended, write = socket.socketpair()
    write.setblocking(False)
    signal.set_wakeup_fd(write.detach())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return ended


def main(argv=None):
    """Serves until SIGTERM or SIGINT.

    Returns:
      The exit code.
    """
    ended = _ended()
    try:
        args = _arguments(argv)
        model = Model(args.model, args.threads)
        model.answer([model.encode(["a"] * len(model.text_names))])  # The first one is slow.
        batcher = Batcher(
            model, args.max_batch, args.max_tokens, args.max_wait_ms / 1000, args.max_waiting
        )
        address = args.host, args.port
        server = Server(address, model, batcher, args.max_texts, args.max_body)
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"onnx_serving: error: {_sentence(error)}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host, port = server.server_address
    print(f"http://{host}:{port}/v1/models/{model.name}:predict", flush=True)
    ended.recv(1)
    return 0 if server.end(args.grace) else 1


if __name__ == "__main__":
    sys.exit(main())
