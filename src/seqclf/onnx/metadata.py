"""What an exported file says of its model: all that it takes to encode raw sequences and to name the answers."""

from typing import Any

from seqclf.models.classifier import RNNClassifier
from seqclf.persistence import describe_model
from seqclf.reading.plain import to_json
from seqclf.reading.tokenizers import Tokenizer, word_pattern


def describe(model: RNNClassifier) -> dict[str, Any]:
    """Return the metadata of an exported model, as a value ready for JSON.

    Raises:
        InvalidDataError: A class or symbol is of a kind that files cannot hold.
    """
    description = describe_model(model)
    vocabulary = model.vocabulary
    return {
        "seqclf": description["seqclf"],
        "classes": description["classes"],
        "symbols": None if vocabulary is None else [to_json(symbol, "symbols") for symbol in vocabulary.symbols],
        "is_text": vocabulary is not None and vocabulary.is_text,
        "strict": vocabulary is not None and vocabulary.strict,
        "tokenizer": None if vocabulary is None or vocabulary.tokenizer is None else _rule(vocabulary.tokenizer),
        "multi_label": model.multi_label,
        "thresholds": model.thresholds.tolist() if model.multi_label else None,
        "fields": description["fields"],
        "context_fields": description["context_fields"],
        "missing": model.missing,
        "empty": model.empty,
        "channels_first": model.channels_first,
    }


def _rule(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return how to split texts without this library.

    Words are what the pattern finds one after another, once the text has been folded, if it is to be, and normalized.
    """
    rule = tokenizer.to_dict()
    if tokenizer.kind in {"words", "lowercase_words"}:
        fold = tokenizer.kind == "lowercase_words"
        rule |= {"case_fold": fold, "normalization": "NFC", "pattern": word_pattern().pattern}
    return rule
