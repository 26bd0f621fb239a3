"""The published figures: what the documents show is what stands in the committed results."""

import csv
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


def load_regenerate() -> Any:
    specification = importlib.util.spec_from_file_location("regenerate", RESULTS / "regenerate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


regenerate = load_regenerate()


@pytest.mark.parametrize("document", regenerate.DOCUMENTS, ids=lambda path: path.name)
def test_documents_show_the_committed_results(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    blocks = regenerate.BLOCK.findall(text)
    assert blocks, "no results are filled in"
    assert [name for _, name, _ in blocks if not (RESULTS / name).exists()] == []
    assert regenerate.fill_in(text) == text, "run docs/results/regenerate.py"


def test_a_changed_figure_would_be_noticed() -> None:
    text = (ROOT / "docs" / "names.md").read_text(encoding="utf-8")
    block = regenerate.BLOCK.search(text)[0]
    changed = text.replace(block, re.sub(r"\d", "0", block))
    assert regenerate.fill_in(changed) != changed


def read_rows(name: str) -> list[dict[str, str]]:
    with (RESULTS / name / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.glob("names*")))
def test_tables_are_the_means_of_the_single_runs(name: str) -> None:
    rows = read_rows(name)
    runs = json.loads((RESULTS / name / "results.json").read_text(encoding="utf-8"))["runs"]
    assert [float(row["test_accuracy"]) for row in rows] == [run["results"]["test"]["accuracy"] for run in runs]
    table = (RESULTS / name / "table.md").read_text(encoding="utf-8").splitlines()[2:-1]
    table = [line for line in table if not line.startswith("| a linear model")]
    seeds = len(rows) // len(table)
    assert seeds >= 3
    for number, line in enumerate(table):
        own = rows[number * seeds : (number + 1) * seeds]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        mean = sum(100 * float(row["test_accuracy"]) for row in own) / seeds
        assert cells[1].startswith(f"{mean:.1f} ±")
        assert cells[5] == f"{int(own[0]['parameters']):,}"


@pytest.mark.parametrize("name", sorted(path.name for kind in ("names*", "batch*") for path in RESULTS.glob(kind)))
def test_pictures_stand_beside_the_results(name: str) -> None:
    pictures = ["curves.png", "curves.svg"] if "batch" in name else ["confusion.png", "history.png"]
    assert all((RESULTS / name / picture).stat().st_size > 10_000 for picture in pictures)


def test_the_choice_between_models_shows_the_figures_of_the_defaults() -> None:
    measured = (RESULTS / "defaults" / "table.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "for_me.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \|", page, re.MULTILINE)
    tasks = [line.strip("| ").split(" | ") for line in measured.splitlines() if re.search(r"\d", line)]
    found = {(cells[1].split()[0], cells[5]) for cells in tasks}
    assert len(shown) == len(tasks)
    assert {(ours, linear) for _, ours, linear in shown} == found
