"""Pretrained vectors for symbols: from mappings, gensim, text files or arrays to the rows of an embedding.

Legend: V ids, E features of a vector.
"""

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqclf.errors import FileFormatError, InvalidArgumentError
from seqclf.files import as_path
from seqclf.reading.columns import as_list
from seqclf.reading.sequences import warn
from seqclf.reading.text import lines_of, open_text
from seqclf.vocabulary import Vocabulary

Found = Iterator[tuple[Hashable, Any]]  # symbols, and the vectors that are known of them

_LEAST_COVERED = 0.5  # of the symbols; where fewer have a vector, the two are probably not made for each other


class Pretrained(NamedTuple):
    """Vectors for all ids of a vocabulary.

    Attributes:
        vectors: Float32 (V, E); zero for padding.
        covered: How many symbols have one of those that were given.
    """

    vectors: Tensor
    covered: int


def read_embeddings(source: Any, vocabulary: Vocabulary | None, *, seed: int | None) -> Pretrained:
    """Return a vector for each id of a vocabulary; symbols without one get random ones like the others.

    Args:
        source: A mapping from symbols to vectors; gensim's `KeyedVectors`; the path of a text file with a symbol and
            its numbers on each line, as GloVe, word2vec and fastText write them; an array (V, E) with a row for each id
            of the vocabulary; or a pair of an array and the `Vocabulary`, or the list of symbols, that its rows are of.
        vocabulary: The symbols that are wanted.
        seed: Of the random vectors, which are drawn around the mean of the others, with their spread.

    Raises:
        InvalidArgumentError: The source is none of these, its vectors are not all numbers of one size, or none of the
            symbols has one.
        FileFormatError: The file cannot be read; the message names the line.
    """
    if vocabulary is None:
        raise InvalidArgumentError("embeddings must be None for float sequences; got some. Leave them out.")
    ids = {symbol: number for number, symbol in enumerate(vocabulary.symbols, start=2)}
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for symbol, vector in _find(source, vocabulary, ids):
        number = ids.get(symbol)
        if number is not None and number not in rows:
            rows[number] = _as_row(vector, symbol, rows)
    if not rows:
        raise InvalidArgumentError(
            f"embeddings must have vectors for symbols of the vocabulary; got none for any of {len(ids)}, such as "
            f"{vocabulary.symbols[:3]}. Check what symbols are; tokenizer='words' makes words of texts."
        )
    known = np.stack(list(rows.values()))  # (covered, E)
    generator = torch.Generator().manual_seed(0 if seed is None else seed)
    drawn = torch.randn(len(vocabulary), known.shape[1], generator=generator)
    vectors = drawn * torch.from_numpy(known.std(0)) + torch.from_numpy(known.mean(0))
    vectors[list(rows)] = torch.from_numpy(known)
    vectors[Vocabulary.padding_id] = 0
    if len(rows) < _LEAST_COVERED * len(ids):
        example = next(symbol for symbol, number in ids.items() if number not in rows)
        warn(
            f"only {len(rows)} of {len(ids)} symbols have a pretrained vector; {example!r} has none. If those are of "
            "lower-case words, pass tokenizer='lowercase_words' where the dataset is made."
        )
    return Pretrained(vectors, len(rows))


def _find(source: Any, vocabulary: Vocabulary, ids: Mapping[Any, int]) -> Found:
    """Yield symbols and their vectors, those that are wanted at least."""
    if isinstance(source, str | Path):
        yield from _read_file(as_path(source), ids)
    elif hasattr(source, "key_to_index") and hasattr(source, "vectors"):  # gensim's
        yield from ((symbol, source.vectors[source.key_to_index[symbol]]) for symbol in ids if symbol in source)
    elif isinstance(source, Mapping):
        yield from ((symbol, source[symbol]) for symbol in ids if symbol in source)
    elif isinstance(source, tuple) and len(source) == 2:
        array, symbols = source
        symbols = _symbols_by_row(symbols)
        if len(array) != len(symbols):
            raise InvalidArgumentError(
                f"embeddings must have a row for each symbol; got {len(array)} rows for {len(symbols)} symbols."
            )
        yield from ((symbol, row) for symbol, row in zip(symbols, array, strict=True) if symbol is not None)
    elif isinstance(source, np.ndarray | Tensor):
        if len(source) != len(vocabulary):
            raise InvalidArgumentError(
                f"embeddings must have a row for each of the {len(vocabulary)} ids; got {len(source)}. Pass a pair of "
                "the array and the symbols of its rows."
            )
        yield from _find((source, vocabulary), vocabulary, ids)
    else:
        raise InvalidArgumentError(
            "embeddings must be a mapping from symbols to vectors, gensim's KeyedVectors, a path, an array, or a pair "
            f"of an array and its symbols; got {type(source).__name__}."
        )


def _symbols_by_row(symbols: Any) -> list[Any]:
    """Return the symbols of the rows of an array; None where a vocabulary has none."""
    return [None, None, *symbols.symbols] if isinstance(symbols, Vocabulary) else as_list(symbols, "symbols")


def _read_file(path: Path, ids: Mapping[Any, int]) -> Found:
    """Read a file once, and make numbers only of the lines that are wanted."""
    size = 0
    with open_text(path, "utf-8-sig") as file:
        for number, line in enumerate(lines_of(file, path), start=1):
            symbol, *parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 1 and symbol.isdigit() and parts[0].isdigit():
                continue  # word2vec's and fastText's files begin with how many there are, and how large
            size = size or len(parts)
            if len(parts) > size:  # a symbol that has blanks in it
                symbol, parts = " ".join([symbol, *parts[:-size]]), parts[-size:]
            if symbol not in ids:
                continue
            try:
                vector = np.array(parts, np.float32)
            except ValueError:
                vector = np.empty(0, np.float32)
            if len(vector) != size or not size:
                raise FileFormatError(
                    f"vectors must have a symbol and {size or 'some'} numbers on each line, apart by blanks; got "
                    f"{line!r:.60} in {path}, line {number}."
                )
            yield symbol, vector


def _as_row(vector: Any, symbol: Any, rows: Mapping[int, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return a vector as an array (E,); raise where it is none, or of another size than those before."""
    try:
        row = np.asarray(vector.detach().cpu() if isinstance(vector, Tensor) else vector, dtype=np.float32)
    except (TypeError, ValueError):
        row = np.empty(0, np.float32)
    size = next((len(one) for one in rows.values()), row.size)
    if row.ndim != 1 or len(row) != size or not size or not np.isfinite(row).all():
        raise InvalidArgumentError(
            f"embeddings must be vectors of finite numbers, all of one size{f', {size}' if size else ''}; got "
            f"{vector!r:.60} for {symbol!r}."
        )
    return row
