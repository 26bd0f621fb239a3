"""Collect the examples of README.md and docs/*.md as tests, each document in an empty folder of its own.

Python is run everywhere; bash only on the page of the shell, as elsewhere it installs packages or takes hours.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser


def enter_folder(namespace: dict[str, Any]) -> None:
    """Go where the document may write."""
    namespace["_folders"] = (os.getcwd(), tempfile.TemporaryDirectory())  # noqa: PTH109
    os.chdir(namespace["_folders"][1].name)


def leave_folder(namespace: dict[str, Any]) -> None:
    """Go back, and remove what the document wrote."""
    before, folder = namespace["_folders"]
    os.chdir(before)
    folder.cleanup()


def run_bash(example: Example) -> None:
    """Run a block in bash, where any command that fails makes it fail."""
    own = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", example.parsed], check=True, env=own, timeout=300)


FOLDERS: Any = {"setup": enter_folder, "teardown": leave_folder}
SHELL = "shell.md"

pytest_collect_file = (
    Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"], excludes=[f"**/{SHELL}"], **FOLDERS)
    + Sybil(parsers=[CodeBlockParser("bash", run_bash)], patterns=[SHELL], **FOLDERS)
).pytest()
