"""Collect the examples of README.md and docs/*.md as tests, each document in an empty folder of its own.

Python is run everywhere; bash only on the page of the shell, as elsewhere it installs packages or takes hours. What
that page shows of its commands' output is compared with it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from tests.printed import is_shown


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
    command = ["bash", "-euo", "pipefail", "-c", example.parsed]
    finished = subprocess.run(command, check=False, env=own, timeout=600, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    example.namespace["_printed"] = finished.stderr + finished.stdout


def check_printed(example: Example) -> None:
    """Compare a block of text with what the block of bash before it printed."""
    printed = example.namespace["_printed"]
    assert is_shown(example.parsed, printed), f"the page shows\n{example.parsed}\nbut this was printed:\n{printed}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the page of the shell, each command of which is a process."""
    for item in items:
        if item.path.name == SHELL:
            item.add_marker(pytest.mark.processes)


FOLDERS: Any = {"setup": enter_folder, "teardown": leave_folder}
SHELL = "shell.md"

pytest_collect_file = (
    Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"], excludes=[f"**/{SHELL}"], **FOLDERS)
    + Sybil(
        parsers=[CodeBlockParser("bash", run_bash), CodeBlockParser("text", check_printed)], patterns=[SHELL], **FOLDERS
    )
).pytest()
