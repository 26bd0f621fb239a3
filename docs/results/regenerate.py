"""Run everything whose figures are published, and put its tables into the documents.

    python docs/results/regenerate.py --data FOLDER

Runs that were finished before are taken from the work folder, so this goes on where it stopped; delete that folder when
the library has changed in a way that changes results. All figures but the seconds come out the same on the same
machine. On two cores everything takes some hours.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "names.md",
    ROOT / "docs" / "batching.md",
    ROOT / "docs" / "answers.md",
    ROOT / "docs" / "ecosystem.md",
    ROOT / "docs" / "growing.md",
    ROOT / "docs" / "serving.md",
    ROOT / "docs" / "defaults.md",  # of which benchmarks.defaults makes the tables, from data of several kinds
]
COMMANDS = {
    "names_sample": "examples/names_task.py --seeds 3 --output {output}",
    "names": "examples/names_task.py --data {data} --seeds 3 --output {output}",
    "names_one_way": "examples/names_task.py --data {data} --seeds 3 --one-way --output {output}",
    "batch_size_sample": "examples/batch_size_study.py --output {output}",
    "batch_size": "examples/batch_size_study.py --data {data} --output {output}",
    "fixed_split": "examples/fixed_split.py {data} --output {output}",
    "law": "-m pytest -q tests/test_batching_law.py --hypothesis-profile=thorough",  # writes SEQCLF_LAW_TABLE
    "cells": "-m benchmarks.cells --output {output}/table.md",
    "onnx": "-m benchmarks.onnx_runtime --data {data} --output {output}/table.md",
    "int8": "-m benchmarks.int8 --data {data} --tasks {data}/../tasks --output {output}/table.md",
    "serving": "-m benchmarks.serving --data {data} --output {output}/table.md",
    "tutorial": "-m benchmarks.tutorial --data {data} --output {output}/table.md",
    "averaging": "-m benchmarks.averaging --data {data} --output {output}/table.md",
    "calibration": "-m benchmarks.calibration --data {data} --output {output}/table.md",
}
PUBLISHED = [
    "*.md",
    "*.csv",
    "*/results.csv",
    "results.json",
    "curves.png",
    "curves.svg",
    "confusion.png",
    "history.png",
]
BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


def run_and_publish(name: str, data: Path, work: Path) -> None:
    """Run one command, and copy what it found to this folder."""
    output = work / name
    output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, *(part.format(data=data, output=output) for part in COMMANDS[name].split())]
    print("+ " + " ".join(command), flush=True)
    environment = os.environ | {"SEQCLF_LAW_TABLE": str(output / "table.md")} if name == "law" else None
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    for pattern in PUBLISHED:
        for path in sorted(output.glob(pattern)):
            target = HERE / name / path.relative_to(output)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def fill_in(text: str) -> str:
    """Return a document with every block of results replaced by the file that it names."""

    def block(match: re.Match[str]) -> str:
        path = HERE / match[2]
        if not path.exists():  # not run yet
            return match[0]
        content = path.read_text(encoding="utf-8").strip()
        return f"{match[1]}\n{content}\n\n{match[3]}"

    return BLOCK.sub(block, text)


def main() -> None:
    """Run what is asked for, and fill in the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the full names data")
    parser.add_argument("--work", type=Path, default=ROOT / ".results", help="where runs are kept (default: .results)")
    parser.add_argument("names", nargs="*", default=list(COMMANDS), help=f"which, of: {', '.join(COMMANDS)}")
    arguments = parser.parse_args()
    for name in arguments.names:
        run_and_publish(name, arguments.data.resolve(), arguments.work.resolve())
    for document in DOCUMENTS:
        document.write_text(fill_in(document.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
