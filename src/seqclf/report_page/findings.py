"""What to know before the figures are believed: what the data and the results warn of, in sentences."""

from collections.abc import Iterator

import numpy as np

from seqclf.report_page.markup import Markup, count, join, name_of, percent, tag
from seqclf.report_page.material import Material, calibration

_ROUGH = 10  # members of a class under which its figures say little
_NAMED = 5  # classes that a sentence names
_OFF = 0.05  # how far confidence and accuracy may be apart on the average

Finding = tuple[bool, Markup]  # whether it is a warning, and the sentence


def findings_of(material: Material) -> Markup:
    """Return what is to be known, warnings first; or that nothing was found."""
    found = [*_of_baseline(material), *_of_data(material), *_of_classes(material), *_of_answers(material)]
    found += list(_of_training(material))
    items = [
        tag("li", *([tag("b", "Warning: ")] if alarms else []), sentence, class_="alarm" if alarms else None)
        for alarms, sentence in sorted(found, key=lambda one: not one[0])
    ]
    return tag("ul", *items, class_="findings") if items else tag("p", "Nothing was found that limits these figures.")


def _of_baseline(material: Material) -> Iterator[Finding]:
    if material.comparison is None:
        yield False, join([f"There is no linear baseline to compare with: {material.why_no_baseline}"])
        return
    difference = material.comparison.difference
    ends = f"95 %: {100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
    points = f"{abs(100 * difference.value):.1f} points"
    if difference.low > 0:
        yield False, join([f"The model is {points} more accurate than a linear model on the same data ({ends})."])
    elif difference.high < 0:
        yield True, join([f"A linear model on the same data is {points} more accurate than the model ({ends})."])
    else:
        yield True, join([f"The model is not shown to be better than a linear model on the same data ({ends} points)."])


def _of_data(material: Material) -> Iterator[Finding]:
    leakage, test = material.of_train.leakage, material.of_test
    assert leakage is not None
    if leakage.shared:
        sequences = f"{leakage.shared:,} of {leakage.n:,} test sequences ({percent(leakage.shared / leakage.n)})"
        yield True, join([f"{sequences} occur in the training data too, which flatters the figures."])
    if test.ambiguous:
        label = "set of labels" if material.result.multi_label else "label"
        have = "has" if test.ambiguous == 1 else "have"
        sentence = f"{count(test.ambiguous, 'distinct test sequence')} {have} more than one {label}, so no model can"
        yield False, join([f"{sentence} get more than {percent(test.ceiling)} right."])
    unknown = test.unknown_steps + leakage.unseen_steps
    if unknown:
        share = unknown / max(test.steps, 1)
        steps = count(unknown, "step")
        yield (
            share > 0.01,
            join([f"{steps} of the test sequences ({percent(share)}) are symbols that training never saw."]),
        )
    if test.missing_values:
        yield False, join([f"{count(test.missing_values, 'value')} of the test sequences are missing."])
    if material.skipped:
        yield False, join([f"{count(material.skipped, 'empty test sequence')} got no answer and count nowhere."])


def _of_classes(material: Material) -> Iterator[Finding]:
    trained = np.array(list(material.of_train.class_counts.values()))
    tested = np.array(list(material.of_test.class_counts.values()))
    unseen, untested = trained == 0, tested == 0
    rough = (tested > 0) & (tested < _ROUGH)
    if unseen.any():
        yield True, join([_classes(material, unseen), " had no training sequence."])
    if untested.any():
        yield (
            True,
            join(
                [
                    _classes(material, untested),
                    " had no test sequence, so nothing is known about how well the model does there.",
                ]
            ),
        )
    if rough.any():
        yield (
            False,
            join(
                [_classes(material, rough), f" had fewer than {_ROUGH} test sequences, so the figures there are rough."]
            ),
        )
    predicted = np.zeros(len(tested), bool)
    labels = material.result.predictions
    predicted[np.flatnonzero(labels.any(0)) if labels.ndim == 2 else np.unique(labels)] = True
    never = ~predicted & ~untested
    if never.any():
        yield True, join([_classes(material, never), f" {'was' if never.sum() == 1 else 'were'} never predicted."])


def _classes(material: Material, which: np.ndarray) -> Markup:  # type: ignore[type-arg]
    """Return how many classes there are of a kind, and the names of the first."""
    places = np.flatnonzero(which).tolist()
    names = join([name_of(material.test.classes[place]) for place in places[:_NAMED]], ", ")
    more = ", …" if len(places) > _NAMED else ""
    return join([count(len(places), "class", "classes"), " (", names, more, ")"])


def _of_answers(material: Material) -> Iterator[Finding]:
    measured = calibration(material.result)
    if measured is None or material.result.multi_label:
        return
    counts, confidence, accuracy, _ = measured
    off = float(counts @ (confidence - accuracy) / counts.sum())
    if abs(off) > _OFF:
        way = "surer" if off > 0 else "less sure"
        yield (
            True,
            join([f"The model is {abs(100 * off):.0f} points {way} of its answers than it is right. See calibrate."]),
        )


def _of_training(material: Material) -> Iterator[Finding]:
    history = material.history
    if history is not None and history.stopped_by == "interrupted":
        yield True, join([f"Training was interrupted after {count(history.epochs, 'epoch')}."])
