"""The report as a page: whole, right, escaped, small, the same every time, and readable in a browser."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import seqclf.report_page
from seqclf import (
    Evaluation,
    History,
    RNNClassifier,
    SequenceDataset,
    Vocabulary,
    evaluate,
    fit,
    linear_baseline,
    write_report,
)
from seqclf.cells import PeepholeLSTMCell
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.report_page.charts import Line, line_chart, ticks
from seqclf.report_page.markup import Markup, cut, escape, name_of, tag, visible
from seqclf.report_page.material import calibration, frequent_confusions, recall_bounds
from seqclf.report_page.mistakes import explained_class, labels_elsewhere
from tests.test_site import CHROMIUM, browser, faults, serve

__all__ = ["browser"]  # the fixture

NASTY = [
    "<script>alert(1)</script>",
    "\"quotes\" & 'more' <b>",
    "nul\0 bell\a\x1b[31m",
    "half \ud800 pair",
    "\u202eturned round",
    "שלום עולם",
    "&lt;already&gt;",
    "]]><!--",
    "long " * 100,
]
SECTIONS = [
    "summary", "data", "training", "classes", "confusions", "calibration", "baseline", "mistakes", "options", "versions"
]  # fmt: skip
VOID = {"br", "link", "meta"}


class Page(HTMLParser):
    """What is in a page: its text, elements and ids; tags that do not match are an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, element: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len(dict(attributes)) == len(attributes), f"an attribute of {element} comes twice"
        self.elements.append((element, {name: value or "" for name, value in attributes}))
        if element not in VOID:
            self.open.append(element)

    def handle_endtag(self, element: str) -> None:
        assert self.open.pop() == element

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, element: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == element]


def make(
    sequences: list[Any], labels: list[Any], *, model_options: dict[str, Any] | None = None, **options: Any
) -> tuple[RNNClassifier, SequenceDataset, SequenceDataset]:
    """Return an untrained model and its data, of which every third sequence tests."""
    dataset = SequenceDataset.from_sequences(sequences, labels, **options)
    tests = np.arange(len(dataset)) % 3 == 0
    given = {"hidden_size": 4, "seed": 0} | (model_options or {})
    return RNNClassifier.for_dataset(dataset, **given), dataset[~tests], dataset[tests]


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def report(path: Path, *material: Any, **options: Any) -> Page:
    write_report(path, *material, **options)
    return read(path)


WORDS = [f"{a}{b}{c}" for a in "abcd" for b in "abc" for c in "ab"]
LABELS = [("x", "y")[("a" in word[1:]) or len(set(word)) == 1] for word in WORDS]


@pytest.fixture(scope="module")
def trained() -> tuple[RNNClassifier, SequenceDataset, SequenceDataset, History]:
    model, train, test = make(WORDS, LABELS)
    history = fit(model, train, validation_data=test, epochs=4, progress=False)
    return model, train, test, history


def test_the_page_has_what_was_measured(tmp_path: Path, trained: Any) -> None:
    model, train, test, history = trained
    found = write_report(tmp_path / "report.html", *trained)
    page, result, linear = read(tmp_path / "report.html"), evaluate(model, test), linear_baseline(train, test)
    assert repr(found) == repr(result)
    own = result.interval("accuracy")
    for figure in (result.accuracy, own.low, own.high, result.majority, linear.accuracy):
        assert f"{100 * figure:.1f}" in page.text
    assert f"macro-F1 {result.macro_f1:.3f}" in page.text
    assert f"(ECE) is {result.calibration_error():.3f}" in page.text
    for label, row in result.per_class.items():
        assert label in page.text
        assert f"{row.recall:.3f}" in page.text
    assert f"{history.epochs} epochs" in page.text
    assert f"{model.num_parameters:,} trainable weights" in page.text
    assert [one["id"] for one in page.all("section")] == SECTIONS


def test_the_page_is_sound_and_needs_no_mouse(tmp_path: Path, trained: Any) -> None:
    page = report(tmp_path / "report.html", *trained)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert [one["href"][1:] for one in page.all("a")] == ["content", *SECTIONS]
    assert {one["href"][1:] for one in page.all("a")} <= set(ids)
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert all(one["scope"] in {"row", "col"} for one in page.all("th"))
    boxes = [one for one in page.all("div") if one.get("class") in {"scroll", "scroll tall"}]
    assert len(boxes) == len(page.all("table"))
    assert all(one["tabindex"] == "0" and one["role"] == "region" and one["aria-label"] for one in boxes)
    assert len(page.all("svg")) >= 4
    for one in page.all("svg"):
        assert one["role"] == "img"
        assert set(one["aria-labelledby"].split()) <= set(ids)
    assert page.all("html") == [{"lang": "en"}]


def test_the_page_asks_for_nothing(tmp_path: Path, trained: Any) -> None:
    write_report(tmp_path / "report.html", *trained)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for forbidden in ("<script", "http://", "https://", "url(", "@import", " src=", "<img", "<iframe", "javascript:"):
        assert forbidden not in text.lower(), forbidden
    assert "default-src &#x27;none&#x27;" in text


@given(st.text(), st.text())
def test_text_comes_back_as_it_went_in(text: str, attribute: str) -> None:
    page = Page(tag("p", text, title=attribute))
    assert page.elements == [("p", {"title": visible(attribute)})]
    assert page.text == visible(text)
    visible(text).encode("utf-8")
    assert all(one.isprintable() or one in "\u200c\u200d" for one in visible(text))


def test_markup_is_escaped_once_and_text_always() -> None:
    assert escape(Markup("<b>")) == "<b>"
    assert escape("<b>") == "&lt;b&gt;"
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"
    assert tag("p", title=Markup('"')) == '<p title="&quot;"></p>'
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"
    assert name_of("a" * 41) == f'<bdi title="{"a" * 41}">{"a" * 39}…</bdi>'


def test_nothing_in_the_data_becomes_markup(tmp_path: Path) -> None:
    harmless = {nasty: f"name{rank}" for rank, nasty in enumerate(sorted(NASTY))}  # in the same order
    pages = []
    for names in ({one: one for one in NASTY}, harmless):
        sequences = [[names[one], names[other]] for one in NASTY for other in NASTY[:4]]
        model, train, test = make(sequences, [names[NASTY[number % 9]] for number in range(36)])
        pages.append(report(tmp_path / "report.html", model, train, test, title=names[NASTY[0]]))
    nasty, plain = pages
    assert [element for element, _ in nasty.elements] == [element for element, _ in plain.elements]
    assert [set(attributes) - {"title"} for _, attributes in nasty.elements] == [
        set(attributes) - {"title"} for _, attributes in plain.elements
    ]
    for label in NASTY[:-1]:
        assert nasty.text.count(visible(label)) == plain.text.count(harmless[label]) > 4
    assert cut(NASTY[-1], 40) in nasty.text


def test_texts_of_every_kind_of_character(tmp_path: Path) -> None:
    texts = [f"{one}{number}" for number, one in enumerate(NASTY)]
    dataset = SequenceDataset.from_sequences(texts, [number % 2 for number in range(9)], tokenizer="characters")
    model = RNNClassifier.for_dataset(dataset, hidden_size=4, seed=0)
    result = evaluate(model, dataset)
    wrong = replace(result, predictions=1 - result.labels)
    page = report(tmp_path / "report.html", model, dataset, dataset, result=wrong, linear=False)
    assert page.all("script") == []
    for shown in ("<script>alert(1)</script>", "\\x00", "\\x1b", "\\ud800", "\\u202e", "שלום", "&lt;already&gt;"):
        assert shown in page.text


def multi_label() -> Any:
    labels = [("x",), ("x", "y"), (), ("z",)] * 6
    return make(WORDS, labels, multi_label=True)


def series(width: int, *, missing: bool = False) -> Any:
    generator = np.random.default_rng(0)
    values = [generator.normal(size=(5 + number % 3, width)).astype(np.float32) for number in range(24)]
    if missing:
        values[0][1] = np.nan
    options = {"missing": "mean"} if missing else {}
    return make(values, ["up", "down"] * 12, allow_missing=missing, model_options=options)


def records(count: int = 3) -> Any:
    visits = [[("home", 1.5 * number), *[("cart", 2.0)] * (count + number % 3)] for number in range(24)]
    return make(visits, ["buys", "leaves"] * 12, fields=["page", "seconds"])


def with_context() -> Any:
    context = {"country": ["NL", "<FR>"] * 12, "age": [float(number) for number in range(24)]}
    return make(WORDS, LABELS, context=context)


def skipping() -> Any:
    return make([*WORDS, "", "", ""], [*LABELS, "x", "x", "y"], allow_empty=True, model_options={"empty": "skip"})


def plain_model() -> Any:
    _, train, test = make([[ord(one) for one in word] for word in WORDS], [label == "x" for label in LABELS])
    assert train.vocabulary is not None
    return RNNClassifier(2, vocab_size=len(train.vocabulary), hidden_size=4, seed=0), train, test


KINDS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "characters": (lambda: make(WORDS, LABELS), ["Most on"]),
    "words": (lambda: make([" ".join(word) for word in WORDS], LABELS, tokenizer="words"), ["split by words"]),
    "bytes": (lambda: make([f"ä{word}" for word in WORDS], LABELS, tokenizer="bytes"), ["\\xc3", "\\xa4"]),
    "tokens": (lambda: make([list(word) for word in WORDS], [1, 2] * 12), ["Most on"]),
    "no vocabulary in the model": (plain_model, ["Most on"]),
    "several labels": (multi_label, ["micro-F1", "there are no pairs", "average precision"]),
    "one feature": (lambda: series(1), ["The lines are the measurements", "step 1"]),
    "six features": (lambda: series(6), ["first 3 of 6 features"]),
    "missing features": (lambda: series(2, missing=True), ["missing values"]),
    "records": (records, ["Fields: page (2 categories), seconds (number)", "contributed"]),
    "many records": (lambda: records(40), ["The 12 that count most of"]),
    "context": (with_context, ["country = ", "<FR>"]),
    "empty ones skipped": (skipping, ["1 empty test sequence got no answer"]),
    "a cell of one's own": (
        lambda: make(WORDS, LABELS, model_options={"cell": PeepholeLSTMCell}), ["PeepholeLSTMCell", "Most on"]
    ),
    "one class": (lambda: make(WORDS, ["x"] * 24), ["No mistake was made", "No class is taken for another"]),
    "one test sequence": (lambda: make(["ab", "ba", "bb"], ["x", "y", "y"]), ["There is 1 class (x) with fewer"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_and_data(tmp_path: Path, kind: str) -> None:
    make_it, expected = KINDS[kind]
    model, train, test = make_it()
    page = report(tmp_path / "report.html", model, train, test)
    for text in expected:
        assert text in page.text
    assert [one["id"] for one in page.all("section")] == SECTIONS
    assert "Left out: no history was given." in page.text


def test_long_sequences_are_cut_and_it_is_said(tmp_path: Path) -> None:
    long = ["ab" * 200 + word for word in WORDS[:9]] + ["ba" * 600] * 3
    page = report(tmp_path / "report.html", *make(long, ["x", "y", "z"] * 4), mistakes=30)
    assert "223 left out" in page.text
    assert "What each step contributed is left out: it is too long" in page.text


def test_very_many_classes_come_as_pairs_and_stay_small(tmp_path: Path) -> None:
    names = [f"<class> number {number} of very many" for number in range(500)]
    words = [f"{number:03d}{end}" for number in range(500) for end in "abc"]
    model, train, test = make(words, [name for name in names for _ in range(3)])
    page = report(tmp_path / "report.html", model, train, test, linear=False)
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert "Of 500 classes only the pairs" in page.text
    assert not [one for one in page.all("table") if one.get("class") == "heat"]
    assert all(visible(name) in page.text for name in names)


def test_more_classes_than_rows_are_told(tmp_path: Path) -> None:
    labels = [number // 3 for number in range(1530)]
    page = report(tmp_path / "report.html", *make([f"{number:04d}" for number in range(1530)], labels), linear=False)
    assert "The 500 largest of 510 classes are shown." in page.text
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_a_hundred_thousand_sequences_stay_small(tmp_path: Path) -> None:
    model, train, test = make(WORDS, LABELS)
    large = test.subset(np.arange(100_000) % len(test))
    page = report(tmp_path / "report.html", model, train, large)
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert "100,000 sequences" in page.text


def test_the_same_every_time_but_for_the_date(tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tmp_path / "one.html", *trained)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    state = torch.get_rng_state()
    write_report(tmp_path / "two.html", *trained)
    assert torch.equal(torch.get_rng_state(), state)
    one, two = ((tmp_path / name).read_text(encoding="utf-8") for name in ("one.html", "two.html"))
    date = r"<time datetime=\"\d{4}-\d\d-\d\d\">\d{4}-\d\d-\d\d</time>"
    assert re.sub(date, "", one) == re.sub(date, "", two) != one


def test_options_tell_no_address(tmp_path: Path) -> None:
    def make_cell(input_size: int, hidden_size: int) -> torch.nn.Module:
        return torch.nn.GRUCell(input_size, hidden_size)

    cell = partial(make_cell)
    assert " at 0x" in repr(cell)
    page = report(tmp_path / "report.html", *make(WORDS, LABELS, model_options={"cell": cell}))
    assert "make_cell" in page.text
    assert " at 0x" not in page.text


def test_training_mode_is_left_as_it_was(tmp_path: Path) -> None:
    model, train, test = make(WORDS, LABELS)
    model.train()
    write_report(tmp_path / "report.html", model, train, test)
    assert model.training
    assert all(one.grad is None for one in model.parameters())


def test_without_scikit_learn(tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seqclf.report_page, "can_fit", lambda: False)
    page = report(tmp_path / "report.html", *trained)
    assert page.text.count("scikit-learn is not installed. Install it with: pip install") == 2
    page = report(tmp_path / "report.html", *trained, linear=False)
    assert "Left out: it was not asked for." in page.text


def test_weights_that_went_wrong_give_a_page(tmp_path: Path) -> None:
    model, train, test = make(WORDS, LABELS)
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    page = report(tmp_path / "report.html", model, train, test, linear=False)
    assert "the probabilities of the answers are not known, or are no numbers" in page.text
    assert "its figures are not finite" in page.text


def test_several_models_have_a_report_of_their_average(tmp_path: Path, trained: Any) -> None:
    model, train, test, _ = trained
    other = RNNClassifier.for_dataset(train, seed=5)
    page = report(tmp_path / "report.html", [model, other], train, test, linear=False)
    average = evaluate([model, other], test)
    assert "2 such models, averaged" in page.text
    assert f"{average.accuracy:.1%}".replace("%", " %") in page.text
    assert ("several models answer together" in page.text) == (average.accuracy < 1)
    with pytest.raises(InvalidArgumentError, match="model must be an RNNClassifier, or a list of some"):
        write_report(tmp_path / "report.html", [], train, test)


def test_a_result_that_is_known_is_taken(tmp_path: Path, trained: Any) -> None:
    model, train, test, _ = trained
    result = evaluate(model, test, groups=[index // 2 for index in range(len(test))])
    assert write_report(tmp_path / "report.html", model, train, test, result=result) is result
    bare = Evaluation(result.losses, result.labels, result.predictions, result.classes)
    page = report(tmp_path / "report.html", model, train, test, result=bare)
    assert "the probabilities of the answers are not known" in page.text
    with pytest.raises(
        InvalidArgumentError, match=r"result must be what evaluate returned .* 8 sequences; got one of 16 others"
    ):
        write_report(tmp_path / "report.html", model, train, test, result=evaluate(model, train))
    page = report(tmp_path / "report.html", model, train, test, linear=result)  # a figure that is known is shown
    assert page.text.count(f"{result.accuracy:.1%}".replace("%", " %")) >= 2
    with pytest.raises(InvalidArgumentError, match=r"linear must be what linear_baseline returned .* got one of 16"):
        write_report(tmp_path / "report.html", model, train, test, linear=evaluate(model, train))
    with pytest.raises(InvalidArgumentError, match=r"result must be what evaluate returned .* got dict"):
        write_report(tmp_path / "report.html", model, train, test, result={})


def test_places_where_no_file_can_be_are_refused_first(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seqclf.report_page, "evaluate", lambda *_, **__: pytest.fail("it was measured before"))
    with pytest.raises(FileFormatError, match=r"must be a file to be replaced; got something else"):
        write_report(tmp_path, *trained)
    with pytest.raises(FileFormatError, match=r"folder must exist to write report.html; got no folder at .*none"):
        write_report(tmp_path / "none" / "report.html", *trained)
    with pytest.raises(InvalidArgumentError, match=r"path must be a string or a pathlib.Path; got int"):
        write_report(3, *trained)
    with pytest.raises(FileFormatError, match=r"path must be one that this system takes; got .*null byte"):
        write_report(f"{tmp_path}/a\0b.html", *trained)
    if not hasattr(os, "mkfifo"):
        return
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFormatError, match=r"pipe must be a file to be replaced"):
        write_report(tmp_path / "pipe", *trained)


def test_a_folder_that_cannot_be_written_to_is_refused_first(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(seqclf.report_page, "evaluate", lambda *_, **__: pytest.fail("it was measured before"))
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(FileFormatError, match=r"report.html must be writable; got Permission denied at"):
        write_report(tmp_path / "report.html", *trained)


def test_arguments_that_are_wrong_are_refused_and_leave_the_old_page(tmp_path: Path, trained: Any) -> None:
    model, train, test, _history = trained
    path = tmp_path / "report.html"
    path.write_text("the page before", encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match="history must be what fit returned, or None; got dict"):
        write_report(path, model, train, test, {})
    with pytest.raises(InvalidArgumentError, match="title must be a string; got int"):
        write_report(path, model, train, test, title=3)
    with pytest.raises(InvalidArgumentError, match="mistakes must be an integer of at least 0; got -1"):
        write_report(path, model, train, test, mistakes=-1)
    with pytest.raises(InvalidArgumentError, match="model must be an RNNClassifier; got str"):
        write_report(path, "model", train, test)
    other = SequenceDataset.from_pairs([("zz", "x"), ("z", "y")])
    with pytest.raises(InvalidDataError, match="dataset must be encoded with the model's vocabulary"):
        write_report(path, model, train, other)
    with pytest.raises(InvalidDataError, match="dataset must be encoded with the model's vocabulary"):
        write_report(path, model, other, test)
    with pytest.raises(InvalidArgumentError, match="test must be a SequenceDataset; got list"):
        write_report(path, model, train, [])
    assert path.read_text(encoding="utf-8") == "the page before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_breaks_off_leaves_the_old_page(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("the page before", encoding="utf-8")

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        write_report(path, *trained)
    assert path.read_text(encoding="utf-8") == "the page before"
    assert list(tmp_path.iterdir()) == [path]


def test_warnings_of_the_data_and_the_results(tmp_path: Path) -> None:
    pairs = [("ab", "x"), ("ba", "x"), ("ab", "y"), ("bb", "y"), ("aa", "x"), ("a", "x")]
    train = SequenceDataset.from_pairs(pairs, classes=["x", "y", "z"])
    test = SequenceDataset.from_pairs(
        [("ab", "x"), ("ab", "y"), ("cc", "y")], vocabulary=train.vocabulary, classes=train.classes
    )
    model = RNNClassifier.for_dataset(train, hidden_size=4, seed=0)
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([30.0, 0.0, 0.0]))
    history = History({"loss": [1.0]}, stopped_by="interrupted")
    text = report(tmp_path / "report.html", model, train, test, history).text
    for expected in (
        "Warning: 2 of 3 test sequences (66.7 %) occur in the training data too",
        "1 distinct test sequence has more than one label, so no model can get more than 66.7 % right.",
        "Warning: 2 of 6 steps of the test data (33.3 %) are symbols that training never saw.",
        "Warning: There is 1 class (z) without a training sequence",
        "Warning: There is 1 class (z) without a test sequence",
        "Warning: There is 1 class (y) that the model never predicts.",
        "There are 2 classes (x, y) with fewer than 10 test sequences",
        "Warning: The model is not shown to be better than a linear model",
        "Warning: The model is 67 points surer of its answers than it is right: see calibrate.",
        "Warning: Training was interrupted after 1 epoch.",
        "In the training data: x (once), y (once)",
        "In the test data: x (once), y (once)",
    ):
        assert expected in text


def test_better_and_worse_than_the_linear_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, train, test = make(WORDS * 4, LABELS * 4)
    labels = test.labels.numpy()
    right, wrong = (
        Evaluation(np.ones(len(test)), labels, answers, test.classes, confidences=np.full(len(test), 0.9))
        for answers in (labels, 1 - labels)
    )
    for own, linear, told in (
        (right, wrong, "The model is 100.0 points more accurate than a linear model (95 %: 100.0 to 100.0)."),
        (wrong, right, "Warning: A linear model is 100.0 points more accurate than the model (95 %: 100.0 to 100.0)."),
    ):
        monkeypatch.setattr(seqclf.report_page, "linear_baseline", lambda *_, one=linear: one)
        assert told in report(tmp_path / "report.html", model, train, test, result=own).text


@st.composite
def evaluations(draw: Any) -> tuple[Evaluation, SequenceDataset]:
    count = draw(st.integers(1, 30))
    words = draw(st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=count, max_size=count))
    labels, answers = (np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))) for _ in range(2))
    sure = np.array(draw(st.lists(st.sampled_from([0.4, 0.6, 0.9]), min_size=count, max_size=count)))
    dataset = SequenceDataset.from_sequences(words, labels.tolist(), classes=[0, 1, 2])
    return Evaluation(np.ones(count), labels, answers, (0, 1, 2), dataset.groups, sure), dataset


@given(evaluations(), evaluations())
def test_labels_elsewhere_are_counted(one: tuple[Any, SequenceDataset], other: tuple[Any, SequenceDataset]) -> None:
    def words(dataset: SequenceDataset) -> list[Any]:
        return [dataset.vocabulary.decode(sequence) for sequence, _ in dataset]

    here, there = one[1], other[1]
    there = SequenceDataset.from_sequences(
        words(there), there.labels.tolist(), vocabulary=here.vocabulary, classes=here.classes
    )
    found = labels_elsewhere(there, here, range(len(here)))
    for word, labels in zip(words(here), found, strict=True):
        own = [label for other_word, (_, label) in zip(words(there), there, strict=True) if other_word == word]
        assert Counter(dict(labels)) == Counter((label,) for label in own)


def test_the_answer_about_a_label_that_it_erred_most_about_is_explained() -> None:
    labels, probabilities = np.array([[1, 0, 0]]), np.array([[0.3, 0.6, 0.1]])
    result = Evaluation(
        np.ones(1), labels, (probabilities >= 0.5).astype(np.int64), ("x", "y", "z"), probabilities=probabilities
    )
    assert explained_class(result, 0) == 0


@given(evaluations())
def test_confusions_are_those_of_the_matrix(drawn: tuple[Evaluation, Any]) -> None:
    result = drawn[0]
    matrix = result.confusion_matrix - np.diag(np.diag(result.confusion_matrix))
    found = frequent_confusions(result, 100)
    assert sum(number for *_, number in found) == matrix.sum()
    assert all(matrix[true, taken] == number for true, taken, number in found)
    assert [number for *_, number in found] == sorted((number for *_, number in found), reverse=True)


@given(evaluations())
def test_the_recall_of_the_only_class_is_the_accuracy(drawn: tuple[Evaluation, Any]) -> None:
    result = drawn[0]
    only = Evaluation(result.losses, np.zeros(result.n, np.int64), result.predictions, (0, 1, 2), result.groups)
    bounds, interval = recall_bounds(only), only.interval("accuracy")
    assert np.allclose(bounds[0], [interval.low, interval.high])
    assert np.isnan(bounds[1:]).all()


def test_recall_of_several_labels_is_that_of_each_alone() -> None:
    generator = np.random.default_rng(0)
    labels, answers = generator.integers(0, 2, (2, 40, 3))
    labels[:, 2], answers[:, 2] = 1, 1
    several: Any = recall_bounds(Evaluation(np.ones(40), labels, answers, ("x", "y", "z"), probabilities=answers / 2))
    per_class = Evaluation(np.ones(40), labels, answers, ("x", "y", "z")).per_class
    for (low, high), row in zip(several, per_class.values(), strict=True):
        assert low <= row.recall <= high
        assert high - low < 0.5
    assert several[2].tolist() == [1 - (1 - (0.025) ** (1 / 40)), 1.0]


def test_intervals_that_would_take_long_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqclf.report_page.material._MOST_ANSWERS", 3)
    page = report(tmp_path / "report.html", *multi_label())
    assert "Intervals are left out, as there are too many answers to resample." in page.text


def test_calibration_of_several_labels_counts_each_answer() -> None:
    labels, probabilities = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.1], [0.1, 0.1]])
    result = Evaluation(np.ones(2), labels, labels, ("x", "y"), probabilities=probabilities)
    measured: Any = calibration(result, 10)
    counts, _, _, error = measured
    assert counts.sum() == 4
    assert error == pytest.approx(0.1)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_within_and_evenly_spaced(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-6 * width <= one <= low + width * (1 + 1e-6) for one in found)
    assert np.allclose(np.diff(found), np.diff(found)[:1].mean() if len(found) > 1 else 0)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [np.nan] * 3, [1.0, np.inf, 3.0, np.nan, 2.0], [0.0] * 1000])
def test_curves_of_any_values_are_drawn(values: list[float]) -> None:
    line = Line("<a>", np.arange(1.0, len(values) + 1), np.array(values))
    page = Page(line_chart("curve", "Title", [line], x_label="epoch"))
    assert len(page.all("svg")) == 1
    numbers = re.findall(r"-?[\d.]+|nan|inf", " ".join(one["points"] for one in page.all("polyline")))
    assert all(0 <= float(one) <= 400 for one in numbers)
    assert len(numbers) <= 2 * 300


def test_any_history_is_drawn(tmp_path: Path, trained: Any) -> None:
    model, train, test, _ = trained
    page = report(tmp_path / "report.html", model, train, test, History())
    assert "Left out: the history has no epochs." in page.text
    measures = {
        "loss": [float("nan")] * 150,
        "macro_f1": [0.5] * 150,
        "val_macro_f1": [0.4] * 150,
        "val_own": [1.0] * 150,
    }
    page = report(tmp_path / "report.html", model, train, test, History(measures, best_epoch=3, stopped_by="callback"))
    assert "Epoch 4 was the best." in page.text
    assert "a callback ended it" in page.text
    assert "Macro f1" in page.text
    assert "Val own" in page.text
    assert "Measures by epoch (100 of 150)" in page.text


def test_unknown_symbols_have_a_name(tmp_path: Path) -> None:
    vocabulary = Vocabulary("ab")
    options = {"vocabulary": vocabulary, "classes": ["x", "y"]}
    train, test = (SequenceDataset.from_pairs([("ab?", "x"), ("b?", "y")], **options) for _ in range(2))
    page = report(tmp_path / "report.html", RNNClassifier.for_dataset(train, hidden_size=4, seed=0), train, test)
    assert "<unk>" in page.text
    assert "are unknown symbols, all read as one" in page.text


CONTRAST = """
const light = c => { c = c / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 };
const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n };
const over = (top, under) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * under[i]);
const paper = element => element === null ? [255, 255, 255]
    : over(parse(getComputedStyle(element).backgroundColor), paper(element.parentElement));
const found = [];
for (const element of document.body.querySelectorAll("*:not(.skip)")) {
    const style = getComputedStyle(element);
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length || ["title", "desc"].includes(element.tagName)) continue;
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [luminance(ink), luminance(paper(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(element.outerHTML.slice(0, 80));
}
return found;
"""


def names() -> Any:
    rows = [("Satoshi", "Japanese"), ("Rossi", "Italian"), ("Dubois", "<script>alert(1)</script>"), ("Li", "n" * 80)]
    model, train, test = make(
        [f"{name}{end}" for name, _ in rows for end in "abcdefghij"], [label for _, label in rows for _ in range(10)]
    )
    return model, train, test, fit(model, train, validation_data=test, epochs=2, progress=False)


def wide() -> Any:
    words = [f"{number:02d}{end}" for number in range(60) for end in "abc"]
    return make(words, [f"class number {number // 3}" for number in range(180)])


PAGES: dict[str, Callable[[], Any]] = {
    "names": names,
    "60 classes": wide,
    "long words": lambda: make([["w" * 300, str(number)] for number in range(24)], LABELS),
    "series": lambda: series(2),
    "records": lambda: records(20),
    "several labels": multi_label,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if CHROMIUM is None:
        pytest.skip("reports are not opened: there is no chromium")
    folder = tmp_path_factory.mktemp("reports")
    for number, one in enumerate(PAGES.values()):
        write_report(folder / f"{number}.html", *one())
    server = serve(folder)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("number", range(len(PAGES)), ids=list(PAGES))
def test_a_report_opens(pages: str, browser: Any, number: int, width: int, mode: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": mode}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert faults(browser, f"{pages}/{number}.html", width, may_scroll=".scroll") == []
    assert browser.execute_script("return document.scripts.length") == 0
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[mode]
    assert browser.execute_script(CONTRAST) == []


def test_the_contrast_is_measured(tmp_path: Path, browser: Any) -> None:
    (tmp_path / "index.html").write_text("<p style='color: #999'>pale</p><p style='color: #666'>grey</p>")
    browser.get((tmp_path / "index.html").as_uri())
    assert [one[-8:] for one in browser.execute_script(CONTRAST)] == ["pale</p>"]


def test_no_script_would_run(tmp_path: Path, browser: Any, trained: Any) -> None:
    write_report(tmp_path / "report.html", *trained)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    planted = page.replace("</main>", "<script>document.title = 'planted'</script></main>")
    (tmp_path / "planted.html").write_text(planted, encoding="utf-8")
    browser.get((tmp_path / "planted.html").as_uri())
    assert browser.title == "Classification report"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))
