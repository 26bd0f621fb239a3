"""What is said of the package: its versions, its addresses, its pins, and what pytest takes for an error."""

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import seqclf

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
HOME = PROJECT["urls"]["Homepage"]


PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def pythons_of(text: str) -> list[str]:
    return sorted(set(re.findall(r'"(3\.\d+)"', text)))


def requirements() -> list[Requirement]:
    """List what is asked for, in whatever extra."""
    lines = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    return [wanted for wanted in map(Requirement, lines) if wanted.name != PROJECT["name"]]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_the_classifiers_are_the_pythons_that_are_tested() -> None:
    assert PYTHONS
    for workflow in ("ci.yml", "weekly.yml"):
        assert sorted(PYTHONS) == pythons_of((WORKFLOWS / workflow).read_text(encoding="utf-8"))
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


@pytest.mark.parametrize("python", PYTHONS)
def test_each_dependency_has_one_pin_within_its_range(python: str) -> None:
    where = {"python_version": python, "python_full_version": f"{python}.9"}
    pinned: dict[str, list[Requirement]] = {}
    for pin in pins():
        if pin.marker is None or pin.marker.evaluate(where):
            pinned.setdefault(pin.name, []).append(pin)
    assert [name for name, found in pinned.items() if len(found) > 1] == []
    for wanted in requirements():
        assert wanted.name in pinned, f"{wanted.name} has no pin: run .ci/pin"
        (exactly,) = pinned[wanted.name][0].specifier
        assert wanted.specifier.contains(exactly.version), f"{wanted} is pinned at {exactly.version}: run .ci/pin"


def test_no_pin_brings_cuda() -> None:
    assert [pin.name for pin in pins() if pin.name.startswith(("cuda", "nvidia", "triton"))] == []


def test_the_citation_names_the_version() -> None:
    assert f"version: {seqclf.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_all_addresses_are_of_one_repository() -> None:
    owner, name = HOME.removeprefix("https://github.com/").split("/")
    assert all(url.startswith((f"{HOME}", f"https://{owner}.github.io/{name}/")) for url in PROJECT["urls"].values())
    assert f"repository-code: {HOME}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_links_and_pictures_on_pypi_are_absolute_and_lead_to_files() -> None:
    owner, name = HOME.split("/")[-2:]
    folder = re.escape(f"/{owner}/{name}/") + r"(?:blob/)?v\$HFPR_VERSION/([^#]*)"
    text = (ROOT / "README.md").read_text(encoding="utf-8") + "\n![a picture](docs/results/batch_size/curves.png)\n"
    assert re.search(r"\]\((?!https?:)", text)
    for change in PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    files = [
        match[1]
        for link in links
        if (match := re.match(rf"https://(?:raw\.githubusercontent|github)\.com{folder}", link))
    ]
    assert len(files) > 20
    assert [file for file in files if not (ROOT / file).is_file()] == []
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures
    assert all(picture.startswith("https://raw.githubusercontent.com/") for picture in pictures)


def test_warnings_are_errors_where_they_are_ours_and_stop_nothing_where_they_are_not() -> None:
    with pytest.raises(DeprecationWarning, match="ours"):
        warnings.warn("ours", DeprecationWarning, stacklevel=1)
    for module in ("seqclf", "seqclf.training.fit"):
        with pytest.raises(DeprecationWarning, match="ours"):
            warnings.warn_explicit("ours", DeprecationWarning, "x.py", 1, module=module)
    with warnings.catch_warnings(record=True) as caught:
        for module in ("dill._dill", "seqclf_plugin", "testsuite"):
            warnings.warn_explicit("theirs", DeprecationWarning, "x.py", 1, module=module)
    assert len(caught) == 3
