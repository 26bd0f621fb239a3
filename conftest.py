"""Collect the examples of README.md and docs/*.md as tests, each document in an empty folder of its own.

Python is run everywhere; bash only on the page of the shell, as elsewhere it installs packages or takes hours. A block
of text shows what the block before it prints, and is compared with it. What Python prints must be shown: `python -m
tests.printed PAGE` puts it there.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from tests.printed import is_all_shown, is_shown, run_captured

collect_ignore = ["docs/conf.py"]  # it needs Sphinx, which the tests do not


def enter_folder(namespace: dict[str, Any]) -> None:
    """Go where the document may write."""
    namespace["_folders"] = (os.getcwd(), tempfile.TemporaryDirectory())  # noqa: PTH109
    os.chdir(namespace["_folders"][1].name)


def leave_folder(namespace: dict[str, Any]) -> None:
    """Go back, and remove what the document wrote."""
    before, folder = namespace["_folders"]
    os.chdir(before)
    folder.cleanup()


def run_python(example: Example) -> None:
    """Run a block of Python; if it prints something, the page must show that below."""
    code = "\n" * (example.line + example.parsed.line_offset) + example.parsed  # so that errors name the line
    printed = example.namespace["_printed"] = run_captured(code, example.namespace)
    is_shown_below = re.match(r"(?:```)?\s*```text\n", example.document.text[example.end :])
    is_open = Path(example.path).name in OPEN
    assert is_shown_below or is_open or not printed, f"the page does not show what is printed here:\n{printed}"


def check_all_printed(example: Example) -> None:
    """Compare a block of text with what the block of Python before it printed."""
    printed = example.namespace["_printed"]
    assert is_all_shown(example.parsed, printed), f"the page shows\n{example.parsed}\nbut this was printed:\n{printed}"


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
OPEN = {"installing.md"}  # where what is printed depends on the machine

pytest_collect_file = (
    Sybil(
        parsers=[SkipParser(), CodeBlockParser("python", run_python), CodeBlockParser("text", check_all_printed)],
        patterns=["*.md"],
        excludes=[f"**/{SHELL}"],
        **FOLDERS,
    )
    + Sybil(
        parsers=[CodeBlockParser("bash", run_bash), CodeBlockParser("text", check_printed)], patterns=[SHELL], **FOLDERS
    )
).pytest()
