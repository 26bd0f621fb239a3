"""Vocabulary: symbols to ids and back."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from typing_extensions import Self

from seqclf.checks import check_int
from seqclf.choices import TokenizerName
from seqclf.errors import FileFormatError, InvalidArgumentError, InvalidDataError
from seqclf.files import PathLike, read_json, write_json
from seqclf.reading.columns import as_list, as_values
from seqclf.reading.plain import from_json, holds, is_savable, plain, sort_values, to_json
from seqclf.reading.sequences import Kind, Sequences, read_sequence, read_sequences, warn_of_likely_mistakes
from seqclf.reading.tokenizers import Tokenizer, as_tokenizer, read_tokenizer

__all__ = ["Vocabulary"]

Tokens = Sequence[Hashable] | npt.NDArray[Any] | Tensor

_FORMAT = "seqclf-vocabulary"
_VERSION = 2  # 1 had no tokenizers
_BYTES = 256


class Vocabulary:
    """A fixed table of symbols with an id for each; everything else has the id of the unknown symbol.

    A vocabulary is of one of two kinds. One of *text* has single characters as symbols, takes strings, and decodes
    to strings. One of *tokens* has words, bytes, integers or tuples of these, takes sequences of them, and
    decodes to lists; with a tokenizer, it takes strings too, which it splits. Id 0 is padding and id 1 is the unknown
    symbol; no known symbol has either.

    Args:
        symbols: The known symbols, in the order of their ids, which start at 2. A string makes a vocabulary of text,
            any other iterable one of tokens. Those of a set, which has no order, are sorted.
        strict: Whether an unknown symbol is an error. Otherwise it becomes id 1.
        tokenizer: What splits strings into symbols, as for `build`.

    Raises:
        InvalidArgumentError: A symbol occurs twice, or the tokenizer is none.

    Example:
        >>> dna = Vocabulary("ACGT")
        >>> dna.encode("GATNA")
        tensor([4, 2, 5, 1, 2])
        >>> dna.decode([4, 2, 5, 2])
        'GATA'
        >>> len(dna), "G" in dna, "N" in dna
        (6, True, False)
    """

    padding_id = 0
    unknown_id = 1
    unknown_symbol = "<unk>"

    def __init__(
        self, symbols: Iterable[Hashable], *, strict: bool = False, tokenizer: TokenizerName | Any = None
    ) -> None:
        self.tokenizer: Tokenizer | None = as_tokenizer(tokenizer)
        if isinstance(symbols, str) and self.tokenizer is not None:
            raise InvalidArgumentError(
                f"symbols must be a list beside a tokenizer, which makes more than letters; got {symbols!r:.60}. To "
                "find them in texts, use Vocabulary.build(texts, tokenizer=...)."
            )
        self.is_text: bool = isinstance(symbols, str) and self.tokenizer is None
        self.strict = strict
        self.symbols: tuple[Any, ...] = tuple(sort_values(symbols) if isinstance(symbols, set | frozenset) else symbols)
        self._ids = {symbol: number for number, symbol in enumerate(self.symbols, start=2)}
        if len(self._ids) != len(self.symbols):
            twice = next(symbol for symbol, count in Counter(self.symbols).items() if count > 1)
            raise InvalidArgumentError(
                f"symbols must be distinct; got {twice!r} more than once. Remove the repetition."
            )
        self._table = _character_table(self._ids) if self.is_text else None

    @classmethod
    def build(
        cls,
        sequences: Iterable[str | Tokens],
        *,
        min_freq: int = 1,
        max_size: int | None = None,
        strict: bool = False,
        tokenizer: TokenizerName | Any = None,
    ) -> Self:
        """Make the vocabulary of what occurs in `sequences`.

        Ids go by frequency, the most frequent first, and between equals by symbol, so that the same data always makes
        the same vocabulary.

        Args:
            sequences: The training sequences: all strings, or all sequences of hashable symbols.
            min_freq: How often a symbol must occur to be known.
            max_size: The largest `len()` that the vocabulary may have; padding and the unknown count. The rarest
                symbols go first.
            strict: Whether encoding an unknown symbol is an error. Otherwise it becomes id 1.
            tokenizer: What splits strings into symbols: `"characters"`, as without one; `"words"` (Unicode words and
                punctuation), or `"lowercase_words"`, which folds case; `"bytes"` of UTF-8; a function that returns the
                symbols of a text; or a tokenizer of Hugging Face. It is kept with the vocabulary.

        Raises:
            InvalidDataError: There are no sequences, or strings and other sequences are mixed; or there is a tokenizer
                and they are no strings.
            InvalidArgumentError: `min_freq` is under 1 or `max_size` under 2, or the tokenizer is none.

        Example:
            >>> vocabulary = Vocabulary.build(["banana", "bandana"])
            >>> vocabulary.symbols
            ('a', 'n', 'b', 'd')
            >>> Vocabulary.build([["to", "be"], ["or", "to"]], max_size=3).symbols
            ('to',)
            >>> words = Vocabulary.build(["It's good.", "Good, it's said."], tokenizer="lowercase_words")
            >>> words.symbols, words.decode(words.encode("It's bad."))
            (('.', 'good', "it's", ',', 'said'), ["it's", '<unk>', '.'])
        """
        check_int("min_freq", min_freq)
        kept = None if max_size is None else check_int("max_size", max_size, minimum=2) - 2
        items = as_list(sequences)
        if not items:
            raise InvalidDataError("sequences must hold at least one sequence; got none. Pass the training sequences.")
        read = read_sequences(items)
        if tokenizer is None:
            warn_of_likely_mistakes(read)
        read = split_texts(read, as_tokenizer(tokenizer))
        return cls.of(read, min_freq=min_freq, kept=kept, strict=strict, tokenizer=tokenizer)

    @classmethod
    def of(
        cls,
        read: Sequences,
        *,
        min_freq: int = 1,
        kept: int | None = None,
        strict: bool = False,
        tokenizer: TokenizerName | Any = None,
    ) -> Self:
        """Make the vocabulary of plain sequences; otherwise as `build`."""
        splitter = as_tokenizer(tokenizer)
        read = split_texts(read, splitter) if read.kind == "text" else read
        if read.kind not in {"text", "tokens"}:
            got = "float arrays" if read.kind == "features" else "records, whose fields have their own"
            raise InvalidDataError(
                f"sequences must be strings or lists of symbols to have a vocabulary; got {got}. Leave the vocabulary "
                "out."
            )
        is_text = read.kind == "text"
        counts: Counter[Any] = Counter("".join(read.items)) if is_text else Counter(chain.from_iterable(read.items))
        if not is_text:
            _check_symbols(counts, read.items)
        return cls.from_counts(counts, is_text=is_text, min_freq=min_freq, kept=kept, strict=strict, tokenizer=splitter)

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[Any, int],
        *,
        is_text: bool,
        min_freq: int = 1,
        kept: int | None = None,
        strict: bool = False,
        tokenizer: Tokenizer | None = None,
    ) -> Self:
        """Make the vocabulary of symbols that occur so often; at most `kept` of them. Otherwise as `build`.

        Example:
            >>> Vocabulary.from_counts({"b": 1, "a": 3, "c": 3}, is_text=True).symbols
            ('a', 'c', 'b')
        """
        known = [symbol for symbol in sort_values(counts) if counts[symbol] >= min_freq]
        known.sort(key=lambda symbol: -counts[symbol])  # a stable sort: between equals the order by symbol stays
        known = known[:kept]
        return cls("".join(map(str, known)) if is_text else known, strict=strict, tokenizer=tokenizer)

    @property
    def takes_text(self) -> bool:
        """Whether it encodes strings: one of characters does, and one with a tokenizer."""
        return self.is_text or self.tokenizer is not None

    @property
    def has_letters(self) -> bool:
        """Whether its symbols are characters or bytes, which mean little one by one."""
        return self.is_text or (self.tokenizer is not None and self.tokenizer.has_letters)

    def encode(self, sequence: str | Tokens) -> Tensor:
        """Return the ids of the symbols of one sequence: an int64 tensor of shape (T,).

        Raises:
            InvalidDataError: The sequence is not of the vocabulary's kind (a string for text, any other sequence of
                hashable symbols for tokens), or a symbol is unknown and the vocabulary is strict.

        Example:
            >>> Vocabulary.build(["abba"]).encode("abc")
            tensor([2, 3, 1])
        """
        return self.encode_flat([sequence])[0]

    def to_ids(self, sequence: str | Tokens) -> list[int]:
        """Return the ids of the symbols of one sequence as a list; for a short one the quickest.

        Raises:
            InvalidDataError: As `encode`.

        Example:
            >>> Vocabulary.build(["abba"]).to_ids("abc")
            [2, 3, 1]
        """
        kind, symbols = read_sequence(sequence, 0)
        return self.to_plain_ids(self.check_kind(kind, symbols, 0)[1])

    def to_plain_ids(self, symbols: Any) -> list[int]:
        """Return the ids of a string, or of a list of symbols, that is of the vocabulary's kind."""
        get, unknown = self._ids.get, self.unknown_id
        ids = [get(symbol, unknown) for symbol in symbols]
        if self.strict and unknown in ids:
            self._refuse_unknown([symbols], np.array(ids), np.array([0, len(ids)]))
        return ids

    def check_kind(self, kind: Kind, symbols: Any, index: int) -> tuple[Kind, Any]:
        """Return a plain sequence that is of the vocabulary's kind; raise for others.

        Raises:
            InvalidDataError: It is of another.
        """
        if kind == ("text" if self.is_text else "tokens") or (self.is_text and kind == "tokens" and not symbols):
            return kind, symbols
        if kind == "text" and self.tokenizer is not None:
            return "tokens", split_texts(Sequences(kind, [symbols]), self.tokenizer).items[0]
        what = type(symbols).__name__
        if self.is_text:
            raise InvalidDataError(
                f"sequences must be strings for a vocabulary of text; got {what} (sequence {index}). Join the symbols, "
                "or build a vocabulary of tokens."
            )
        raise InvalidDataError(
            f"sequences must be lists, tuples or arrays of symbols for a vocabulary of tokens; got {what} "
            f"(sequence {index}). Split it into tokens first, or make the vocabulary with a tokenizer."
        )

    def encode_flat(self, sequences: Sequence[str | Tokens]) -> tuple[Tensor, Tensor]:
        """Encode many sequences at once, end to end.

        Returns:
            The ids of all symbols, int64 of shape (N,), and where each sequence starts and the last one ends, int64 of
            shape (len(sequences) + 1,): sequence i has the ids `values[offsets[i]:offsets[i + 1]]`.

        Raises:
            InvalidDataError: As `encode`; the message names the sequence and the position.

        Example:
            >>> values, offsets = Vocabulary("abc").encode_flat(["ab", "", "cab"])
            >>> values, offsets
            (tensor([2, 3, 4, 2, 3]), tensor([0, 2, 2, 5]))
        """
        if not len(sequences):
            return torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
        return self.encode_plain(read_sequences(list(sequences)))

    def encode_plain(self, read: Sequences) -> tuple[Tensor, Tensor]:
        """Encode plain sequences; otherwise as `encode_flat`."""
        items = self._own(read)
        values = self._encode_text(items) if self.is_text else self._encode_tokens(items)
        lengths = np.fromiter(map(len, items), np.int64, len(items))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        if self.strict:
            self._refuse_unknown(items, values, offsets)
        return torch.from_numpy(values), torch.from_numpy(offsets)

    def _own(self, read: Sequences) -> Sequence[Any]:
        """Return plain sequences as strings, or lists of symbols, of the vocabulary's kind; raise for others."""
        read = split_texts(read, self.tokenizer) if read.kind == "text" else read
        if read.kind == ("text" if self.is_text else "tokens"):
            return read.items
        for index, item in enumerate(read.items):
            self.check_kind(read.kind, item, index)
        return [""] * len(read.items)  # empty lists are empty texts, too

    def count_unknown(self, sequences: Iterable[str | Tokens]) -> Counter[Any]:
        """Return how often each symbol occurs that is unknown, the most frequent first.

        Raises:
            InvalidDataError: A sequence is not of the vocabulary's kind.

        Example:
            >>> Vocabulary("ab").count_unknown(["abc", "cad"])
            Counter({'c': 2, 'd': 1})
        """
        items = as_list(sequences)
        own = self._own(read_sequences(items)) if items else []
        counts: Counter[Any] = Counter("".join(own)) if self.is_text else Counter(chain.from_iterable(own))
        unknown = sorted(sort_values(symbol for symbol in counts if symbol not in self), key=lambda one: -counts[one])
        return Counter({symbol: counts[symbol] for symbol in unknown})

    def extend(self, symbols: Iterable[Hashable]) -> Self:
        """Return a vocabulary that knows these symbols, too: all before keep their ids, and the new ones follow.

        Args:
            symbols: The symbols, in the order of their ids; those of a set are sorted. One that is known is passed
                over. For a vocabulary of text a string will do, of which each character is one.

        Raises:
            InvalidArgumentError: One is none that sequences of the vocabulary's kind can have.
            InvalidDataError: They are not in a list, or another collection.

        Example:
            >>> more = Vocabulary("ab").extend("bc")
            >>> more.symbols, more.encode("abcd")
            (('a', 'b', 'c'), tensor([2, 3, 4, 1]))
        """
        if isinstance(symbols, str) and not self.is_text:
            raise InvalidArgumentError(
                f"symbols must be in a list for a vocabulary of tokens; got {symbols!r:.60}. Put it into a list."
            )
        listed = list(symbols) if isinstance(symbols, str) else as_values(symbols, "symbols")
        own = {symbol: symbol for symbol in self.symbols}
        for symbol in map(plain, listed):
            self._check_symbol(symbol)
            if type(own.setdefault(symbol, symbol)) is not type(symbol):
                raise InvalidArgumentError(
                    f"symbols must be of one kind; got {symbol!r}, which equals the symbol {own[symbol]!r}."
                )
        return type(self)("".join(own) if self.is_text else own, strict=self.strict, tokenizer=self.tokenizer)

    def _check_symbol(self, symbol: Any) -> None:
        """Raise unless a sequence of the vocabulary's kind can have a symbol."""
        rule = None if self.tokenizer is None else self.tokenizer.kind
        is_measured = holds(symbol, lambda one: isinstance(one, float))
        if self.is_text:
            fits, wanted = isinstance(symbol, str) and len(symbol) == 1, "single characters for a vocabulary of text"
        elif rule == "bytes":
            fits, wanted = type(symbol) is int and 0 <= symbol < _BYTES, "integers from 0 to 255 for one of bytes"
        elif self.tokenizer is not None and rule in {"words", "lowercase_words"}:
            fits = isinstance(symbol, str) and self.tokenizer([symbol]) == [[symbol]]
            wanted = f"what the tokenizer {rule!r} makes of texts"
        else:
            fits = is_savable(symbol) and not is_measured
            wanted = "strings, integers, bytes, dates, or tuples of these"
        if not fits:
            raise InvalidArgumentError(f"symbols must be {wanted}; got {symbol!r:.60} ({type(symbol).__name__}).")

    def decode(self, ids: Tensor | Sequence[int]) -> str | list[Any]:
        """Return the symbols of `ids`: a string for a vocabulary of text or of the bytes of one, otherwise a list.

        Padding is left out and the unknown becomes `"<unk>"`, so `decode(encode(x)) == x` for known symbols.

        Raises:
            InvalidDataError: An id is not an integer from 0 to `len(self) - 1`.

        Example:
            >>> Vocabulary(["to", "be"]).decode([2, 3, 1, 0, 0])
            ['to', 'be', '<unk>']
        """
        numbers = list(map(plain, ids.tolist() if isinstance(ids, Tensor) else ids))
        for position, number in enumerate(numbers):
            if not hasattr(number, "__index__") or not 0 <= number < len(self):
                raise InvalidDataError(
                    f"ids must be integers from 0 to {len(self) - 1}; got {number!r} (position {position}). "
                    "Decode with the vocabulary that encoded."
                )
        table = (None, self.unknown_symbol, *self.symbols)
        symbols = [table[number] for number in numbers if number != self.padding_id]
        if self.tokenizer is not None:
            return cast("str | list[Any]", self.tokenizer.join(symbols))
        return "".join(map(str, symbols)) if self.is_text else symbols

    def save(self, path: PathLike) -> None:
        """Write the vocabulary to `path` as JSON, whole or not at all.

        Raises:
            InvalidDataError: A symbol is of a kind that files cannot hold.

        Example:
            >>> import tempfile
            >>> from pathlib import Path
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Vocabulary("ACGT").save(Path(folder) / "dna.json")
            ...     Vocabulary.load(Path(folder) / "dna.json").symbols
            ('A', 'C', 'G', 'T')
        """
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: PathLike, *, tokenizer: Any = None) -> Self:
        """Read a vocabulary that `save` wrote.

        Args:
            path: The file.
            tokenizer: The function that splits texts, for a vocabulary with one of your own, which no file holds.

        Raises:
            FileFormatError: The file is missing, not JSON, not a vocabulary, or of a newer version.
            InvalidArgumentError: The vocabulary needs a `tokenizer` that was not given, or has its own.
            MissingDependencyError: It has a tokenizer of Hugging Face, which is not installed.
        """
        content = read_json(path, "vocabulary file")
        try:
            return cls.from_dict(content, tokenizer)
        except InvalidDataError as error:
            raise FileFormatError(f"{error} (in {path})") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the vocabulary as a value of strings, numbers, lists and dicts alone, ready for JSON.

        Raises:
            InvalidDataError: A symbol is of a kind that files cannot hold, or is a string that JSON would change.
        """
        for symbol in self.symbols:
            if isinstance(symbol, str) and _has_surrogate_pair(symbol):
                raise InvalidDataError(
                    f"symbols must be strings that JSON can hold; got {symbol!r}. Map it to another string."
                )
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "kind": "text" if self.is_text else "tokens",
            "strict": self.strict,
            "symbols": [to_json(symbol, "symbols") for symbol in self.symbols],
            "tokenizer": None if self.tokenizer is None else self.tokenizer.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Any, tokenizer: Any = None) -> Self:
        """Make the vocabulary that `to_dict` described.

        Raises:
            InvalidDataError: `content` is not such a description, or is of a newer version.
            InvalidArgumentError: As `load`.
            MissingDependencyError: As `load`.
        """
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise InvalidDataError(
                f"vocabulary must have the format {_FORMAT!r}; got something else. Use Vocabulary.save."
            )
        if not isinstance(content.get("version"), int) or content["version"] > _VERSION:
            raise InvalidDataError(
                f"vocabulary must be of version {_VERSION} or older; got {content.get('version')!r}. Upgrade seqclf."
            )
        symbols, kind, strict = content.get("symbols"), content.get("kind"), content.get("strict")
        is_text = kind == "text"
        try:
            symbols = list(map(from_json, symbols)) if isinstance(symbols, list) else None
        except (ValueError, TypeError):
            symbols = None
        if (
            kind not in ("text", "tokens")  # not a set: what stands in a file need not be hashable
            or not isinstance(strict, bool)
            or symbols is None
            or not all(map(is_savable, symbols))
            or (is_text and not all(isinstance(symbol, str) and len(symbol) == 1 for symbol in symbols))
            or len(set(symbols)) != len(symbols)
        ):
            raise InvalidDataError(
                "vocabulary must have a kind and distinct symbols of it; got others. Restore the file."
            )
        splitter = read_tokenizer(content, tokenizer)
        return cls("".join(symbols) if is_text else symbols, strict=strict, tokenizer=splitter)

    def __len__(self) -> int:
        return len(self.symbols) + 2

    def __contains__(self, symbol: Hashable) -> bool:
        return symbol in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    @property
    def parts(self) -> tuple[Any, ...]:
        """All that makes it what it is."""
        own = (self.symbols, self.is_text, self.strict)
        return own if self.tokenizer is None else (*own, json.dumps(self.tokenizer.to_dict(), sort_keys=True))

    def __repr__(self) -> str:
        first = ", ".join(repr(symbol) for symbol in self.symbols[:6])
        more = ", …" if len(self.symbols) > 6 else ""
        kind = "text" if self.is_text else "tokens" if self.tokenizer is None else repr(self.tokenizer)
        return f"Vocabulary({len(self)} ids, {kind}: {first}{more}{', strict' if self.strict else ''})"

    def _encode_text(self, texts: Sequence[Any]) -> npt.NDArray[np.int64]:
        assert self._table is not None
        codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
        found: npt.NDArray[np.int64] = self._table[np.minimum(codes, len(self._table) - 1)]
        return found

    def _encode_tokens(self, lists: Sequence[Any]) -> npt.NDArray[np.int64]:
        get, unknown = self._ids.get, self.unknown_id
        ids = (get(symbol, unknown) for symbol in chain.from_iterable(lists))
        return np.fromiter(ids, np.int64, sum(map(len, lists)))

    def _refuse_unknown(
        self, sequences: Sequence[Any], values: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
    ) -> None:
        unknown = np.flatnonzero(values == self.unknown_id)
        if len(unknown):
            index = int(np.searchsorted(offsets, unknown[0], side="right")) - 1
            position = int(unknown[0] - offsets[index])
            raise InvalidDataError(
                f"symbols must be in the vocabulary, which is strict; got {sequences[index][position]!r} "
                f"(sequence {index}, position {position}). Clean the data, or build with strict=False."
            )


def split_texts(read: Sequences, tokenizer: Tokenizer | None) -> Sequences:
    """Return texts as lists of the symbols that a tokenizer finds; without one, what is there.

    Raises:
        InvalidDataError: They are no texts, or a callable fails or finds what are no symbols.
    """
    if tokenizer is None:
        return read
    if read.kind != "text":
        raise InvalidDataError(
            f"sequences must be strings for a tokenizer to split; got {read.kind} (sequence 0). Leave it out."
        )
    lists = tokenizer(read.items)
    return read_sequences(lists) if tokenizer.kind == "callable" and any(lists) else Sequences("tokens", lists)


def _check_symbols(counts: Mapping[Any, int], lists: Sequence[list[Any]]) -> None:
    """Raise where two symbols are equal that are of two kinds, as True and 1."""
    if (0 in counts or 1 in counts) and {bool, int} <= {type(one) for items in lists for one in items}:
        raise InvalidDataError(
            "symbols must be of one kind; got bool and int in different sequences, and True equals 1. Use one of them."
        )


def check_is_vocabulary(vocabulary: Any) -> Vocabulary:
    """Return `vocabulary` if it is one; raise otherwise."""
    if not isinstance(vocabulary, Vocabulary):
        raise InvalidArgumentError(
            f"vocabulary must be a Vocabulary; got {type(vocabulary).__name__}. Pass train.vocabulary."
        )
    return vocabulary


def _character_table(ids: dict[Any, int]) -> npt.NDArray[np.int64]:
    """Return the ids by code point; the entry past the largest known code point is the unknown."""
    codes = np.array([ord(character) for character in ids], np.int64)
    table = np.full(int(codes.max(initial=-1)) + 2, Vocabulary.unknown_id, np.int64)
    table[codes] = list(ids.values())
    return table


def _has_surrogate_pair(symbol: str) -> bool:
    """Tell whether two lone surrogates stand side by side, which JSON would join into one character."""
    return bool(json.loads(json.dumps(symbol)) != symbol)
