"""Mutation testing: python -m tests.mutation FOLDER [--only PATTERN].

It needs `pip install mutmut`, and takes some two hours on two cores.

mutmut writes the mutants: copies of each function with one small change, behind a switch. Here each is switched on in a
fork of one pytest session that has collected everything, and the tests that reach its function run until one fails, the
narrowest and quickest first. Results go to FOLDER, and what is there already is not tried again. Mutants that change
nothing but the text of an error are left out: tests match a part of each text, not all of it.
"""

import argparse
import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

ROOT = Path(__file__).parent.parent
MODULES = ["vocabulary.py", "metrics.py", "data", "models/pooling.py", "models/encoder.py", "models/classifier.py"]
TOO_SLOW = [
    "distributed",
    "fuzz",
    "study",
    "checkpoint",
    "benchmarks",
    "results",
    "architecture",
    "packaging",
    "mutation",
    "cuda",
]
COPIED = ["src", "tests", "docs", "examples", "benchmarks", "README.md", "conftest.py", "pyproject.toml"]
WORKERS = os.cpu_count() or 1


def plant(tree: Path) -> list[str]:
    """Copy the project into a folder with all mutants in it, and return their names."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tree / name)
    source, mutants = tree / "src" / "seqclf", []
    paths = [path for name in MODULES for path in sorted([source / name, *(source / name).rglob("*.py")])]
    for path in filter(Path.is_file, paths):
        mutated = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
        path.write_text(mutated.code, encoding="utf-8")
        functions = {node.name: node for node in ast.walk(ast.parse(mutated.code)) if isinstance(node, ast.FunctionDef)}
        module = ".".join(path.relative_to(tree / "src").with_suffix("").parts)
        for name in mutated.mutant_names:
            own, original = functions[name], functions[f"{function_of(name)}__mutmut_orig"]
            if _without_texts(own) != _without_texts(original):
                mutants.append(f"{module}.{name}")
    return mutants


def function_of(mutant: str) -> str:
    """Return the name of the function that a mutant is one of."""
    return re.sub(r"__mutmut_\d+$", "", mutant)


def changes(tree: Path, mutants: list[str]) -> list[str]:
    """Return a line for each mutant that tells its function, and what stands there in place of what."""
    told = []
    for mutant in mutants:
        module, _, name = mutant.rpartition(".")
        text = (tree / "src" / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        nodes = {node.name: node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
        lines = text.splitlines()
        own, original = (
            [line.strip() for line in lines[nodes[one].lineno - 1 : nodes[one].end_lineno] if "__mutmut_" not in line]
            for one in (name, f"{function_of(name)}__mutmut_orig")
        )
        after = [line for line in own if line not in original]
        before = [line for line in original if line not in own]
        function = re.sub("^x_|^xǁ", "", function_of(name)).replace("ǁ", ".")
        told.append(f"| `{module.removeprefix('seqclf.')}.{function}` | `{' '.join(before)}` | `{' '.join(after)}` |")
    return told


def _without_texts(function: ast.FunctionDef) -> str:
    """Return a function as text, without its name and without the strings of its `raise` statements."""
    for statement in ast.walk(function):
        for node in ast.walk(statement) if isinstance(statement, ast.Raise) else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = ""
    return re.sub(r"__mutmut_\w+", "", ast.dump(function))


class Watch:
    """Notices that a test has failed."""

    failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """In place of the tests, try the mutants."""
    folder = Path(os.environ["MUTATION_FOLDER"])
    items = {item.nodeid: item for item in session.items}
    if not (folder / "reach.json").exists():
        _fork(lambda: _find_reach(items, folder / "reach.json"))
        os.wait()
    reach, took = json.loads((folder / "reach.json").read_text())
    breadth = {test: sum(test in tests for tests in reach.values()) for test in took}
    results = folder / "results.jsonl"
    done = {json.loads(line)["mutant"] for line in results.read_text().splitlines()} if results.exists() else set()
    running: dict[int, str] = {}
    with results.open("a") as log:
        for mutant in [*json.loads((folder / "mutants.json").read_text()), None]:
            while len(running) >= (WORKERS if mutant else 1):
                process, status = os.wait()
                outcome = {"mutant": running.pop(process), "survived": os.waitstatus_to_exitcode(status) == 0}
                log.write(json.dumps(outcome) + "\n")
                log.flush()
            if mutant and mutant not in done and re.search(os.environ["MUTATION_ONLY"], mutant):
                tests = sorted(
                    reach.get(function_of(mutant), []), key=lambda test: took[test] * (1 + breadth[test] / 20)
                )
                limit = 20 + 4 * sum(took[test] for test in tests)
                running[_fork(lambda mutant=mutant, tests=tests: _try(mutant, tests, items, session), limit)] = mutant
    return True


def _fork(work: Any, limit: float = 0) -> int:
    """Do some work in a process of its own, whose exit code is what the work returns."""
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(limit))
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return process


def _find_reach(items: dict[str, Any], path: Path) -> int:
    """Write down which tests reach each function, and how long each test takes."""
    set_mutant_under_test("stats")
    reach: dict[str, list[str]] = {}
    took = {}
    for name, item in items.items():
        state()._stats.clear()
        start = time.time()
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        took[name] = time.time() - start
        for function in state()._stats:
            reach.setdefault(function, []).append(name)
    path.write_text(json.dumps([reach, took]))
    return 0


def _try(mutant: str, tests: list[str], items: dict[str, Any], session: pytest.Session) -> int:
    """Return 1 as soon as a test fails, else 0."""
    watch = Watch()
    session.config.pluginmanager.register(watch)
    set_mutant_under_test(mutant)
    for name in tests:
        items[name].ihook.pytest_runtest_protocol(item=items[name], nextitem=None)
        if watch.failed:
            return 1
    return 0


def main() -> None:
    """Plant the mutants, and start the session that tries them."""
    parser = argparse.ArgumentParser(description="Mutation testing.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="a regular expression that names of mutants must match")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if not (folder / "mutants.json").exists():
        mutants = plant(folder / "tree")
        (folder / "mutants.json").write_text(json.dumps(mutants))
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutation", "-p", "no:cacheprovider", "-q", "-s"]
    command += [
        "--hypothesis-profile=mutation",
        "tests",
        "src",
        *(f"--ignore=tests/test_{name}.py" for name in TOO_SLOW),
    ]
    own = {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1", "MUTATION_FOLDER": str(folder), "MUTATION_ONLY": arguments.only}
    subprocess.run(command, cwd=folder / "tree", env=os.environ | own, check=False)
    outcomes = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    survivors = sorted(outcome["mutant"] for outcome in outcomes if outcome["survived"])
    print("| function | what stands there | the mutant |\n|---|---|---|")
    print("\n".join(changes(folder / "tree", survivors)))
    print(f"{len(outcomes) - len(survivors)} of {len(outcomes)} killed")


if __name__ == "__main__":
    main()
