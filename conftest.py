"""Collect the Python examples of README.md and docs/*.md as tests, each document in an empty folder of its own."""

import os
import tempfile
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def enter_folder(namespace: dict[str, Any]) -> None:
    """Go where the document may write."""
    namespace["_folders"] = (os.getcwd(), tempfile.TemporaryDirectory())  # noqa: PTH109
    os.chdir(namespace["_folders"][1].name)


def leave_folder(namespace: dict[str, Any]) -> None:
    """Go back, and remove what the document wrote."""
    before, folder = namespace["_folders"]
    os.chdir(before)
    folder.cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["*.md"], setup=enter_folder, teardown=leave_folder
).pytest()
