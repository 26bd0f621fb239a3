r"""Tokenizers: what splits texts into symbols, kept with the vocabulary and applied again wherever texts come.

The rule of `"words"`: the text is composed by Unicode's NFC. A word is a run of letters, digits, marks and underscores,
with apostrophes inside, and points and commas between digits; an ideograph or a Hiragana letter stands alone, as their
scripts have no blanks; whatever else is no blank is a symbol by itself. `"lowercase_words"` folds case first. It
depends on nothing but Unicode.

References:
    Text segmentation, https://www.unicode.org/reports/tr29/, of which this is a simplification.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, get_args

from seqclf.choices import TokenizerName
from seqclf.errors import InvalidArgumentError, InvalidDataError, MissingDependencyError, did_you_mean

Split = Callable[[str], Iterable[Hashable]]

_ALONE = "\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WITHIN_NUMBERS = r"(?<=\d)[.,](?=\d)"
_ASCII_WORD = re.compile(rf"\w+(?:(?:'|{_WITHIN_NUMBERS})\w+)*|[^\w\s]")


class Tokenizer:
    """Splits texts into lists of symbols.

    Args:
        kind: The name of a rule of the library's; "callable"; or "tokenizers", for one of Hugging Face's.
        source: The callable, or the tokenizer of Hugging Face; None for the library's own.
    """

    def __init__(self, kind: str, source: Any = None) -> None:
        self.kind, self.source = kind, source

    @property
    def has_letters(self) -> bool:
        """Whether the symbols are letters rather than words, as bytes are."""
        return self.kind == "bytes"

    def __call__(self, texts: Sequence[str]) -> list[list[Any]]:
        """Return the symbols of each text.

        Raises:
            InvalidDataError: A callable fails, or returns something else than symbols; the message names the text.
        """
        if self.kind == "bytes":
            return [list(text.encode("utf-8", "surrogatepass")) for text in texts]
        if self.kind == "tokenizers":
            found = self.source.encode_batch(list(texts), add_special_tokens=False)
            return [encoding.tokens for encoding in found]
        if self.kind == "callable":
            return [self._call(text, index) for index, text in enumerate(texts)]
        fold = self.kind == "lowercase_words"
        return [_words(text.casefold() if fold else text) for text in texts]

    def _call(self, text: str, index: int) -> list[Any]:
        try:
            found = self.source(text)
            if isinstance(found, str) or not isinstance(found, Iterable):
                raise TypeError(f"returned {type(found).__name__}, not a list of symbols")
            return list(found)
        except Exception as error:
            raise InvalidDataError(
                f"tokenizer must return a list of symbols for each text; got {type(error).__name__}: {error} from "
                f"{self.name} for {text!r:.60} (sequence {index}). Correct the function."
            ) from error

    @property
    def name(self) -> str:
        """What to call it: the rule, or where the callable is defined."""
        if self.kind != "callable":
            return self.kind
        of = self.source if hasattr(self.source, "__qualname__") else type(self.source)
        module = getattr(of, "__module__", None)  # which methods of built-in types have not
        return of.__qualname__ if module is None else f"{module}.{of.__qualname__}"

    def join(self, symbols: list[Any]) -> Any:
        """Return what stands for symbols: a text where they are bytes; else the list."""
        if self.kind != "bytes":
            return symbols
        whole = b"".join(bytes([one]) if isinstance(one, int) else b"\xff" for one in symbols)
        try:
            return whole.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return whole.decode("utf-8", "replace")

    def to_dict(self) -> dict[str, Any]:
        """Return what a file says of it: all of it, but of a callable the name alone."""
        if self.kind == "tokenizers":
            return {"kind": self.kind, "json": self.source.to_str()}
        return {"kind": self.kind} | ({"name": self.name} if self.kind == "callable" else {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


def as_tokenizer(tokenizer: Any) -> Tokenizer | None:
    """Return what splits texts; None for characters, which need no splitting.

    Args:
        tokenizer: The name of a rule, a callable that returns the symbols of a text, or a tokenizer of Hugging Face
            (tokenizers, or a fast one of transformers).

    Raises:
        InvalidArgumentError: It is none of these.
    """
    if tokenizer is None or isinstance(tokenizer, Tokenizer):
        return tokenizer
    if isinstance(tokenizer, str) and tokenizer in get_args(TokenizerName):
        return None if tokenizer == "characters" else Tokenizer(tokenizer)
    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)  # of a fast tokenizer of transformers
    if hasattr(inner, "encode_batch") and hasattr(inner, "to_str"):
        return Tokenizer("tokenizers", inner)
    if hasattr(tokenizer, "convert_tokens_to_ids"):
        raise InvalidArgumentError(
            f"tokenizer must be a fast one; got {type(tokenizer).__name__}, which files cannot hold. Load it with "
            "use_fast=True, or pass its method tokenize."
        )
    if callable(tokenizer) and not isinstance(tokenizer, type):
        return Tokenizer("callable", tokenizer)
    raise InvalidArgumentError(
        f"tokenizer must be one of {', '.join(map(repr, get_args(TokenizerName)))}, a function that returns the "
        f"symbols of a text, or a tokenizer of Hugging Face; got {tokenizer!r:.80}."
        f"{did_you_mean(tokenizer, get_args(TokenizerName))}"
    )


def read_tokenizer(content: Any, given: Any) -> Tokenizer | None:
    """Return the tokenizer that a file tells of.

    Args:
        content: What the file says of the vocabulary, if anything.
        given: What the caller passes for a callable, which no file holds; or what this returned.

    Raises:
        InvalidArgumentError: A callable is needed and not given, or one is given and not needed.
        InvalidDataError: The content tells of none.
        MissingDependencyError: It is one of Hugging Face's, which is not installed.
    """
    if isinstance(given, Tokenizer):
        return given
    content = content.get("tokenizer") if isinstance(content, dict) else None
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == "callable":
        if given is None:
            raise InvalidArgumentError(
                f"tokenizer must be given, as files hold no code; got None, where {content.get('name')} was used. Pass "
                "tokenizer= as when the vocabulary was made."
            )
        return as_tokenizer(given)
    if given is not None:
        raise InvalidArgumentError(
            f"tokenizer must be None, as the file has its own ({kind or 'characters'}); got {given!r:.80}."
        )
    if content is None:
        return None
    if kind in get_args(TokenizerName):
        return as_tokenizer(kind)
    if kind != "tokenizers" or not isinstance(content.get("json"), str):
        raise InvalidDataError(f"vocabulary must have a tokenizer that is known; got {content!r:.80}. Upgrade seqclf.")
    try:
        import tokenizers  # noqa: PLC0415  # optional, so imported where it is needed
    except ImportError:
        raise MissingDependencyError(
            "tokenizers must be installed for a vocabulary of a Hugging Face tokenizer; it is not. Run: pip install "
            "tokenizers"
        ) from None
    try:
        return Tokenizer("tokenizers", tokenizers.Tokenizer.from_str(content["json"]))
    except Exception as error:  # noqa: BLE001  # which is the only class of error that it has
        raise InvalidDataError(
            f"vocabulary must have a tokenizer that is whole; got {error!s:.100}. Restore the file."
        ) from None


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text)
    return word_pattern().findall(unicodedata.normalize("NFC", text))


@lru_cache(maxsize=1)
def word_pattern() -> "re.Pattern[str]":
    """Return the rule for any text. Python's own knows letters and digits, but not the marks that go with them."""
    marks = [code for code in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M")]
    ranges, start = [], marks[0]
    for code, following in zip(marks, [*marks[1:], -1], strict=True):
        if following != code + 1:
            ranges.append(f"{chr(start)}-{chr(code)}")
            start = following
    inside = f"(?:(?![{_ALONE}])[\\w{''.join(ranges)}])+"
    return re.compile(f"{inside}(?:(?:['\u2019]|{_WITHIN_NUMBERS}){inside})*|[^\\s]")
