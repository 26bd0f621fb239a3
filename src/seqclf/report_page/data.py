"""The section on the data: sizes, duplicates, balance, lengths, unknown symbols."""

from collections.abc import Iterator

from seqclf.data.report import DataReport
from seqclf.report_page.charts import histogram
from seqclf.report_page.markup import Markup, count, percent, section, table, tag
from seqclf.report_page.material import Material


def data_section(material: Material) -> Markup:
    """Return what is to be known of the training and the test data."""
    reports = (material.of_train, material.of_test)
    several = material.test.multi_label
    facts = zip(*(_facts(part, several) for part in reports), strict=True)
    rows = [(name, one, other) for (name, one), (_, other) in facts if {one, other} != {"0"}]
    kind = _kind_of(material)
    content = [tag("p", kind)] if kind else []
    content.append(table("The training and the test data", ("", "training", "test"), rows))
    content.append(tag("p", _shared(material)))
    lengths = {"training": material.train.lengths.numpy(), "test": material.test.lengths.numpy()}
    if min(one.min() for one in lengths.values()) == max(one.max() for one in lengths.values()):
        spread = tag("p", f"All sequences have {count(int(lengths['test'][0]), 'step')}.")
    else:
        spread = histogram("lengths", "Lengths: the part of the sequences, by number of steps", lengths, "steps")
    return section("data", "Data", tag("div", tag("div", *content), spread, class_="grid-of"))


def _facts(report: DataReport, several: bool) -> Iterator[tuple[str, str]]:
    least, *quartiles, greatest = report.length_quartiles
    yield "sequences", f"{report.n:,}"
    yield "distinct sequences", f"{report.distinct:,}"
    yield "most frequent one", "once" if report.most_repeated == 1 else f"{report.most_repeated:,} times"
    yield f"with several {'label sets' if several else 'labels'}", f"{report.ambiguous:,}"
    yield "accuracy at most", percent(report.ceiling)
    yield "classes that occur", f"{sum(number > 0 for number in report.class_counts.values()):,}"
    yield "largest class", percent(max(report.class_counts.values()) / report.n)
    yield "lengths", f"{least:,.0f} to {greatest:,.0f}"
    yield "quartiles of length", ", ".join(f"{one:,.1f}".removesuffix(".0") for one in quartiles)
    yield "outliers in length", f"{len(report.length_outliers):,}"
    yield "steps", f"{report.steps:,}"
    yield "unknown symbols", f"{report.unknown_steps:,}"
    yield "missing values", f"{report.missing_values:,}"
    yield "empty sequences", f"{report.empty:,}"


def _kind_of(material: Material) -> str:
    """Return what a step is, where that has to be said."""
    report = material.of_train
    if report.fields is not None:
        return f"Fields: {report.fields}."
    if report.tokenizer is not None:
        return f"Texts are split by {report.tokenizer}, {report.steps / report.n:.1f} symbols each."
    if material.train.input_size is not None:
        return f"Each step has {count(material.train.input_size, 'feature')}."
    return ""


def _shared(material: Material) -> str:
    leakage = material.of_train.leakage
    assert leakage is not None
    if not leakage.shared:
        return "No test sequence occurs in the training data."
    shared = f"{leakage.shared:,} of {leakage.n:,} test sequences ({percent(leakage.shared / leakage.n)})"
    return f"{shared} occur in the training data, {leakage.shared_with_label:,} of them with the same label there."
