"""A small server that answers with a model, by Python's own `http.server`.

    python examples/serve_http.py names.safetensors --port 8000
    curl http://127.0.0.1:8000/predict -d '{"sequences": ["Satoshi", "Dubois"], "top": 2}'

answers {"answers": [[["Japanese", 0.93], ["Polish", 0.02]], ...]}: for each sequence the likeliest labels with their
probabilities, or null for an empty one that the model skips. `top` is 1 if it is not given; a model of several labels
then answers with those that reach their thresholds. A model that takes facts about sequences takes "context", a list of
them. An exported file, `names.onnx`, is served in the same way, without torch. /health tells that the server is up. It
ends on SIGTERM or Ctrl-C, once what it was asked is answered.
"""

import argparse
import json
import math
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

MOST_BYTES = 1 << 20  # of a request


class RequestError(ValueError):
    """A request is none that can be answered."""


class Saved:
    """A model that `seqclf.save` wrote."""

    def __init__(self, path: str) -> None:
        import seqclf  # noqa: PLC0415  # which exported models do without

        model = seqclf.load(path)
        self.predictor = seqclf.Predictor(model)
        self.classes = range(model.num_classes) if model.classes is None else model.classes
        self.thresholds = model.thresholds.tolist() if model.multi_label else None
        self.is_series = model.input_size is not None and model.fields is None

    def predict_proba(self, sequences: list[Any], context: list[Any] | None) -> Iterable[Any]:
        """Return probabilities (C,) for each sequence; raise ValueError for what does not fit the model."""
        if self.is_series:
            sequences = list(map(as_array, sequences))
        if context is None and len(sequences) != 1:
            found: Iterable[Any] = self.predictor.predict_proba_iter(sequences)
            return found
        pairs = zip(sequences, [None] if context is None else context, strict=True)
        return [self.predictor.predict_proba(one, context=facts) for one, facts in pairs]


def as_array(sequence: Any) -> Any:
    """Return a series, which JSON has as lists, as an array; null is a missing number."""
    if not isinstance(sequence, list) or not sequence:
        return sequence
    rows = [row if isinstance(row, list) else [row] for row in sequence]
    wrong = next((value for row in rows for value in row if type(value) not in {int, float, type(None)}), None)
    if wrong is not None or len(set(map(len, rows))) > 1:
        raise RequestError(f"series must be lists of numbers, or of rows of numbers of one width; got {sequence!r:.60}")
    return np.array([[math.nan if value is None else float(value) for value in row] for row in rows])


class Handler(BaseHTTPRequestHandler):
    """One connection, which may ask many times."""

    server: "Server"
    protocol_version = "HTTP/1.1"  # in which connections stay open
    timeout = 30.0  # seconds to wait for what a client has announced, or for its next question
    wbufsize = 1 << 16  # head and body leave in one packet,
    disable_nagle_algorithm = True  # and at once

    def do_GET(self) -> None:
        """Say that the server is up."""
        self.reply(*((200, {"status": "ok"}) if self.path == "/health" else (404, {"error": "ask GET /health"})))

    def do_POST(self) -> None:
        """Answer a question."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self.refuse(411, "the request must say how long it is, with Content-Length", 0)
        if int(length) > MOST_BYTES:
            return self.refuse(413, f"the request must have {MOST_BYTES:,} bytes at most; got {length}", int(length))
        body = self.rfile.read(int(length))
        if self.path != "/predict":
            return self.reply(404, {"error": "ask POST /predict"})
        try:
            return self.reply(200, {"answers": answer(self.server.model, body)})
        except (ValueError, RecursionError, OverflowError) as error:  # the library's about data are ValueErrors
            return self.reply(400, {"error": str(error)})
        except Exception as error:  # noqa: BLE001  # a fault of the server's: it stays up, and says no more than that
            self.log_error("%r", error)
            return self.reply(500, {"error": "the server failed; its log says why"})

    def refuse(self, status: int, error: str, length: int) -> None:
        """Refuse a request unread; what is not too much of it is taken in, or the client would not see the answer."""
        self.close_connection = True
        left = min(length, 16 * MOST_BYTES)
        while left > 0 and (part := self.rfile.read(min(left, 1 << 16))):
            left -= len(part)
        self.reply(status, {"error": error})

    def reply(self, status: int, content: dict[str, Any]) -> None:
        """Send JSON."""
        body = json.dumps(content, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Leave out of the log what went well."""


def answer(model: Any, body: bytes) -> list[Any]:
    """Return the answers to a question; raise ValueError for one that is none."""
    asked = json.loads(body)
    if not isinstance(asked, dict) or not isinstance(asked.get("sequences"), list):
        raise RequestError('the request must be {"sequences": [...], "top": 3}, of which "top" may be left out')
    if unknown := set(asked) - {"sequences", "top", "context"}:
        raise RequestError(f'the request may have "sequences", "top" and "context"; got {sorted(unknown)}')
    top, context, sequences = asked.get("top"), asked.get("context"), asked["sequences"]
    if top is not None and (type(top) is not int or top < 1):
        raise RequestError(f'"top" must be an integer of at least 1; got {top!r}')
    if context is not None and (not isinstance(context, list) or len(context) != len(sequences)):
        raise RequestError(f'"context" must be a list with one for each of the {len(sequences)} sequences')
    return [likeliest(model, row, top) for row in model.predict_proba(sequences, context)]


def likeliest(model: Any, row: Any, top: int | None) -> list[Any] | None:
    """Return labels with their probabilities, the likeliest first; None for a sequence that is skipped."""
    if np.isnan(row).any():
        return None
    order = np.argsort(-row, kind="stable")
    if top is None and model.thresholds is not None:
        order = order[(row >= np.array(model.thresholds))[order]]
    else:
        order = order[: top or 1]
    return [(model.classes[place], float(row[place])) for place in order.tolist()]


class Server(ThreadingHTTPServer):
    """A thread for each connection, all of which ask one model."""

    daemon_threads = False  # the end waits for them
    request_queue_size = 128  # clients that come at the same time

    def __init__(self, address: tuple[str, int], model: Any) -> None:
        self.model, self.connections = model, set[Any]()
        super().__init__(address, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a connection."""
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Let no connection ask any more, and wait until what was asked is answered."""
        for connection in list(self.connections):
            with suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RD)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, unless the client has just gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def load_model(path: str) -> Any:
    """Return the model of a file that `save` or `export` wrote."""
    if not path.endswith(".onnx"):
        return Saved(path)
    from serve_onnx import Classifier  # noqa: PLC0415  # the example beside this one, which needs onnxruntime

    return Classifier(path, threads=1)


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the .safetensors or .onnx file")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; the default is this machine alone")
    parser.add_argument("--port", type=int, default=8000, help="0 takes one that is free")
    arguments = parser.parse_args()
    try:
        model = load_model(arguments.model)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    server = Server((arguments.host, arguments.port), model)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: threading.Thread(target=server.shutdown).start())
    print("serving {} at http://{}:{}".format(arguments.model, *server.server_address[:2]), flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
