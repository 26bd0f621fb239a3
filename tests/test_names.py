"""The names data: the bundled sample's properties, and the download against a real server on loopback."""

import hashlib
import http.server
import io
import threading
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from seqclf import datasets as names
from seqclf.datasets import download_names, load_names
from seqclf.errors import DownloadError
from seqclf.reading import fold_ascii


def test_the_sample_is_what_it_promises() -> None:
    pairs = load_names(ascii_only=False)
    counts = Counter(language for _, language in pairs)
    assert sorted(counts) == sorted(Path(file).stem for file in names.NAMES_SHA256)
    assert min(counts.values()) >= 100
    assert len(set(pairs)) == len(pairs)
    assert max(counts.values()) / min(counts.values()) < 1.5  # balanced, so that accuracy means something
    for name, _ in pairs:
        assert name == unicodedata.normalize("NFC", name).strip()
        assert 2 <= len(name) <= 20
        assert all(letter.isalpha() or letter in " '" for letter in name)
        assert name[0].isupper() or name[0] in "'d"
        assert fold_ascii(name)
    folded = Counter((fold_ascii(name).lower(), language) for name, language in pairs)
    assert max(folded.values()) == 1
    shared = Counter(name for name, _ in pairs)
    assert sum(count for count in shared.values() if count > 1) < 0.04 * len(pairs)
    assert any(not name.isascii() for name, _ in pairs)


def test_the_sample_is_read_alike_every_time_and_folded_by_default() -> None:
    assert load_names() == load_names("sample")
    assert all(name.isascii() for name, _ in load_names())


def test_the_sample_is_not_the_full_set(names_dir: Path) -> None:
    """Surnames are facts that both must share; but the sample was not cut from the set."""
    full = {(fold_ascii(name), language) for name, language in load_names(names_dir)}
    sample = set(load_names())
    assert len(sample - full) > 0.3 * len(sample)


def test_the_full_data_are_what_the_checksums_say(names_dir: Path) -> None:
    for name, digest in names.NAMES_SHA256.items():
        assert hashlib.sha256((names_dir / name).read_bytes()).hexdigest() == digest
    pairs = load_names(names_dir)
    assert len(pairs) == 20_074
    assert Counter(language for _, language in pairs)["Russian"] == 9_408


# The download: small files of our own take the place of the real ones, with their checksums.

FILES = {"Greek.txt": b"Pappas\nRigas\n", "Czech.txt": "Novák\n".encode()}
Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


def zipped(files: dict[str, bytes], prefix: str = "data/names/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(prefix + name, content)
    return buffer.getvalue()


def sends(content: bytes, length: int | None = None) -> Reply:
    """Reply with `content`, and a Content-Length that may lie."""

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return reply


class Server:
    """A real HTTP server on loopback, whose reply each test chooses."""

    def __init__(self) -> None:
        self.reply: Reply = sends(zipped(FILES))
        self.requests = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                outer.requests += 1
                outer.reply(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/data.zip"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(names, "NAMES_SHA256", {n: hashlib.sha256(c).hexdigest() for n, c in FILES.items()})
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    server = Server()
    monkeypatch.setattr(names, "NAMES_URL", server.url)
    yield server
    server.server.shutdown()
    server.server.server_close()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_data_are_fetched_once(server: Server, tmp_path: Path) -> None:
    folder = download_names(tmp_path / "cache", url=server.url)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert download_names(tmp_path / "cache", url=server.url) == folder
    assert server.requests == 1


def test_a_damaged_cache_is_mended(server: Server, tmp_path: Path) -> None:
    folder = download_names(tmp_path, url=server.url)
    (folder / "Greek.txt").write_bytes(b"Pap")
    download_names(tmp_path, url=server.url)
    assert (folder / "Greek.txt").read_bytes() == FILES["Greek.txt"]
    assert server.requests == 2


def test_the_place_of_the_cache(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQCLF_CACHE_DIR", str(tmp_path / "own"))
    assert download_names(url=server.url) == tmp_path / "own" / "names"
    monkeypatch.delenv("SEQCLF_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "windows"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for platform, expected in (
        ("linux", tmp_path / "xdg"),
        ("win32", tmp_path / "windows"),
        ("darwin", tmp_path / "home" / "Library" / "Caches"),
    ):
        monkeypatch.setattr("sys.platform", platform)
        assert names._default_cache() == expected / "seqclf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    for platform, place in (("linux", ".cache"), ("win32", "AppData/Local")):
        monkeypatch.setattr("sys.platform", platform)
        assert names._default_cache() == tmp_path / "home" / place / "seqclf"


def test_load_names_downloads(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQCLF_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(names, "download_names", partial(download_names, url=server.url))
    assert load_names("download") == [("Novak", "Czech"), ("Pappas", "Greek"), ("Rigas", "Greek")]


def flip_middle(archive: bytes) -> bytes:
    middle = archive.index(b"Greek.txt") + 15  # inside the compressed content
    return archive[:middle] + bytes([archive[middle] ^ 0xFF]) + archive[middle + 1 :]


def garbles_the_length(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "many")
    handler.end_headers()
    handler.wfile.write(zipped(FILES))


def refuses(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def hangs_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def is_slow(handler: http.server.BaseHTTPRequestHandler) -> None:
    threading.Event().wait(1.0)


REPLIES: list[tuple[Reply, str]] = [
    (refuses, r"could not be fetched from http://127.*: HTTP Error 404"),
    (hangs_up, r"could not be fetched from http://127"),
    (garbles_the_length, r"could not be fetched from http://127.*'many'"),
    (is_slow, r"could not be fetched from http://127.*timed out"),
    (sends(zipped(FILES)[:60], length=500), r"(broke off: got 60 of 500 bytes)|could not be fetched"),
    (sends(zipped(FILES)[:60]), r"must be a zip archive .*; got File is not a zip file"),
    (sends(b"<html>Sign in to the network</html>"), r"must be a zip archive .*; got File is not a zip file"),
    (sends(zipped({"Greek.txt": FILES["Greek.txt"]})), r"must be a zip archive .*; got .*Czech\.txt"),
    (sends(zipped(FILES, prefix="../../")), r"must be a zip archive .*; got .*no item named"),
    (sends(zipped(FILES | {"Greek.txt": b"Other\n"})), r"Greek\.txt must have the SHA-256 .*; got "),
    (sends(zipped(FILES | {"Greek.txt": bytes(10**8)})), r"Greek\.txt must have the SHA-256"),
    (sends(bytes(20 * 1024 * 1024)), r"must be under 16,777,216 bytes; got more"),
    (sends(flip_middle(zipped(FILES))), r"must be a zip archive|must have the SHA-256"),
]


@pytest.mark.parametrize(("reply", "message"), REPLIES, ids=[message for _, message in REPLIES])
def test_what_goes_wrong_leaves_nothing_behind(server: Server, tmp_path: Path, reply: Reply, message: str) -> None:
    server.reply = reply
    start = time.monotonic()
    with pytest.raises(DownloadError, match=message) as caught:
        download_names(tmp_path, url=server.url, timeout=0.5)
    assert time.monotonic() - start < 0.95  # the slow one would take a second
    text = str(caught.value)
    del caught  # whose traceback holds the connection
    assert server.url in text
    assert text.endswith(
        (
            "Check the network and try again, or pass the folder of a copy that you have.",
            "nothing was kept.",
            "Nothing was kept.",
        )
    )
    assert files_in(tmp_path) == []


def test_a_hostile_archive_writes_nowhere_else(server: Server, tmp_path: Path) -> None:
    """Entries that point out of the folder are not read, even beside the right ones."""
    buffer = io.BytesIO(zipped(FILES))
    with zipfile.ZipFile(buffer, "a") as bundle:
        bundle.writestr("data/names/../../../evil.txt", b"x")
        bundle.writestr("/etc/evil.txt", b"x")
        bundle.writestr("data/names/Extra.txt", b"x")
    server.reply = sends(buffer.getvalue())
    download_names(tmp_path / "a" / "b", url=server.url)
    assert files_in(tmp_path) == ["a", "a/b", "a/b/names", "a/b/names/Czech.txt", "a/b/names/Greek.txt"]


def test_no_network_and_no_place(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"could not be fetched from http://127\.0\.0\.1:9/.*Connection refused"):
        download_names(tmp_path, url="http://127.0.0.1:9/data.zip")
    with pytest.raises(DownloadError, match=r"could not be fetched from nonsense"):
        download_names(tmp_path, url="nonsense")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"could not be kept at .*file.*set SEQCLF_CACHE_DIR"):
        download_names(tmp_path / "file", url=server.url)
