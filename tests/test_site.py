"""The built documentation: no broken link, no code in italics, every public name with what its example prints.

And in a browser, wide and narrow: no missing picture or console error, and nothing that is cut off.
"""

import doctest
import importlib
import inspect
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
SITE = DOCS / "_build" / "html"
WIDEST_CODE, LINES_OF_README = 88, 110  # columns of a page of 46 em; two screens and the quick start
PUBLIC_MODULES = [
    "seqclf",
    *(f"seqclf.{name}" for name in ("callbacks", "cells", "datasets", "errors", "fields", "plotting", "reading")),
    *(f"seqclf.{name}" for name in ("sklearn", "study", "verify")),
]
WIDTHS = {"phone": 400, "desk": 1280}
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


class _Page(HTMLParser):
    """The names that a page can be entered by, and where it points to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name == "id":
                self.anchors.add(value)
            elif value and name in {"href", "src"}:
                self.targets.add(value)


def broken_links(site: Path) -> list[str]:
    """Return every link within a site whose file or anchor is not there."""
    pages = {path.resolve(): _Page(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for target in sorted(page.targets):
            if target.startswith(("http://", "https://", "mailto:", "data:", "javascript:")):
                continue
            place, anchor = urldefrag(target)
            end = (path.parent / unquote(place.partition("?")[0])).resolve() if place else path
            is_missing = not end.exists() or (anchor and end in pages and unquote(anchor) not in pages[end].anchors)
            if is_missing:
                found.append(f"{path.name}: {target}")
    return found


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def serve(folder: Path) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


# Boxes of an article that hide a part of what they hold, or reach beyond the article; in words, the widest first.
CUT = """
const article = document.querySelector("article") || document.body;
const edge = (article.closest(".content") || article).getBoundingClientRect().right + 1;
const mayScroll = arguments[0];
const cut = [...article.querySelectorAll("*")].filter(box => {
    if (mayScroll && box.closest(mayScroll)) return false;
    const style = getComputedStyle(box);
    const hides = style.overflowX !== "visible" && box.clientWidth && box.scrollWidth > box.clientWidth + 1;
    const isBox = style.visibility !== "hidden" && style.display !== "inline";
    return isBox && (hides || box.getBoundingClientRect().right > edge);
});
return cut.map(box => `cut: ${box.tagName.toLowerCase()} ${box.className} of ${box.scrollWidth}: ` +
    box.textContent.trim().slice(0, 60));
"""


def faults(browser: Any, url: str, width: int, may_scroll: str = "") -> list[str]:
    """Return what is wrong with a page at some width of the screen; boxes of a CSS selector may hide a part."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url)
    found = [f"console: {entry['message']}" for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    empty = "return [...document.images].filter(one => !one.complete || !one.naturalWidth).map(one => one.src)"
    found += [f"no picture: {source}" for source in browser.execute_script(empty)]
    found += browser.execute_script(CUT, may_scroll)
    reach = browser.execute_script("return document.documentElement.scrollWidth")
    return found + [f"{reach} wide on a screen of {width}"] * (reach > width)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("the site is not opened: there is no chromium with a chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not tested: build it with sphinx-build docs docs/_build/html")
    server = serve(SITE)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def pages() -> list[str]:
    """The pages that are read; those of source code are left out."""
    return sorted(str(path.relative_to(SITE)) for path in [*SITE.glob("*.html"), *SITE.glob("api/*.html")])


def test_no_link_is_broken(site: str) -> None:
    assert broken_links(SITE) == []


def test_code_is_never_in_italics(site: str) -> None:
    found = {page: (SITE / page).read_text(encoding="utf-8").count("<cite>") for page in pages()}
    assert {page: count for page, count in found.items() if count} == {}


PUBLIC = {
    f"{module}.{name}"
    for module in PUBLIC_MODULES
    for name in importlib.import_module(module).__all__
    if name != "__version__"
}


def test_every_public_name_is_on_a_page_of_the_reference(site: str) -> None:
    anchors = {anchor for path in SITE.glob("api/*.html") for anchor in _Page(path).anchors}
    documented = {_resolve(anchor) for anchor in anchors if anchor.startswith("seqclf.") and _resolve(anchor)}
    assert sorted(name for name in PUBLIC if _resolve(name) not in documented) == []


def _resolve(name: str) -> Any:
    """The class or function of that name; None for anything else, such as a method."""
    module, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), last)
    except ImportError:
        return None
    return found if callable(found) else None


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_example_of_every_public_name_shows_what_it_prints(name: str) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(_resolve(name)) or "")
    assert any(example.want for example in examples), "add what the example prints, or an example"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_lines_of_code_fit(page: Path) -> None:
    blocks = re.findall(r"^```(?:python|bash)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [line for block in blocks for line in block.splitlines() if len(line) > WIDEST_CODE] == []


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), README], ids=lambda path: path.name)
def test_pictures_have_words_for_those_who_do_not_see_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "![](" not in text
    assert text.count("```{image}") == text.count(":alt: ")


def test_the_first_example_of_the_readme_comes_before_its_lists() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.index("```python") < text.index("\n- ")
    assert text.count("\n") <= LINES_OF_README


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_every_page_opens(site: str, browser: Any, width: int) -> None:
    found = {page: faults(browser, f"{site}/{page}", width) for page in pages()}
    assert {page: one for page, one in found.items() if one} == {}


def test_the_checks_find_what_is_planted(tmp_path: Path, browser: Any) -> None:
    (tmp_path / "index.html").write_text(
        "<a href='none.html'></a> <a href='#nowhere'></a> <a href='#here'></a> <p id='here'>"
        "<img src='none.png'> <div style='width: 700px'>wide</div> <script>throw new Error('planted')</script>"
        "<pre style='width: 90px; overflow-x: auto'>a line that is longer than its box</pre>"
    )
    assert broken_links(tmp_path) == ["index.html: #nowhere", "index.html: none.html", "index.html: none.png"]
    server = serve(tmp_path)
    try:
        found = faults(browser, f"http://127.0.0.1:{server.server_port}/index.html", 360)
    finally:
        server.shutdown()
        server.server_close()
    for expected in ("planted", "no picture: ", "none.png", "wide on a screen of 360", "cut: div", "cut: pre"):
        assert expected in " ".join(found)
