"""Guided fuzzing of every reader of files: python -m tests.fuzz_files KIND RUNS [CORPUS].

Atheris (`pip install atheris`, Linux) watches which branches of the library each input reaches, and breeds new inputs
from those that reach new ones. It begins with a good file of the kind. Anything but a value or a `SeqclfError` ends it
with the input, and so does more than 2 GiB of memory or more than 30 seconds.
"""

import contextlib
import resource
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["seqclf"]):
    import seqclf
from tests.test_fuzz import KINDS


def main(kind: str, runs: str) -> None:
    """Feed one reader."""
    name, write, read = KINDS[kind]
    warnings.simplefilter("ignore")
    work = Path(tempfile.mkdtemp())
    (work / "original").mkdir()
    write(work / "original" / name)
    others = {path.name: path.read_bytes() for path in (work / "original").iterdir() if path.name != name}
    (work / "corpus").mkdir()
    (work / "corpus" / "good").write_bytes((work / "original" / name).read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def feed(content: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            for other, known in others.items():
                Path(folder, other).write_bytes(known)
            Path(folder, name).write_bytes(content)
            with contextlib.suppress(seqclf.SeqclfError):
                read(Path(folder, name))

    limits = ["-rss_limit_mb=2048", "-timeout=30", "-max_len=20000", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], f"-runs={runs}", *limits, str(work / "corpus")], feed)
    print(f"{kind}: {before // 1024} MiB before", flush=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:3])
