"""Tables in, answers out: what a model says of each row, as columns beside those that are there.

Legend: n rows, C classes, S numbers of a pooled vector.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from seqclf.checks import check_int
from seqclf.data.encode import warn_unknown
from seqclf.errors import InvalidArgumentError
from seqclf.files import PathLike, as_path, open_atomically
from seqclf.inference.average import Models, models_of
from seqclf.inference.embed import embed
from seqclf.inference.logits import Floats
from seqclf.inference.parts import Part, Source
from seqclf.inference.predict import answer_all, check_rejection, is_sure, leave_open, likeliest
from seqclf.models.classifier import RNNClassifier, check_is_model
from seqclf.reading.rows import Column, TableOptions
from seqclf.writing import Columns, Kind, TableWriter, check_is_table, open_table

__all__ = ["embed_table", "predict_table"]

_DIGITS = 6  # of probabilities in tables


def predict_table(
    model: Models,
    source: PathLike,
    output: PathLike | TableWriter,
    *,
    sequence: Column | None = None,
    by: str | None = None,
    order: str | None = None,
    top: int | None = None,
    reject_below: float | None = None,
    prefix: str = "",
    batch_size: int = 256,
    chunk_size: int = 4096,
    progress: bool = True,
    **options: Unpack[TableOptions],
) -> int:
    r"""Answer each row of a table, and write the table with the answers; memory does not grow with its rows.

    All columns are kept. `label` and `probability` are added: what `predict` answers, and the probability of that, with
    six digits. Both are missing for an empty sequence that the model skips, and with `skip_broken` for any. For a model
    of several labels they are lists, apart by semicolons in CSV and TSV files. Context that the model takes is read
    from the columns of its names.

    The endings say what the files are, as for `read_table`; that of the output may be another. It is written whole or
    not at all.

    Args:
        model: As for `predict`: a model, or a list of several that answer together.
        source: The table.
        output: Where to; or a writer of `seqclf.writing`, which gets the rows as they come.
        sequence: The column of the sequences, as for `read_table`. A string is a text; for a model of tokens, series
            or records, it is read as JSON.
        by: The column that says what an event belongs to, in place of `sequence`: the table is then one of events, as
            for `SequenceDataset.from_events`, which is read at once, and the output has one row for each value of `by`.
        order: The column by which events are sorted.
        top: How many of the likeliest labels to add: `label_2` and `probability_2` are the second, and so on.
        reject_below: As for `predict`: `label` is then missing where the best has less; `probability` is said.
        prefix: What stands before the names of all columns that are added.
        batch_size: As for `predict`.
        chunk_size: How many rows are read, answered and written at a time. It changes the speed alone.
        progress: Whether to show a progress bar on stderr.
        **options: `encoding`, `delimiter`, `quoting`, `header` and `skip_broken`, as for `read_table`. A CSV file is
            written as it was read.

    Returns:
        The number of answers.

    Raises:
        FileFormatError: The table cannot be read, or the output cannot be written; or as `read_table`.
        InvalidDataError: A sequence does not fit the model; the message names file and line. Or the table has columns
            of the names that are added.
        InvalidArgumentError: The output is the table itself, or of no kind that is known; or as `predict`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from seqclf import RNNClassifier, SequenceDataset, fit
        >>> from seqclf.inference.tables import predict_table
        >>> train = SequenceDataset.from_pairs([("aab", "a"), ("aba", "a"), ("bba", "b"), ("bab", "b")] * 8)
        >>> model = RNNClassifier.for_dataset(train, hidden_size=8, seed=0)
        >>> _ = fit(model, train, epochs=20, batch_size=4, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table, answers = Path(folder) / "words.csv", Path(folder) / "answers.csv"
        ...     _ = table.write_text("id,word\n1,aaab\n2,bbab\n", encoding="utf-8")
        ...     count = predict_table(model, table, answers, sequence="word", progress=False)
        ...     rows = answers.read_text(encoding="utf-8").splitlines()
        >>> count, rows[0], rows[1].split(",")[:3]
        (2, 'id,word,label,probability', ['1', 'aaab', 'a'])
    """
    models = models_of(model)
    leaves_open = bool(options.get("skip_broken")) and models[0].empty == "error"
    answering = _Answering(models, top, reject_below, prefix, batch_size, leaves_open=leaves_open)
    size = check_int("chunk_size", chunk_size)
    table = Source(models[0], as_path(source), sequence=sequence, by=by, order=order, size=size, options=options)
    parts: Iterator[Part] = table.parts()
    if isinstance(output, str | os.PathLike):
        kind = _check_output(as_path(output), table.path)
        first = next(parts)  # which says how the table is written; where a column is missing, nothing is opened
        opened: Any = open_table(as_path(output), answering.kinds, table.form(kind), table.file)
        parts = chain([first], parts)
    else:
        opened = nullcontext(output)
    count = 0
    with opened as writer, table.shown(progress, parts) as shown:
        for part in shown:
            writer.write(part.rows, answering.columns(part))
            count += len(part.rows)
    answering.warn_of_unknown(count)
    return count


def embed_table(
    model: RNNClassifier,
    source: PathLike,
    output: PathLike,
    *,
    sequence: Column | None = None,
    by: str | None = None,
    order: str | None = None,
    batch_size: int = 256,
    chunk_size: int = 4096,
    progress: bool = True,
    **options: Unpack[TableOptions],
) -> tuple[int, int]:
    r"""Write the pooled vectors of the sequences of a table as a NumPy file; memory does not grow with its rows.

    Args:
        model: As for `embed`.
        source: The table.
        output: Where to (.npy): an array (n, S), of which row i is what `embed` gives for row i of the table. It is
            written whole or not at all; `numpy.load(output, mmap_mode="r")` reads one that is larger than memory.
        sequence: As for `predict_table`.
        by: As for `predict_table`: a vector for each value of the column, in the order in which they first come.
        order: As for `predict_table`.
        batch_size: As for `embed`.
        chunk_size: As for `predict_table`.
        progress: As for `predict_table`.
        **options: As for `predict_table`.

    Returns:
        The shape of the array.

    Raises:
        FileFormatError: As `predict_table`.
        InvalidDataError: As `predict_table`.
        InvalidArgumentError: The output does not end in .npy; or as `embed`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from seqclf import RNNClassifier, Vocabulary
        >>> from seqclf.inference.tables import embed_table
        >>> model = RNNClassifier(2, vocab_size=4, vocabulary=Vocabulary("ab"), hidden_size=8, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table, vectors = Path(folder) / "words.csv", Path(folder) / "vectors.npy"
        ...     _ = table.write_text("id,word\n1,ab\n2,b\n3,aaa\n", encoding="utf-8")
        ...     _ = embed_table(model, table, vectors, sequence="word", progress=False)
        ...     np.load(vectors).shape
        (3, 8)
    """
    check_is_model("model", model)
    size = check_int("chunk_size", chunk_size)
    table = Source(model, as_path(source), sequence=sequence, by=by, order=order, size=size, options=options)
    path = as_path(output)
    if path.suffix.lower() != ".npy":
        raise InvalidArgumentError(f"output must end in .npy; got {path.name!r}.")
    parts = table.parts()
    first = next(parts)
    dtype = np.dtype(np.float64 if model.head.weight.dtype == torch.float64 else np.float32)
    count, width = 0, model.head.in_features
    with open_atomically(path) as file, table.shown(progress, chain([first], parts)) as shown:
        _write_header(file, dtype, (0, width))
        for part in shown:
            if len(part.rows):
                with part.named():
                    vectors = embed(model, part.sequences, context=part.context, batch_size=batch_size)
                file.write(vectors.astype(dtype, copy=False).tobytes())
                count += len(vectors)
        file.seek(0)
        _write_header(file, dtype, (count, width))
    return count, width


def _write_header(file: Any, dtype: Any, shape: tuple[int, int]) -> None:
    """Write what a NumPy file begins with; it has room for any number of rows."""
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)


def _check_output(output: Path, source: Path) -> str:
    """Return what kind of table is written; raise where it is none, or the one that is read."""
    kind = check_is_table(output)
    if output.exists() and output.samefile(source):
        raise InvalidArgumentError(
            f"output must be another file than the table; got {output} for both. Write a new one, and replace the "
            "table when you have seen it."
        )
    return kind


class _Answering:
    """What a model, or several, say of the rows of a table, as columns."""

    def __init__(
        self,
        models: list[RNNClassifier],
        top: int | None,
        reject_below: float | None,
        prefix: str,
        batch_size: int,
        *,
        leaves_open: bool,
    ) -> None:
        self._leaves_open = leaves_open
        self._least = check_rejection(models, reject_below, top)
        self._models, self._model = models, models[0]
        self._top = None if top is None else min(check_int("top", top), self._model.num_classes)
        if not isinstance(prefix, str):
            raise InvalidArgumentError(f"prefix must be a string; got {prefix!r}.")
        self._prefix, self._batch_size = prefix, check_int("batch_size", batch_size)
        classes = self._model.classes
        self._are_integers = classes is None or all(type(label) is int for label in classes)
        self._unknown, self._first_unknown = 0, ""

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns that are added, and what they hold."""
        label: Kind = "integer" if self._are_integers else "text"
        if self._model.multi_label and self._top is None:
            return {f"{self._prefix}label": "texts", f"{self._prefix}probability": "numbers"}
        found: dict[str, Kind] = {}
        for place in range(self._top or 1):
            behind = f"_{place + 1}" if place else ""
            found |= {f"{self._prefix}label{behind}": label, f"{self._prefix}probability{behind}": "number"}
        return found

    def columns(self, part: Part) -> Columns:
        """Return the values of these columns for some rows."""
        if not len(part.rows):
            return {name: [] for name in self.kinds}
        labels, probabilities, unknown = self._answer(part)
        if len(unknown):
            self._first_unknown = self._first_unknown or part.place(int(unknown[0]))
            self._unknown += len(unknown)
        if self._top is not None:
            pairs = likeliest(self._model, probabilities, self._top)
        elif self._model.multi_label:
            return dict(zip(self.kinds, self._several(labels, probabilities), strict=True))
        else:
            labels = leave_open(labels, is_sure(probabilities, self._least))
            pairs = [[pair] for pair in zip(labels, probabilities.max(1).tolist(), strict=True)]
        columns = []
        for place in range(self._top or 1):
            own = [(None, np.nan) if row is None else row[place] for row in pairs]
            columns += [[self._label(label) for label, _ in own], [_rounded(chance) for _, chance in own]]
        return dict(zip(self.kinds, columns, strict=True))

    def _answer(self, part: Part) -> tuple[list[Any], Floats, Any]:
        """Return labels, probabilities (n, C), and of which rows nothing is known; NaN where there is no answer."""
        lacking = [index for index, one in enumerate(part.sequences) if one is None or not len(one)]
        if not lacking or not self._leaves_open:
            with part.named():
                return answer_all(self._models, part.sequences, part.context, self._batch_size)
        left = np.delete(np.arange(len(part.sequences)), lacking)
        labels: list[Any] = [None] * len(part.sequences)
        probabilities = np.full((len(labels), self._model.num_classes), np.nan)
        unknown = np.zeros(0, np.int64)
        if len(left):
            with part.named():
                found, probabilities[left], unknown = answer_all(
                    self._models, *part.some(left.tolist()), self._batch_size
                )
            for index, label in zip(left.tolist(), found, strict=True):
                labels[index] = label
        return labels, probabilities, left[unknown]

    def _several(self, labels: list[Any], probabilities: Floats) -> list[list[Any]]:
        """Return the labels of each row, and their probabilities, where there may be several."""
        classes = range(self._model.num_classes) if self._model.classes is None else self._model.classes
        places = {label: place for place, label in enumerate(classes)}
        chances = [
            None if row is None else [_rounded(own[places[label]]) for label in row]
            for row, own in zip(labels, probabilities, strict=True)
        ]
        return [[None if row is None else list(map(str, row)) for row in labels], chances]

    def _label(self, label: Any) -> Any:
        """Return a label as a table holds it: as text, unless all are integers."""
        return label if label is None or self._are_integers else str(label)

    def warn_of_unknown(self, count: int) -> None:
        """Warn once of all rows without a symbol that the model knows."""
        if self._unknown:
            warn_unknown(self._unknown, count, self._first_unknown)


def _rounded(chance: Any) -> float | None:
    """Return a probability with as many digits as tables have; None for what the model skips."""
    return None if np.isnan(chance) else round(float(chance), _DIGITS)
