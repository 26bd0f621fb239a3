"""The options of a model: which there are, and which are at odds with each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

from torch import nn

from seqclf.cells.protocol import CellFactory
from seqclf.checks import check_choice, check_probability
from seqclf.choices import CellName, EmptyPolicy, MissingPolicy, PoolingName, PositionsName
from seqclf.defaults import Auto
from seqclf.engine.plan import ExecutionName
from seqclf.errors import InvalidArgumentError
from seqclf.fields import Fields
from seqclf.reading.columns import as_list
from seqclf.vocabulary import Vocabulary

SymbolDropout = float | Literal["rare"]


class ModelOptions(TypedDict, total=False):
    """The arguments of `RNNClassifier` that a dataset does not determine."""

    embedding_dim: int | Auto
    cell: CellName | CellFactory | Auto
    hidden_size: int | Auto
    num_layers: int | Auto
    bidirectional: bool | Auto
    dropout: float | Auto
    input_dropout: float | Auto
    symbol_dropout: SymbolDropout | Auto
    positions: PositionsName | Auto | None
    ngrams: int | Sequence[int] | Auto | None
    ngram_min_freq: int | Auto
    ngram_dropout: float | Auto
    weight_dropout: float | Auto
    recurrent_dropout: float | Auto
    variational_dropout: bool | Auto
    pooling: PoolingName | Sequence[PoolingName] | nn.Module | Auto
    execution: ExecutionName
    truncate_steps: int | None
    standardize: bool | Auto
    missing: MissingPolicy
    channels_first: bool
    empty: EmptyPolicy
    seed: int | None


def refuse_odds(options: Mapping[str, Any]) -> None:
    """Raise where options are at odds with the kind of sequence or of cell."""
    has_features = options["input_size"] is not None
    for_symbols = [
        ("symbol_dropout", 0, "Use input_dropout."),
        ("positions", None, "Add a feature that counts the steps."),
        ("ngrams", None, "Measurements have none."),
    ]
    for_features = [
        ("standardize", False, "Symbols have no scale."),
        ("missing", "error", "Symbols are never NaN."),
    ]
    for name, default, remedy in for_symbols if has_features else for_features:
        if options[name] != default:
            kind = "float sequences" if has_features else "sequences of symbols"
            raise InvalidArgumentError(f"{name} must be {default!r} for {kind}; got {options[name]!r}. {remedy}")
    for name in ("weight_dropout", "recurrent_dropout"):
        if callable(options["cell"]) and options[name]:
            raise InvalidArgumentError(
                f"{name} must be 0 for other cells than the built-in ones; got {options[name]!r}. Drop in the cell."
            )


def check_symbol_dropout(rate: Any) -> SymbolDropout:
    """Return the rate, or "rare"."""
    if isinstance(rate, str):
        rule: Literal["rare"] = check_choice("symbol_dropout", rate, ("rare",))
        return rule
    return check_probability("symbol_dropout", rate)


def check_pooling(pooling: Any) -> tuple[PoolingName, ...]:
    """Return the names of the poolings; none for a module of the user's own."""
    if isinstance(pooling, nn.Module):
        return ()
    names = (pooling,) if isinstance(pooling, str) or not isinstance(pooling, Sequence) else tuple(pooling)
    if not names:
        raise InvalidArgumentError("pooling must name at least one pooling; got none. Pass, for instance, 'last'.")
    return tuple(check_choice("pooling", name, get_args(PoolingName)) for name in names)


def check_model_fields(fields: Any, context_fields: Any, input_size: int | None) -> tuple[Fields | None, Fields | None]:
    """Return what records and context are made of, if anything."""
    for name, value in (("fields", fields), ("context_fields", context_fields)):
        if value is not None and not isinstance(value, Fields):
            raise InvalidArgumentError(f"{name} must be those of a dataset; got {type(value).__name__}.")
    if fields is not None and len(fields) != input_size:
        raise InvalidArgumentError(
            f"input_size must be the number of fields, {len(fields)}; got {input_size!r}. Pass input_size=len(fields)."
        )
    return fields, context_fields


def check_vocabulary(vocabulary: Vocabulary | None, vocab_size: int | None) -> Vocabulary | None:
    """Return the vocabulary, if any, which must have as many ids as the model."""
    if vocabulary is not None and len(vocabulary) != vocab_size:
        raise InvalidArgumentError(
            f"vocab_size must be the size of the vocabulary, {len(vocabulary)}; got {vocab_size}. "
            "Pass vocab_size=len(vocabulary)."
        )
    return vocabulary


def check_classes(classes: Sequence[Any] | None, num_classes: int) -> tuple[Any, ...] | None:
    """Return the labels of the classes, if any; there must be one for each."""
    if classes is None:
        return None
    found = tuple(as_list(classes, "classes"))
    if len(found) != num_classes:
        raise InvalidArgumentError(
            f"classes must hold {num_classes} labels, one for each class; got {len(found)}. Pass dataset.classes."
        )
    return found
