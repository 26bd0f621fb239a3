"""The examples that serve: the answers of the library, from the exported file alone and over HTTP under load."""

import http.client
import importlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from benchmarks import int8, serving
from hypothesis import given
from hypothesis import strategies as st

from seqclf import Predictor, RNNClassifier, SequenceDataset, Vocabulary, export, predict, predict_proba, save
from seqclf.errors import SeqclfError
from seqclf.reading.tokenizers import Tokenizer

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> Any:
    """Import an example, which finds those beside it."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    return importlib.import_module(name)


serve_onnx, serve_http = example("serve_onnx"), example("serve_http")


def of(dataset: SequenceDataset, **options: Any) -> RNNClassifier:
    """Return a model of a dataset whose answers differ from sequence to sequence."""
    model = RNNClassifier.for_dataset(dataset, hidden_size=6, seed=0, **options)
    with torch.no_grad():
        model.head.weight.mul_(8)
    return model


def hugging_face() -> Any:
    from tokenizers import Tokenizer as Subwords
    from tokenizers import models, pre_tokenizers

    tokenizer = Subwords(models.BPE(vocab={"?": 0, "a": 1, "b": 2, "ab": 3}, merges=[("a", "b")], unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def of_texts(texts: list[str], **options: Any) -> RNNClassifier:
    tokenizer = options.pop("tokenizer", "characters")
    return of(SequenceDataset.from_sequences(texts, ["x", "y", "z"], tokenizer=tokenizer), **options)


def of_series(width: int, **options: Any) -> RNNClassifier:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(steps, width)) * 3 + 5 for steps in (4, 2, 7)]
    arrays[0][1] = np.nan
    first = options.get("channels_first", False)
    dataset = SequenceDataset.from_sequences(
        [array.T if first else array for array in arrays], ["x", "y", "z"], allow_missing=True, channels_first=first
    )
    return of(dataset, missing="indicator", **{name: value for name, value in options.items() if not first})


VISITS = [[{"page": "home", "seconds": 3.5}, {"page": None, "seconds": 9.0}], [{"page": "cart", "seconds": None}]]
SOME = ["The film isn't 3.14, is it?", "naïve CAFE\u0301 film", "東京 の film: it's bad"]
SERIES = [[[0.5, 20.0], [None, 3.0]], [[1, 2]], [[None, None], [4.0, -1.5], [0.0, 7.25]]]


def of_records() -> RNNClassifier:
    dataset = SequenceDataset.from_sequences(
        VISITS, ["buys", "leaves"], allow_missing=True, context={"country": ["de", "fr"], "age": [30.0, 41.0]}
    )
    return of(dataset, missing="mean")


FACTS = [{"country": "fr", "age": 33}, {"country": "xx", "age": None}]

# What a model is of; what JSON holds of its sequences, and of facts about them.
MODELS: dict[str, tuple[RNNClassifier, list[Any], list[Any] | None]] = {
    "text": (of_texts(["abc", "bca", "aab"]), ["abcx", "c", "bb"], None),
    "text, empty": (of_texts(["abc", "bca", "aab"], empty="zero"), ["", "ab"], None),
    "text, skipped": (of_texts(["abc", "bca", "aab"], empty="skip"), ["", "ab"], None),
    "words": (of_texts(SOME, tokenizer="words"), [*SOME, "It's FILM 1,000 n'est"], None),
    "lowercase words": (of_texts(SOME, tokenizer="lowercase_words"), [*SOME, "STRASSE, Film"], None),
    "bytes": (of_texts(SOME, tokenizer="bytes"), SOME, None),
    "subwords": (of_texts(["ab a", "b", "ab ab"], tokenizer=hugging_face()), ["abab b", "ab c"], None),
    "tokens": (of(SequenceDataset.from_pairs([(["a", 7], "x"), ([3, "b"], "y")])), [["b", 7, "q"], [3]], None),
    "flags": (of(SequenceDataset.from_pairs([([True, False], 0), ([False], 1)])), [[False, True], [True]], None),
    "series": (of_series(2), SERIES, None),
    "series of one": (of_series(1), [[1, 2.5, None], [[3.0]]], None),
    "series, channels first": (of_series(2, channels_first=True), [[[0.5, None, 1], [20, 3.0, 2]]], None),
    "records, with context": (of_records(), VISITS, FACTS),
    "several labels": (
        of(SequenceDataset.from_sequences(["ab", "b", "a"], [{"x", "y"}, {"y"}, {"z"}], multi_label=True)),
        ["ab", "ba", "bbbb"],
        None,
    ),
}


def as_raw(model: RNNClassifier, sequences: list[Any]) -> list[Any]:
    """Return what JSON holds as `predict` takes it."""
    if model.fields is not None or model.input_size is None:
        return sequences
    return [np.array(sequence, object).astype(float) for sequence in sequences]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save and export the models; return where to, without the ending."""
    folder, found = tmp_path_factory.mktemp("models"), {}
    for number, (name, (model, _, _)) in enumerate(MODELS.items()):
        found[name] = folder / str(number)
        export(model, folder / f"{number}.onnx", check_shapes=1)
        save(model, folder / f"{number}.safetensors")
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_exported_file_alone_gives_the_answers(name: str, files: dict[str, Path]) -> None:
    model, sequences, context = MODELS[name]
    classifier = serve_onnx.Classifier(files[name].with_suffix(".onnx"))
    found = classifier.predict_proba(sequences, context)
    expected = predict_proba(model, as_raw(model, sequences), context=context)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5, equal_nan=True)
    assert len(np.unique(expected)) > 2
    labels = [tuple(label) if isinstance(label, list) else label for label in map(classifier.label, found)]
    assert labels == predict(model, as_raw(model, sequences), context=context)
    assert classifier.predict_proba([], None if context is None else []).shape == (0, model.num_classes)


@pytest.mark.parametrize("kind", ["words", "lowercase words"])
@given(text=st.text(st.one_of(st.characters(), st.sampled_from("aB3.,'\u2019é\u0301の東 "))))
def test_words_are_split_as_the_library_does(files: dict[str, Path], kind: str, text: str) -> None:
    classifier = serve_onnx.Classifier(files[kind].with_suffix(".onnx"))
    assert classifier.split(text) == Tokenizer(kind.replace(" ", "_"))([text])[0]


WRONG: list[tuple[str, Any, str]] = [
    ("text", [""], r"sequences must not be empty; got length 0 \(sequence 0\)"),
    ("text", ["a", 3], r"sequences must be texts; got int \(sequence 1\)"),
    ("text", ["a", ["a"]], r"sequences must be texts; got list \(sequence 1\)"),
    ("words", ["  "], r"sequences must not be empty"),
    ("tokens", ["ab"], r"sequences must be lists; got str \(sequence 0\)"),
    ("tokens", [["a", 2.5]], r"symbols must be strings or integers; got 2.5 \(sequence 0\)"),
    ("tokens", [["a", ["b"]]], r"symbols must be strings or integers; got \['b'\]"),
    ("series", [[[1.0, 2.0], [3.0]]], r"steps must have 2 numbers; got 1 \(sequence 0, step 1\)"),
    ("series", [[[1.0, "2"]]], r"numbers must be finite, and fit float32; got '2' \(sequence 0, step 0\)"),
    ("series", [[[1.0, 1e39]]], r"numbers must be finite, and fit float32; got 1e\+39"),
    ("series", [[[1.0, float("inf")]]], r"numbers must be finite, and fit float32; got inf"),
    ("series", [[[1.0, True]]], r"numbers must be finite, and fit float32; got True"),
    ("series", [[[1.0, 10**400]]], r"numbers must be finite, and fit float32; got 1000"),
    ("series", ["12"], r"sequences must be lists; got str"),
    ("series", [[]], r"sequences must not be empty"),
]


@pytest.mark.parametrize(("name", "sequences", "message"), WRONG)
def test_what_does_not_fit_is_refused_by_both(name: str, sequences: Any, message: str, files: dict[str, Path]) -> None:
    with pytest.raises(serve_onnx.InputError, match=message):
        serve_onnx.Classifier(files[name].with_suffix(".onnx")).predict_proba(sequences)
    with pytest.raises((SeqclfError, serve_http.RequestError, OverflowError)):
        list(serve_http.Saved(str(files[name].with_suffix(".safetensors"))).predict_proba(sequences, None))


@pytest.mark.parametrize(
    ("sequences", "context", "message"),
    [
        (VISITS, None, r"context must be one for each of the 2 sequences; got none"),
        (VISITS, FACTS[:1], r"context must be one for each of the 2 sequences; got 1"),
        (VISITS, [FACTS[0], {"age": 3}], r"records must have the fields .*'age'.*; got \{'age': 3\} \(context 1\)"),
        (VISITS, [FACTS[0], {"age": "old", "country": "de"}], r"numbers must be .*; got 'old' \(context 1, 'age'\)"),
        ([[3]], FACTS[:1], r"records must have the fields .*; got 3 \(sequence 0, step 0\)"),
        ([[{"page": [], "seconds": 1}]], FACTS[:1], r"symbols must be .*; got \[\] \(sequence 0, step 0, 'page'\)"),
    ],
)
def test_records_that_do_not_fit_are_refused(
    sequences: Any, context: Any, message: str, files: dict[str, Path]
) -> None:
    classifier = serve_onnx.Classifier(files["records, with context"].with_suffix(".onnx"))
    with pytest.raises(serve_onnx.InputError, match=message):
        classifier.predict_proba(sequences, context)


def test_other_policies(tmp_path: Path) -> None:
    strict = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab", strict=True), hidden_size=4)
    export(strict, tmp_path / "strict.onnx", check_shapes=1)
    with pytest.raises(serve_onnx.InputError, match=r"symbols must be known; got 'c' \(sequence 1\)"):
        serve_onnx.Classifier(tmp_path / "strict.onnx").predict_proba(["ab", "ac"])
    assert serve_onnx.Classifier(tmp_path / "strict.onnx").classes == [0, 1]
    visits = [[{"page": "home", "seconds": 3.5}], [{"page": "cart", "seconds": 4.0}]]
    export(of(SequenceDataset.from_pairs(zip(visits, "xy", strict=True))), tmp_path / "known.onnx", check_shapes=1)
    known = serve_onnx.Classifier(tmp_path / "known.onnx")
    with pytest.raises(serve_onnx.InputError, match=r"categories must be known; got null \(sequence 0, step 0, 'page'"):
        known.predict_proba([[{"page": None, "seconds": 1}]])
    with pytest.raises(serve_onnx.InputError, match=r"numbers must be known; got a missing one \(sequence 0, step 0"):
        known.predict_proba([[{"page": "home", "seconds": None}]])


def test_models_that_cannot_be_served(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(serve_onnx.InputError, match=r"model must be an ONNX file; got .*model\.onnx"):
        serve_onnx.Classifier(path)
    export(RNNClassifier(2, vocab_size=4, hidden_size=4), path, check_shapes=1)
    with pytest.raises(serve_onnx.InputError, match=r"model must know its symbols; got one of ids alone"):
        serve_onnx.Classifier(path)
    split = of(SequenceDataset.from_pairs([("a b", "x"), ("b", "y")], tokenizer=str.split))
    export(split, path, check_shapes=1)
    with pytest.raises(serve_onnx.InputError, match=r"model must hold its tokenizer; got only the name of one, str\.s"):
        serve_onnx.Classifier(path)
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, path)
    with pytest.raises(serve_onnx.InputError, match=r"model must be one that seqclf\.export wrote"):
        serve_onnx.Classifier(path)


def run_alone(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run an example where only onnxruntime and NumPy can be imported."""
    blocked = "for name in ('torch', 'seqclf', 'onnx', 'safetensors', 'tokenizers'): sys.modules[name] = None\n"
    code = f"import runpy, sys\n{blocked}sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(EXAMPLES / "serve_onnx.py"), *arguments]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        command, input=stdin, capture_output=True, encoding="utf-8", check=False, env=environment, timeout=100
    )


@pytest.mark.processes
@pytest.mark.parametrize("name", ["text", "words", "series", "records, with context"])
def test_the_example_serves_without_torch(name: str, files: dict[str, Path]) -> None:
    model, sequences, context = MODELS[name]
    lines = sequences if model.input_size is None else list(map(json.dumps, sequences))
    if context is not None:
        pairs = zip(sequences, context, strict=True)
        lines = [json.dumps({"sequence": sequence, "context": facts}) for sequence, facts in pairs]
    rows = predict_proba(model, as_raw(model, sequences), context=context)
    labels = predict(model, as_raw(model, sequences), context=context)
    expected = [f"{line}\t{label}\t{row.max():.3f}" for line, label, row in zip(lines, labels, rows, strict=True)]
    path = str(files[name].with_suffix(".onnx"))
    for finished in (run_alone(path, *lines), run_alone(path, stdin="\n".join(lines))):
        assert finished.stdout.splitlines() == expected, finished.stderr


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "line", "shown"),
    [
        ("series", "[1", r"error: lines must be JSON for this model; got '[1' (line 0)"),
        ("series", "[[1]]", "error: steps must have 2 numbers; got 1 (sequence 0, step 0)."),
        ("records, with context", "[]", 'error: lines must be {"sequence": ..., "context": ...}; got'),
    ],
)
def test_lines_that_the_example_refuses(name: str, line: str, shown: str, files: dict[str, Path]) -> None:
    finished = run_alone(str(files[name].with_suffix(".onnx")), line)
    assert finished.returncode == 1
    assert finished.stderr.startswith(shown)


@contextmanager
def served(model: Any) -> Iterator[int]:
    """Serve a model on a free port; no thread of the server may be left when it has ended."""
    before = set(threading.enumerate())
    server = serve_http.Server(("127.0.0.1", 0), model)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert set(threading.enumerate()) <= before
    assert not server.connections


def ask(connection: http.client.HTTPConnection, content: Any) -> tuple[int, Any]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    connection.request("POST", "/predict", body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@contextmanager
def connected(model: Any) -> Iterator[http.client.HTTPConnection]:
    with served(model) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        yield connection
        connection.close()


def as_answers(model: RNNClassifier, sequences: list[Any], **options: Any) -> list[Any]:
    """Return what a server must answer."""
    found = predict(model, as_raw(model, sequences), **options)
    return [row if row is None else [list(pair) for pair in row] for row in found]


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
@pytest.mark.parametrize("name", MODELS)
def test_the_server_answers_as_predict(name: str, suffix: str, files: dict[str, Path]) -> None:
    model, sequences, context = MODELS[name]
    with connected(serve_http.load_model(str(files[name].with_suffix(suffix)))) as connection:
        for chosen in (slice(None), slice(0, 1), slice(0, 0)):
            known = None if context is None else context[chosen]
            asked = {"sequences": sequences[chosen], "top": 2} | ({} if known is None else {"context": known})
            status, content = ask(connection, asked)
            assert status == 200, content
            expected = as_answers(model, sequences[chosen], top=2, context=known) if sequences[chosen] else []
            if suffix == ".safetensors":
                assert content["answers"] == expected  # to the last bit
            for found, own in zip(content["answers"], expected, strict=True):
                assert found == own or [one for one, _ in found] == [one for one, _ in own]
                assert found == own or np.allclose([p for _, p in found], [p for _, p in own], atol=1e-5)


def test_without_top_the_labels_are_those_of_predict(files: dict[str, Path]) -> None:
    for name in ("text", "several labels"):
        model, sequences, _ = MODELS[name]
        with connected(serve_http.Saved(str(files[name].with_suffix(".safetensors")))) as connection:
            _, content = ask(connection, {"sequences": sequences})
        labels = [[label for label, _ in row] for row in content["answers"]]
        expected = predict(model, sequences)
        assert list(map(set, labels)) == [set(one) if isinstance(one, tuple) else {one} for one in expected]


def test_many_clients_get_equal_answers(files: dict[str, Path]) -> None:
    model, _, _ = MODELS["text"]
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcd"), rng.integers(1, 30))) for _ in range(200)]
    expected = as_answers(model, texts, top=3)
    wrong: list[Any] = []
    counts = [0] * 8
    end = time.monotonic() + 1.5

    def client(number: int, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        own = np.random.default_rng(number)
        while time.monotonic() < end:
            start, size = own.integers(0, 150), own.choice([1, 1, 1, 50])
            status, content = ask(connection, {"sequences": texts[start : start + size], "top": 3})
            if status != 200 or content["answers"] != expected[start : start + size]:
                wrong.append(content)
            if own.random() < 0.1 and ask(connection, {"sequences": [""]})[0] != 400:
                wrong.append("an empty text was not refused")
            counts[number] += 1
        connection.close()

    with served(serve_http.Saved(str(files["text"].with_suffix(".safetensors")))) as port:
        threads = [threading.Thread(target=client, args=(number, port)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert min(counts) > 0


REFUSED: list[tuple[Any, str]] = [
    (b"{", "Expecting property name"),
    (b"\xff", "codec can't decode"),
    (b"[" * 100_000, "recursion"),
    ([], 'the request must be {"sequences"'),
    ({"sequences": "abc"}, 'the request must be {"sequences"'),
    ({"sequence": ["abc"]}, 'the request must be {"sequences"'),
    ({"sequences": ["abc"], "tpo": 3}, "got ['tpo']"),
    ({"sequences": ["abc"], "top": 0}, '"top" must be an integer of at least 1; got 0'),
    ({"sequences": ["abc"], "top": True}, '"top" must be an integer of at least 1; got True'),
    ({"sequences": ["abc"], "context": []}, '"context" must be a list with one for each of the 1 sequences'),
    ({"sequences": ["abc"], "context": [{"x": 1}]}, "context must be None"),
    ({"sequences": ["abc", ""]}, "sequences must not be empty; got length 0 (sequence 1)"),
    ({"sequences": ["abc", 3]}, "sequences must be"),
]


def test_bad_requests_get_400_and_the_connection_goes_on(files: dict[str, Path]) -> None:
    model, sequences, _ = MODELS["text"]
    with connected(serve_http.Saved(str(files["text"].with_suffix(".safetensors")))) as connection:
        for asked, message in REFUSED:
            status, content = ask(connection, asked)
            assert status == 400
            assert message in content["error"]
        assert ask(connection, {"sequences": sequences, "top": 2})[1]["answers"] == as_answers(model, sequences, top=2)


def test_other_pages_and_sizes(files: dict[str, Path]) -> None:
    with connected(serve_http.Saved(str(files["text"].with_suffix(".safetensors")))) as connection:
        for method, path, status in [("GET", "/health", 200), ("GET", "/", 404), ("POST", "/health", 404)]:
            connection.request(method, path, b"{}" if method == "POST" else None)
            response = connection.getresponse()
            assert response.status == status
            assert ("status" if status == 200 else "error") in json.loads(response.read())
        status, content = ask(connection, b" " * (serve_http.MOST_BYTES + 1))
        assert (status, content["error"]) == (413, "the request must have 1,048,576 bytes at most; got 1048577")
        connection.putrequest("POST", "/predict")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()  # and no body, as the answer comes without waiting for one
        assert connection.getresponse().status == 411


def test_a_fault_of_the_server_does_not_end_it(capfd: pytest.CaptureFixture[str]) -> None:
    class Faulty:
        classes, thresholds, calls = ("a",), None, 0

        def predict_proba(self, *_: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("a secret")
            return [np.ones(1)]

    with connected(Faulty()) as connection:
        assert ask(connection, {"sequences": ["a"]}) == (500, {"error": "the server failed; its log says why"})
        assert ask(connection, {"sequences": ["a"]}) == (200, {"answers": [[["a", 1.0]]]})
    assert "a secret" in capfd.readouterr().err


def test_clients_that_go_are_no_error(files: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    with served(serve_http.Saved(str(files["text"].with_suffix(".safetensors")))) as port:
        for sent in (b"", b"POST /predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{", b"GET /health HTTP/1.1\r\n\r\n"):
            one = socket.create_connection(("127.0.0.1", port))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # which makes close a reset
            one.sendall(sent)
            one.close()
        time.sleep(0.2)
    assert "Traceback" not in capfd.readouterr().err


def test_idle_connections_do_not_keep_the_server(files: dict[str, Path]) -> None:
    server = serve_http.Server(("127.0.0.1", 0), serve_http.Saved(str(files["text"].with_suffix(".safetensors"))))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    idle = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    assert ask(idle, {"sequences": ["abc"]})[0] == 200
    server.shutdown()
    closing = threading.Thread(target=server.server_close)
    closing.start()
    closing.join(serve_http.Handler.timeout / 2)  # by then it would not have given up waiting
    assert not closing.is_alive()
    idle.close()


@pytest.mark.processes
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_the_process_ends_on_a_signal_once_all_is_answered(suffix: str, files: dict[str, Path]) -> None:
    model, texts = MODELS["text"][0], ["abcab" * 20] * 2000
    with ThreadPoolExecutor() as pool:
        with serving.serving(files["text"].with_suffix(suffix)) as (port, _):
            idle = socket.create_connection(("127.0.0.1", port))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            asked = pool.submit(ask, connection, {"sequences": texts})
            time.sleep(0.1)  # until it has been read
        status, content = asked.result()
    assert status == 200
    assert [row[0][0] for row in content["answers"]] == predict(model, texts)
    idle.close()
    connection.close()


def test_the_load_test_notices_a_wrong_answer() -> None:
    right = [[["a", 0.5], ["b", 0.25]]]
    expected = [[("a", 0.5), ("b", 0.25)]]
    assert serving.is_right(json.dumps({"answers": right}).encode(), expected, 0.0)
    for wrong in ([[["b", 0.5], ["a", 0.25]]], [[["a", 0.5 + 1e-9], ["b", 0.25]]], [[["a", 0.5]]], [], None):
        assert not serving.is_right(json.dumps({"answers": wrong}).encode(), expected, 0.0)
    assert not serving.is_right(b"{}", expected, 0.0)


@pytest.mark.processes
def test_the_load_test_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    head, _, *rows = serving.table("sample", seconds=0.5, clients=3, epochs=1)
    assert len(rows) == 7
    for row in rows:
        cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
        assert float(cells["requests/s"].replace(",", "")) > 0
        assert cells["wrong answers |"] == "0 |"
    monkeypatch.setattr(serving, "is_right", lambda *_: False)
    with pytest.raises(RuntimeError, match=r"all answers must be those of predict; got \d+ others"):
        list(serving.table("sample", seconds=0.5, clients=3, epochs=1))


def test_int8_answers_depend_on_the_batch() -> None:
    """What the page says of it: if this fails, onnxruntime has become better."""
    _, _, *rows = int8.table("sample", tasks=None, rounds=1, epochs=1, threads=1)
    changes = [float(row.split(" | ")[8].removesuffix(" |")) for row in rows]
    assert changes[0] == 0 < changes[1] < 1e-5 < changes[2]
    assert float(rows[2].split(" | ")[2]) < float(rows[1].split(" | ")[2]) / 3


def test_a_predictor_is_what_is_served(files: dict[str, Path]) -> None:
    assert isinstance(serve_http.load_model(str(files["text"].with_suffix(".safetensors"))).predictor, Predictor)
