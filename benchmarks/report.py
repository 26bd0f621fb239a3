"""Report: Markdown tables of the results; whatever is slower than a peer stands there like the rest."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.peers import NOT_INSTALLED, PEERS, SEQCLF
from benchmarks.summary import ON_TORCH, percentile

_SHORT = ("names", "all names", "sample")
_TITLES = {
    "train": "Training",
    "predict": "Prediction in batches",
    "predict-one": "Prediction of one name at a time",
    "predict-plain": "Prediction of one name at a time, with nothing prepared",
}
_NOTE = (
    "Sequences a second: the median over the rounds after the first, and in brackets the tenth percentile. Under each "
    "peer stands how many times as fast as it this library is, so less than 1 means slower. Tokens are real steps, "
    "padding not counted. Best of torch: the least of the ratios to {on_torch}. Efficiency: the part of the time that "
    "is arithmetic which nothing can do without, measured in the same run (`benchmarks/floor.py`). Waste: steps run "
    "for each real one. A turn goes through {counts} sequences, by work and batch size. Peers that are very slow "
    "go through fewer sequences in a turn, or take fewer turns; in brackets stands how many."
)
_BEST = (
    "Sequences a second of this library, and under each peer how many times as fast as it this library is; each at the "
    "batch size that is best for it, in brackets."
)
_FIRST = (
    "In the first turn libraries compile and caches fill, so it counts nowhere else. Seconds of the first turn of "
    "training, and of those after it; for peers that go through fewer sequences, of as many as they do."
)
_MEMORY = (
    "The peak of each process in MB, with training and prediction, and in brackets what of it came after the imports."
)


def render(results: dict[str, Any]) -> str:
    """Return the whole report."""
    parts = ["# Measured", _machine(results)]
    rows = results["rows"]
    if rows:
        parts += _disturbance(rows)
        parts.append(_note(rows))
    for task, title in _TITLES.items():
        own = [row for row in rows if row["task"] == task]
        parts += _task_section(title, [row for row in own if row["work"] in _SHORT], results)
        parts += _task_section(f"{title}, long sequences", [row for row in own if row["work"] not in _SHORT], results)
    parts += _best_section([row for row in rows if row["task"] == "predict" and row["work"] == "all names"])
    training = [row for row in rows if row["task"] == "train"]
    parts += _peers_section("The first turn", _FIRST, training, _first_turn)
    parts += _peers_section("Memory", _MEMORY, training, _memory)
    parts += _failures(results)
    if results["encoding"]:
        parts += _encoding_section(results["encoding"])
    if results["scale"]:
        parts += _scale_section(results["scale"])
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [_line(header), "|---|" + "--:|" * (len(header) - 1)]
    return "\n".join(lines + [_line(row) for row in rows])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _machine(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    flags = ", ".join(machine["flags"]) or "no vector flags known"
    run = f"Suite {results['suite']}, {results['rounds']} rounds after the first" if results["rows"] else "Suite scale"
    return (
        f"{machine['cpu']} ({flags}), {machine['cores']} cores, {machine['system']}, Python {machine['python']}; "
        f"{versions}. {run}. Data: {results['data']}."
    )


def _note(rows: list[dict[str, Any]]) -> str:
    """Return what the figures mean."""
    counts = sorted({row["peers"][SEQCLF]["sequences"] for row in rows if SEQCLF in row["peers"]})
    return _NOTE.format(on_torch=", ".join(ON_TORCH), counts=", ".join(f"{count:,}" for count in counts))


def _disturbance(rows: list[dict[str, Any]]) -> list[str]:
    """Return a sentence that says whether the machine was left in peace, on which all figures depend."""
    found = [row["peers"][SEQCLF]["others"] for row in rows if SEQCLF in row["peers"]]
    known = [one for one in found if one is not None]
    if not known:
        return []
    return [
        f"While {SEQCLF} computed, other processes kept {percentile(known, 50):.2f} cores busy in the median row, and "
        f"{percentile(known, 90):.2f} or more in one row of ten. If that is much more than nothing, the figures are "
        "worth little, above all those of two threads, which wait for each other."
    ]


def _task_section(title: str, rows: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    """Return the table of one task, with a column for each peer that takes part anywhere in it."""
    if not rows:
        return []
    others = [name for name in _taking_part(rows) if name != SEQCLF]
    header = ["work", f"{SEQCLF}, sequences/s", "tokens/s", *others, "best of torch", "efficiency"]
    if rows[0]["task"] == "train":
        header += ["waste", "MB"]
    return [f"## {title}", table(header, (_cells(row, others, results["rounds"]) for row in rows))]


def _cells(row: dict[str, Any], others: list[str], rounds: int) -> list[str]:
    own = row["peers"].get(SEQCLF)
    best = row["best_on_torch"]
    cells = [row["title"]]
    cells += [f"{own['rate']:,.0f} ({own['p10']:,.0f})", f"{own['tokens']:,.0f}"] if own else ["failed", ""]
    cells += [_ratio(name, row, rounds) for name in others]
    cells.append(f"{row['ratios'][best]:.2f} ({best})" if best else "")
    cells.append("" if row["efficiency"] is None else f"{row['efficiency']:.2f}")
    if row["task"] == "train":
        cells.append(f"{own['waste']:.3f}" if own and own["waste"] is not None else "")
        cells.append(_memory(own) if own else "")
    return cells


def _ratio(name: str, row: dict[str, Any], rounds: int) -> str:
    """Return a ratio, or in a word why there is none."""
    if name in row["ratios"]:
        figures, own = row["peers"][name], row["peers"][SEQCLF]
        less = [f"{figures['sequences']:,} sequences"] if figures["sequences"] < own["sequences"] else []
        less += [f"{figures['rounds']} of {rounds} rounds"] if figures["rounds"] < rounds else []
        return f"{row['ratios'][name]:.2f}" + (f" ({', '.join(less)})" if less else "")
    if name in row["failures"]:
        return "not installed" if row["failures"][name].startswith(NOT_INSTALLED) else "failed"
    return ""


def _best_section(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of predictions in which each peer has the batch size that is best for it."""
    series: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        series.setdefault(row["series"], []).append(row)
    names = [name for name in _taking_part(rows) if any(name in row["peers"] for row in rows)]
    body = []
    for title, own in series.items():
        best = {
            name: max((row["peers"][name]["rate"], row["batch_size"]) for row in own if name in row["peers"])
            for name in names
            if any(name in row["peers"] for row in own)
        }
        if len(own) < 2 or SEQCLF not in best:
            continue
        rate, size = best.pop(SEQCLF)
        ratios = [f"{rate / best[name][0]:.2f} ({best[name][1]})" if name in best else "" for name in names[1:]]
        body.append([title, f"{rate:,.0f} ({size})", *ratios])
    if not body:
        return []
    return ["## Prediction of all names, each at its best batch size", _BEST, table(["work", *names], body)]


def _peers_section(
    title: str, text: str, rows: list[dict[str, Any]], cell: Callable[[dict[str, Any]], str]
) -> list[str]:
    """Return a table that says the same of every peer."""
    names = [name for name in _taking_part(rows) if any(name in row["peers"] for row in rows)]
    if not names:
        return []
    body = [
        [row["title"], *(cell(row["peers"][name]) if name in row["peers"] else "" for name in names)] for row in rows
    ]
    return [f"## {title}", text, table(["work", *names], body)]


def _first_turn(figures: dict[str, Any]) -> str:
    return f"{figures['first_seconds']:.2f} / {figures['seconds']:.2f}"


def _memory(figures: dict[str, Any]) -> str:
    if figures["memory"] is None or figures["memory_before"] is None:
        return ""
    return f"{figures['memory'] / 1e6:,.0f} ({(figures['memory'] - figures['memory_before']) / 1e6:,.0f})"


def _taking_part(rows: list[dict[str, Any]]) -> list[str]:
    """Return the peers that have a figure, or a reason for having none, in any of the rows."""
    return [name for name in PEERS if any(name in row["peers"] or name in row["failures"] for row in rows)]


def _failures(results: dict[str, Any]) -> list[str]:
    """Return a list of what has no figure, each with the first line of its error."""
    absent = [f"- {name}: {status}" for name, status in results["peers"].items() if status.startswith(NOT_INSTALLED)]
    failed = [
        f"- {name}, {measurement['config']['title']}: {_plain(peer['failure'])}"
        for measurement in results["measurements"]
        for name, peer in [*measurement["peers"].items(), ("floor", measurement["floor"])]
        if peer and peer["failure"] and not peer["failure"].startswith(NOT_INSTALLED)
    ]
    return ["## What has no figure", "\n".join(absent + failed)] if absent + failed else []


def _encoding_section(encoding: dict[str, Any]) -> list[str]:
    loop = encoding["seconds"]["dict loop"]
    rows = [
        [f"`{name}`" if name != "dict loop" else name, f"{seconds:.3f}", f"{loop / seconds:.1f}"]
        for name, seconds in encoding["seconds"].items()
    ]
    text = (
        f"{encoding['texts']:,} names of {encoding['characters']:,} characters, the median of {encoding['rounds']} "
        f"rounds. The dict loop is `torch.tensor([table[c] for c in name])` for each name. The dataset holds "
        f"{encoding['bytes_a_character']:.2f} bytes a character, where the tensors of the loop hold "
        f"{encoding['loop_bytes_a_character']:.1f} without what Python adds."
    )
    return ["## Encoding", text, table(["way", "seconds", "times as fast as the dict loop"], rows)]


def _scale_section(scale: dict[str, Any]) -> list[str]:
    rows = [
        [
            f"{one['sequences']:,}",
            f"{one['data_seconds']:.3f}",
            f"{one['epoch_seconds']:.2f}",
            f"{one['memory'] / 1e6:,.0f}" if one["memory"] else "",
            f"{(one['memory'] - one['memory_before']) / one['sequences']:,.0f}" if one["memory"] else "",
        ]
        for one in scale["sizes"]
    ]
    exponents = " and ".join(f"n^{scale['exponents'][name]:.2f} ({name})" for name in scale["exponents"])
    text = (
        f"Random sequences of {scale['shortest']} to {scale['longest']} steps in batches of {scale['batch_size']}. "
        "Data: the sampler and all batches gathered, without a model. Epoch: `fit` of a tiny model. Seconds grow as "
        f"{exponents}."
    )
    header = ["sequences", "data, s", "epoch, s", "peak MB", "bytes a sequence, without what was loaded"]
    return ["## Scale", text, table(header, rows)]


def _plain(text: str) -> str:
    """Make a line of an error harmless as Markdown code."""
    return "`" + text.replace("`", "'").replace("|", "/").strip() + "`"
