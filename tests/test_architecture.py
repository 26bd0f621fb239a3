"""The house: imports point one way, the door is small, and every public name has an executed example."""

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import seqclf
import seqclf.cells

SOURCE = Path(seqclf.__file__).parent

# The order in which data flow: a module imports only from rooms before its own, or from its own.
ROOMS = [
    ["_version", "choices", "errors"],
    ["reading.plain"],
    ["checks", "files", "forks", "modes", "notebook", "progress", "seeding"],
    ["tensor_file"],
    ["reading.columns", "reading.indices", "reading.records", "reading.text"],
    ["reading.sequences"],
    ["reading.rows"],
    ["writing"],
    ["reading.fasta", "reading.folders", "reading.labels", "reading.series", "reading.tokenizers"],
    ["reading.tables"],
    ["reading.events"],
    ["vocabulary"],
    ["fields"],
    ["data.ragged"],
    ["data.labelled", "data.ngrams"],
    [
        "data.baseline",
        "data.batch",
        "data.duplicates",
        "data.encode",
        "data.sampling",
        "data.split",
    ],
    ["data.store"],
    ["data.dataset", "data.packing", "data.report", "datasets"],
    ["defaults"],
    ["cells.protocol", "cells.scan"],
    ["cells.independent", "cells.layer_norm", "cells.minimal", "cells.peephole"],
    ["cells.table"],
    ["cells"],
    ["engine.layout", "engine.library"],
    ["engine.dropout", "engine.encoder", "engine.parts", "engine.weights"],
    ["engine.kernels"],
    ["engine.plan", "engine.recurrence", "engine.torch_kernels"],
    ["engine.cell_loop"],
    ["engine.torch_backend"],
    ["models.features", "models.inputs", "models.pooling", "models.pretrained", "models.symbols"],
    ["models.context"],
    ["models.growing", "models.options"],
    ["models.stream"],
    ["models.classifier"],
    ["models.explain"],
    ["persistence"],
    ["onnx"],
    ["inference.logits"],
    ["inference.average"],
    ["inference.cells", "inference.predict"],
    ["inference.embed", "inference.parts", "inference.predictor"],
    ["inference.tables"],
    ["metrics"],
    ["training.history", "training.interrupt", "training.interval", "training.nested"],
    ["training.mistakes", "training.slices"],
    ["training.evaluation"],
    ["training.hooks"],
    [
        "training.checkpoint",
        "training.distributed",
        "training.finite",
        "training.objective",
        "training.log",
        "training.schedules",
        "training.stopping",
        "training.weights",
    ],
    ["training.config"],
    ["attribution"],
    ["training.baseline", "training.calibration", "training.evaluate", "training.steps", "training.update"],
    ["training.accumulate", "training.compare", "training.dry_run", "training.measures"],
    ["training.trainer"],
    ["training.run"],
    ["training.rehearsal"],
    ["training.fit", "callbacks"],
    ["sklearn"],
    ["study.options"],
    ["study.run"],
    ["study.cache", "study.result"],
    ["study.runner"],
    ["study.autotune"],
    ["study"],
    ["plotting"],
    ["report_page"],
    ["verify.report"],
    ["verify.examination"],
    ["verify"],
    ["cli"],
    ["__main__"],
]


def room_of(module: str) -> int:
    for number, room in enumerate(ROOMS):
        if any(module == name or module.startswith(f"{name}.") for name in room):
            return number
    raise AssertionError(f"{module} is in no room: add it to ROOMS")


def modules() -> dict[str, Path]:
    """Return every module by its name within the package; packages that only describe themselves are left out."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        if name not in {"__init__", "data", "engine", "reading", "inference", "models", "study", "training"}:
            found[name] = path
    return found


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("seqclf"):
            inside = (node.module or "").removeprefix("seqclf").removeprefix(".")
            names = {f"{inside}.{alias.name}".strip(".") for alias in node.names}
            found |= {inside} if inside in modules() else names
    return found


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_backward(module: str) -> None:
    own = room_of(module)
    for imported in imports(modules()[module]):
        assert room_of(imported) <= own, f"{module} imports {imported}, which comes later"


def test_no_file_imports_one_that_imports_it_back() -> None:
    found = {name: imports(path) for name, path in modules().items()}
    circles = [(one, other) for one in found for other in found[one] if one in found.get(other, ())]
    assert circles == []


@pytest.mark.processes
def test_importing_brings_no_optional_package() -> None:
    optional = "('matplotlib', 'sklearn', 'onnx')"
    code = f"import sys; from seqclf import *; print([name for name in {optional} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


def test_the_door_is_complete_and_sorted() -> None:
    assert seqclf.__all__ == sorted(seqclf.__all__)
    assert len(seqclf.__all__) <= 32  # those of the contract, and what people need beside them
    assert all(hasattr(seqclf, name) for name in seqclf.__all__)
    assert set(seqclf._NAMES) | {"__version__"} == set(seqclf.__all__) <= set(dir(seqclf))


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module.removeprefix("seqclf.")
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert seen == seqclf._NAMES


@pytest.mark.parametrize("name", sorted(seqclf._MOVED))
def test_a_name_that_has_moved_works_and_says_where_to(name: str) -> None:
    home = f"seqclf.{seqclf._MOVED[name]}"
    with pytest.warns(FutureWarning, match=f"seqclf.{name} has moved.* Write: from {home} import {name}"):
        found = getattr(seqclf, name)
    assert found is getattr(importlib.import_module(home), name)


@pytest.mark.processes
def test_the_package_alone_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, seqclf; print([name for name in ('torch', 'numpy') if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


@pytest.mark.processes
def test_modules_are_there_without_an_import_of_their_own() -> None:
    code = "import seqclf; print(seqclf.errors.SeqclfError is seqclf.SeqclfError, seqclf.reading.read_table.__name__)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ["True", "read_table"]


def test_a_name_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(AttributeError, match="module 'seqclf' has no attribute 'fitt'"):
        _ = seqclf.fitt


@pytest.mark.parametrize("name", [name for name in seqclf.__all__ if name != "__version__"])
def test_every_public_name_has_an_executed_example(name: str) -> None:
    value = getattr(seqclf, name)
    docstring = inspect.getdoc(value) or ""
    documented = docstring + (inspect.getdoc(value.from_pairs) or "" if hasattr(value, "from_pairs") else "")
    examples = doctest.DocTestParser().get_examples(documented)
    executed = [example for example in examples if not example.options.get(doctest.SKIP)]
    assert executed, f"{name} has no example that runs"


@pytest.mark.parametrize("name", seqclf.cells.__all__)
def test_every_cell_has_an_executed_example(name: str) -> None:
    documented = inspect.getdoc(getattr(seqclf.cells, name)) or ""
    assert doctest.DocTestParser().get_examples(documented), f"{name} has no example"


def test_public_functions_name_their_arguments() -> None:
    for name in seqclf.__all__:
        value = getattr(seqclf, name)
        if inspect.isfunction(value):
            docstring = inspect.getdoc(value) or ""
            for parameter in inspect.signature(value).parameters:
                assert f"{parameter}:" in docstring or parameter in {"text"}, f"{name} does not describe {parameter}"
