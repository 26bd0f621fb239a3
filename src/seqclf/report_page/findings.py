"""What to know before the figures are believed: what the data and the results warn of, in sentences."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.report_page.markup import Markup, count, join, name_of, percent, tag
from seqclf.report_page.material import Material, calibration

_ROUGH = 10  # members of a class under which its figures say little
_NAMED = 5  # classes that a sentence names
_OFF = 5  # points that confidence and accuracy may be apart on the average
_MANY_UNSEEN = 0.01  # part of the steps

Finding = tuple[bool, str]  # whether it is a warning, and the sentence: text or markup


def findings_of(material: Material) -> Markup:
    """Return what is to be known, warnings first; or that nothing was found."""
    found = [*_of_baseline(material), *_of_data(material), *_of_classes(material), *_of_answers(material)]
    items = [
        tag("li", tag("b", "Warning: ") if alarms else "", sentence, class_="alarm" if alarms else None)
        for alarms, sentence in sorted(found, key=lambda one: not one[0])
    ]
    return tag("ul", *items, class_="findings") if items else tag("p", "Nothing was found that limits these figures.")


def _of_baseline(material: Material) -> Iterator[Finding]:
    if material.comparison is None:
        yield False, f"There is no linear baseline to compare with: {material.why_no_baseline}"
        return
    difference = material.comparison.difference
    points = f"{abs(100 * difference.value):.1f} points"
    low, high = sorted((abs(100 * difference.low), abs(100 * difference.high)))
    if difference.low > 0:
        yield False, f"The model is {points} more accurate than a linear model (95 %: {low:.1f} to {high:.1f})."
    elif difference.high < 0:
        yield True, f"A linear model is {points} more accurate than the model (95 %: {low:.1f} to {high:.1f})."
    else:
        ends = f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f} points"
        yield True, f"The model is not shown to be better than a linear model on the same data (95 %: {ends})."


def _of_data(material: Material) -> Iterator[Finding]:
    leakage, test = material.of_train.leakage, material.of_test
    assert leakage is not None
    if leakage.shared:
        sequences = f"{leakage.shared:,} of {leakage.n:,} test sequences ({percent(leakage.shared / leakage.n)})"
        yield True, f"{sequences} occur in the training data too, which flatters the figures."
    if test.ambiguous:
        sequences = f"{count(test.ambiguous, 'distinct test sequence')} {'has' if test.ambiguous == 1 else 'have'}"
        labels = f"more than one {'set of labels' if material.result.multi_label else 'label'}"
        yield False, f"{sequences} {labels}, so no model can get more than {percent(test.ceiling)} right."
    unseen = leakage.unseen_steps or test.unknown_steps
    if unseen:
        share = unseen / test.steps
        how = "are symbols that training never saw" if leakage.unseen_steps else "are unknown symbols, all read as one"
        yield share > _MANY_UNSEEN, f"{unseen:,} of {test.steps:,} steps of the test data ({percent(share)}) {how}."
    if material.skipped:
        yield False, f"{count(material.skipped, 'empty test sequence')} got no answer, and counts nowhere."


def _of_classes(material: Material) -> Iterator[Finding]:
    trained, tested = (np.array(list(one.class_counts.values())) for one in (material.of_train, material.of_test))
    answers = material.result.predictions
    predicted = answers.sum(0) if answers.ndim == 2 else np.bincount(answers, minlength=len(tested))
    for alarms, which, told in (
        (True, trained == 0, "without a training sequence, which the model cannot know"),
        (True, tested == 0, "without a test sequence, of which nothing is known"),
        (True, (tested > 0) & (predicted == 0), "that the model never predicts"),
        (False, (tested > 0) & (tested < _ROUGH), f"with fewer than {_ROUGH} test sequences, whose figures are rough"),
    ):
        if which.any():
            yield alarms, join([_classes(material, which), f" {told}."])


def _classes(material: Material, which: npt.NDArray[Any]) -> Markup:
    """Return how many classes there are of a kind, and the names of the first."""
    places = np.flatnonzero(which).tolist()
    verb = "is" if len(places) == 1 else "are"
    names = join([name_of(material.test.classes[place]) for place in places[:_NAMED]], ", ")
    more = ", …" if len(places) > _NAMED else ""
    return join([f"There {verb} {count(len(places), 'class', 'classes')} (", names, f"{more})"])


def _of_answers(material: Material) -> Iterator[Finding]:
    measured = calibration(material.result)
    if measured is not None and not material.result.multi_label:
        counts, confidence, accuracy, _ = measured
        off = 100 * float(counts @ (confidence - accuracy) / counts.sum())
        if abs(off) > _OFF:
            way = "surer" if off > 0 else "less sure"
            yield True, f"The model is {abs(off):.0f} points {way} of its answers than it is right: see calibrate."
    if material.history is not None and material.history.stopped_by == "interrupted":
        yield True, f"Training was interrupted after {count(material.history.epochs, 'epoch')}."
