"""The section on mistakes: each with its sequence, in which every step shows what it contributed to the answer."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqclf.attribution import Explanation, explain_stored
from seqclf.data.dataset import SequenceDataset
from seqclf.fields import Fields
from seqclf.report_page.charts import MOST_FEATURES, series_chart
from seqclf.report_page.markup import Markup, count, cut, escape, join, name_of, percent, section, table, tag
from seqclf.report_page.material import Material
from seqclf.report_page.mistakes import Labels, explained_class, labels_elsewhere
from seqclf.report_page.page import STEP_LEVELS
from seqclf.training.mistakes import Mistake
from seqclf.vocabulary import Vocabulary

Floats = npt.NDArray[np.float64]

_MOST_EXPLAINED = 1_000  # steps of a sequence, of which more take long
_MOST_TOGETHER = 3_000  # of all sequences that are explained
_POINTS = 64  # of the integral at most
_SETTLED = 0.1  # part of the logit by which the integral may be off
_HEAD, _TAIL = 120, 60  # symbols of a long sequence that are shown
_MOST_RECORDS = 12
_STRONGEST = 3  # steps that are named with their figures


def mistakes_section(material: Material, most: int) -> Markup:
    """Return the wrong answers of which the model was surest."""
    heading, wrong = "Mistakes", int((~material.result.hits).sum())
    if not most or not wrong:
        return section("mistakes", heading, tag("p", "No mistake was made." if not wrong else "Left out."))
    chosen = material.result.mistakes(material.test, most=most)
    known = labels_elsewhere(material.train, material.test, [one.index for one in chosen])
    again = labels_elsewhere(material.test, material.test, [one.index for one in chosen])
    told = (
        f"{count(wrong, 'test sequence')} got a wrong answer. These are the {len(chosen)} of which the model was "
        "surest, equal sequences once. Some show labels to correct, others what the model has not learned."
    )
    scores = _explanations(material, chosen)
    cases = [_case(material, *parts) for parts in zip(chosen, scores, known, again, strict=True)]
    return section("mistakes", heading, tag("p", told), _legend(material), tag("ol", *cases, class_="cases"))


def _legend(material: Material) -> Markup:
    if material.test.fields is not None:
        return tag(
            "p", "The last column is what each step contributed: above 0 for the class named, under 0 against it."
        )
    if material.test.input_size is not None:
        keys = [tag("b", "Bars up"), " speak for the class named, ", tag("b", "bars down"), " against it."]
        width = material.test.input_size
        which = "measurements" if width <= MOST_FEATURES else f"first {MOST_FEATURES} of {width} features"
        return tag("p", f"The lines are the {which}, and under them is what each step contributed. ", *keys)
    for_it = tag("span", "solid underline, blue", class_="p4")
    against = tag("span", "dotted underline, orange", class_="n4")
    told = ["What each symbol contributed to the class named: ", for_it, " for it, ", against, " against it; "]
    return tag("p", *told, "the deeper, the more. The strongest are told in figures too.", class_="legend")


def _explanations(material: Material, chosen: Sequence[Mistake]) -> list[Explanation | None]:
    """Return what each step contributed to the class that is explained, as far as that does not take long."""
    found: list[Explanation | None] = []
    left = _MOST_TOGETHER
    for one in chosen:
        steps = int(material.test.sequences.sizes[one.index])
        is_short = 0 < steps <= min(left, _MOST_EXPLAINED) and len(material.models) == 1
        left -= steps if is_short else 0
        found.append(_explain(material, one) if is_short else None)
    return found


def _explain(material: Material, mistake: Mistake) -> Explanation | None:
    """Explain an answer: by integrated gradients; by occlusion where their integral does not settle soon."""
    classes = range(material.model.num_classes) if material.model.classes is None else material.model.classes
    store = material.test.sequences.select([mistake.index])
    given = (material.model, store, range(store.total))
    label = classes[explained_class(material.result, mistake.index)]
    found = explain_stored(*given, label=label, most_points=_POINTS)
    if abs(found.residual) > _SETTLED * abs(found.logit - found.baseline_logit):
        found = explain_stored(*given, label=label, method="occlusion")
    return found if np.isfinite(found.scores).all() else None


def _case(material: Material, mistake: Mistake, found: Explanation | None, known: Labels, again: Labels) -> Markup:
    """Return one mistake."""
    test, scores = material.test, None if found is None else found.scores
    parts = [_heading(material, mistake), _sequence(test, mistake.index, scores)]
    if found is not None:
        parts.append(_strongest(material, mistake, found))
    else:
        steps = int(test.sequences.sizes[mistake.index])
        why = "it has no step" if not steps else "it is too long, or its figures are not finite"
        why = why if len(material.models) == 1 else "several models answer together"
        parts.append(tag("p", f"What each step contributed is left out: {why}.", class_="small soft"))
    context = _context(test, mistake.index)
    if context:
        parts.append(context)
    if known:
        parts.append(tag("p", "In the training data: ", _counted(test, known), class_="small soft"))
    if sum(number for _, number in again) > 1:
        parts.append(tag("p", "In the test data: ", _counted(test, again), class_="small soft"))
    return tag("li", *parts)


def _heading(material: Material, mistake: Mistake) -> Markup:
    result, test = material.result, material.test
    if test.multi_label:
        assert result.probabilities is not None
        explained = explained_class(result, mistake.index)
        surest = [name_of(test.classes[explained]), f" {percent(result.probabilities[mistake.index, explained])}"]
        taken, true = (
            join([name_of(label) for label in labels], ", ") or escape("no label")
            for labels in (mistake.predicted, mistake.label)
        )
        return tag("h3", "Predicted ", taken, " instead of ", true, tag("small", " · ", join(surest), class_="soft"))
    taken, true = name_of(mistake.predicted), name_of(mistake.label)
    small = [
        tag("small", f" {percent(one)}", class_="soft") for one in (mistake.probability, mistake.label_probability)
    ]
    return tag("h3", "Predicted ", taken, small[0], " instead of ", true, small[1])


def _names(test: SequenceDataset, places: Iterable[int]) -> Markup:
    return join([name_of(test.classes[place]) for place in places], ", ") or escape("no label")


def _counted(test: SequenceDataset, labels: Labels) -> Markup:
    return join(
        [
            join([_names(test, places), f" ({number:,} times)" if number > 1 else " (once)"])
            for places, number in labels[:4]
        ],
        ", ",
    )


def _sequence(test: SequenceDataset, index: int, scores: Floats | None) -> Markup:
    steps = test.sequences[index]
    if test.fields is not None:
        return _records(test.fields, steps.numpy(), scores)
    if test.input_size is not None:
        return series_chart(f"series{index}", steps.double().numpy(), scores) if len(steps) else tag("p", "(empty)")
    return _symbols(symbols_of(test.vocabulary, steps.tolist()), scores, _between(test.vocabulary))


def _between(vocabulary: Vocabulary | None) -> str:
    return "" if vocabulary is not None and vocabulary.has_letters else " "


def symbols_of(vocabulary: Vocabulary | None, ids: Sequence[int]) -> list[str]:
    """Return what to call each step: its symbol, or its id where there is no vocabulary."""
    if vocabulary is None:
        return [str(number) for number in ids]
    table = ("<pad>", vocabulary.unknown_symbol, *vocabulary.symbols)
    is_bytes = vocabulary.has_letters and not vocabulary.is_text
    return [_byte(table[number]) if is_bytes else str(table[number]) for number in ids]


def _byte(symbol: Any) -> str:
    """Return a byte as the character that it is in ASCII, or as its number."""
    if not isinstance(symbol, int):
        return str(symbol)
    return chr(symbol) if 32 <= symbol < 127 else f"\\x{symbol:02x}"


def _symbols(symbols: Sequence[str], scores: Floats | None, between: str) -> Markup:
    """Return symbols, each shaded by what it contributed; of many the first and the last."""
    left_out, kind = len(symbols) - _HEAD - _TAIL, "steps" if not between else "steps prose"
    if left_out <= 1:
        return tag("p", join(_shaded(symbols, scores, range(len(symbols))), between), class_=kind, dir="auto")
    head, tail = range(_HEAD), range(len(symbols) - _TAIL, len(symbols))
    told = tag("small", f" … {left_out:,} left out … ", class_="soft")
    parts = (join(_shaded(symbols, scores, one), between) for one in (head, tail))
    return tag("p", join(parts, told), class_=kind, dir="auto")


def _shaded(symbols: Sequence[str], scores: Floats | None, places: range) -> list[Markup]:
    if scores is None:
        return [tag("span", cut(symbols[place], 40)) for place in places]
    largest = float(np.abs(scores).max()) or 1.0
    return [
        tag(
            "span",
            cut(symbols[place], 40),
            class_=_shade(float(scores[place]) / largest),
            title=f"{scores[place]:+.3f}",
        )
        for place in places
    ]


def _shade(part: float) -> str | None:
    level = round(STEP_LEVELS * abs(part))
    return f"{'p' if part > 0 else 'n'}{level}" if level else None


def _strongest(material: Material, mistake: Mistake, found: Explanation) -> Markup:
    """Return the steps that contributed most, with their figures."""
    test, order = material.test, np.argsort(-np.abs(found.scores), kind="stable")[:_STRONGEST].tolist()
    if test.input_size is None:
        names = symbols_of(test.vocabulary, test.sequences[mistake.index][order].tolist())
    else:
        names = [f"step {place + 1:,}" for place in order]
    told = [join([name_of(name), f" {found.scores[place]:+.3f}"]) for name, place in zip(names, order, strict=True)]
    method = " (by occlusion)" if found.method == "occlusion" else ""
    label = name_of(found.label)
    return tag("p", "Most on ", label, ": ", join(told, ", "), method, class_="small soft")


def _records(fields: Fields, rows: Floats, scores: Floats | None) -> Markup:
    """Return records as a table: all, or those that contributed most, in order."""
    places = np.arange(len(rows))
    if len(rows) > _MOST_RECORDS:
        weight = np.arange(len(rows)) if scores is None else np.abs(scores)
        places = np.sort(np.argsort(-weight, kind="stable")[:_MOST_RECORDS])
    header = ("step", *map(name_of, fields.names), *([] if scores is None else ["contributed"]))
    shown = [
        (f"{place + 1:,}", *values_of(fields, rows[place]), *([] if scores is None else [f"{scores[place]:+.3f}"]))
        for place in places.tolist()
    ]
    which = "All" if len(places) == len(rows) else f"The {len(places)} that count most of"
    if scores is None and len(places) < len(rows):
        which = f"The last {len(places)} of"
    return table(f"{which} {count(len(rows), 'step')}", header, shown)


def values_of(fields: Fields, row: Floats) -> list[Markup]:
    """Return the values of a row as they were handed in, or nearly."""
    told = []
    for field, value in zip(fields.fields, row.tolist(), strict=True):
        if np.isnan(value):
            told.append(escape("missing"))
        elif field.vocabulary is None:
            told.append(escape(f"{value:g}"))
        else:
            told.append(name_of(symbols_of(field.vocabulary, [int(value)])[0]))
    return told


def _context(test: SequenceDataset, index: int) -> Markup | None:
    if test.context_fields is None or test.sequences.context is None:
        return None
    values = values_of(test.context_fields, test.sequences.context[index].numpy())
    facts = [join([name_of(name), " = ", value]) for name, value in zip(test.context_fields.names, values, strict=True)]
    return tag("p", "Context: ", join(facts, ", "), class_="small soft")
