"""Tables in a notebook: they hold what the printed ones hold, and labels cannot be markup."""

from html.parser import HTMLParser

import numpy as np

from seqclf import Evaluation, SequenceDataset
from seqclf.notebook import html_table


class _Cells(HTMLParser):
    """The text of all cells, and the tags that are not those of a table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.others: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"td", "th"}:
            self.cells.append("")
        elif tag not in {"table", "thead", "tbody", "tr", "p", "br"}:
            self.others.add(tag)

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_an_evaluation_shows_each_class() -> None:
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    result = Evaluation(np.full(4, 0.5), labels, predictions, ("<script>", "b & c"))
    found = _Cells(result._repr_html_())
    assert found.others == set()
    header = ["class", "precision", "recall", "F1", "support"]
    assert found.cells == [*header, "<script>", "1.000", "0.500", "0.667", "2", "b & c", "0.667", "1.000", "0.800", "2"]
    assert "accuracy=75.0 %" in result._repr_html_()
    assert _Cells(html_table(["<b>"], ["a"], [])).others == set()


def test_a_report_shows_what_it_prints() -> None:
    dataset = SequenceDataset.from_pairs([("ab", "<b>"), ("ab", "y"), ("ba", "y")])
    report = dataset.report(dataset)
    found = _Cells(report._repr_html_())
    assert found.others == set()
    header = ["class", "count", "distinct", "share"]
    assert found.cells == [*header, "y", "2", "2", "66.7 %", "<b>", "1", "1", "33.3 %"]
    printed = repr(report).split("\n\n")[0].splitlines()
    for line in printed:
        name, fact = line.split(maxsplit=1)
        assert f"{name}: {fact}" in report._repr_html_()
