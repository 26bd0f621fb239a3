"""The names data: 18 languages of surnames, as a bundled sample, in full from the web, or from a folder."""

import hashlib
import http.client
import io
import os
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from importlib.resources import as_file, files
from pathlib import Path

from seqclf.errors import DownloadError
from seqclf.files import PathLike, write_atomically
from seqclf.reading.folders import fold_ascii, read_folder

__all__ = ["download_names", "load_names"]

NAMES_URL = "https://download.pytorch.org/tutorial/data.zip"

# The files of the full set, as PyTorch's tutorial publishes it: a fixed list, so nothing else in an archive is touched.
NAMES_SHA256 = {
    "Arabic.txt": "6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc",
    "Chinese.txt": "49263ef55a8cb1740e841d65cad8214b2f9b5b869bc534c811746422496fa91e",
    "Czech.txt": "145bbbd6d0816578f03388e92c264d39ef1c60df920b081d371fa5c5cc055a8e",
    "Dutch.txt": "924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3",
    "English.txt": "9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2",
    "French.txt": "81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95",
    "German.txt": "7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db",
    "Greek.txt": "3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6",
    "Irish.txt": "cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058",
    "Italian.txt": "f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4",
    "Japanese.txt": "e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f",
    "Korean.txt": "cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136",
    "Polish.txt": "45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826",
    "Portuguese.txt": "50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53",
    "Russian.txt": "43b3e64ce351f77f1ac9e0cdf7566012d127f4371875fd25208845b5c9d6f7c3",
    "Scottish.txt": "78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd",
    "Spanish.txt": "1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7",
    "Vietnamese.txt": "f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d",
}

_MAX_BYTES = 16 * 1024 * 1024  # the archive has under 3 MB, its largest file under 100 kB
_CHUNK = 1 << 16


def load_names(source: PathLike = "sample", *, ascii_only: bool = True) -> list[tuple[str, str]]:
    """Return (surname, language) pairs of 18 languages: the bundled sample, or the full set.

    Args:
        source: `"sample"`: the bundled sample, written for this library, over 100 surnames for each language.
            `"download"`: the full set of PyTorch's tutorial, 20,074 lines, fetched once into the user's cache.
            Anything else: a folder with one file for each language.
        ascii_only: Whether to keep to the tutorial's letters, by `fold_ascii`.

    Raises:
        DownloadError: The full set was asked for and cannot be fetched.
        FileFormatError: The folder cannot be read.

    Example:
        >>> pairs = load_names()
        >>> len({language for _, language in pairs})
        18
    """
    transform = fold_ascii if ascii_only else None
    if source == "sample":
        with as_file(files("seqclf.data") / "names_sample") as folder:
            return read_folder(folder, transform=transform)
    return read_folder(download_names() if source == "download" else source, transform=transform)


def download_names(cache_dir: PathLike | None = None, *, url: str = NAMES_URL, timeout: float = 30.0) -> Path:
    """Fetch the full names data of PyTorch's tutorial, once, and return the folder that holds it.

    A folder that already holds all 18 files with the right checksums is used as it is. Otherwise the archive is
    fetched into memory, and every file is checked against its SHA-256 before the first one is written. From the
    archive nothing is read but the 18 expected entries, and never more than 16 MB of each.

    Args:
        cache_dir: Where the folder `names` goes. By default `$SEQCLF_CACHE_DIR`, else the system's place for caches.
        url: Where the archive lies.
        timeout: How long, in seconds, to wait for the server each time.

    Raises:
        DownloadError: The network or the server fails, or what comes is not the expected data.

    Example:
        >>> folder = download_names()  # doctest: +SKIP
        >>> load_names(folder)[0]  # doctest: +SKIP
        ('Khoury', 'Arabic')
    """
    folder = (_default_cache() if cache_dir is None else Path(cache_dir)) / "names"
    if not _is_whole(folder):
        contents = _unzip(_fetch(url, timeout), url)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in contents.items():
                write_atomically(folder / name, content)
        except OSError as error:
            raise DownloadError(
                f"the names data could not be kept at {folder}: {error}. "
                "Pass another cache_dir, or set SEQCLF_CACHE_DIR."
            ) from error
    return folder


def _default_cache() -> Path:
    if chosen := os.environ.get("SEQCLF_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seqclf"


def _is_whole(folder: Path) -> bool:
    try:
        return all(_sha256((folder / name).read_bytes()) == digest for name, digest in NAMES_SHA256.items())
    except OSError:
        return False


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _fetch(url: str, timeout: float) -> bytes:
    remedy = "Check the network and try again, or pass the folder of a copy that you have."
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            content = io.BytesIO()
            while chunk := response.read(_CHUNK):
                content.write(chunk)
                if content.tell() > _MAX_BYTES:
                    raise DownloadError(
                        f"the names data must be under {_MAX_BYTES:,} bytes; got more from {url}. {remedy}"
                    )
            expected = int(response.headers.get("Content-Length", content.tell()))
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise DownloadError(f"the names data could not be fetched from {url}: {error}. {remedy}") from error
    if content.tell() != expected:
        raise DownloadError(
            f"the names data broke off: got {content.tell():,} of {expected:,} bytes from {url}. {remedy}"
        )
    return content.getvalue()


def _unzip(archive: bytes, url: str) -> dict[str, bytes]:
    """Return the 18 files of the archive; their paths are ours, never the archive's, and each is checked."""
    contents = {}
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
            for name, digest in NAMES_SHA256.items():
                with bundle.open(f"data/names/{name}") as entry:
                    content = entry.read(_MAX_BYTES)
                if _sha256(content) != digest:
                    raise DownloadError(
                        f"{name} must have the SHA-256 {digest[:12]}…; got {_sha256(content)[:12]}… from {url}. "
                        "The data have changed or were tampered with; nothing was kept."
                    )
                contents[name] = content
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise DownloadError(
            f"the names data must be a zip archive with data/names/*.txt; got {error} from {url}. Nothing was kept."
        ) from error
    return contents
