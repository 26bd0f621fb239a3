"""Growing a model: rows for more classes and symbols, while all that is there stays as it is.

Legend: V ids, C classes, E features of a vector.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqclf.checks import check_int
from seqclf.data.ngrams import MOST_KEYS, rekey
from seqclf.errors import InvalidArgumentError, InvalidDataError
from seqclf.models.context import ContextLogits
from seqclf.models.symbols import NGramVectors
from seqclf.reading.columns import as_values
from seqclf.reading.labels import index_label_sets, index_labels
from seqclf.reading.plain import plain

_FIRST_SYMBOL = 2  # the id; those before are padding and the unknown symbol


class Unknown(NamedTuple):
    """What new data have that a model does not know; it is true where there is anything.

    Attributes:
        classes: How often each label occurs that is none of its classes, sorted by label.
        symbols: How often each symbol occurs that it does not know, the most frequent first.
    """

    classes: Counter[Any]
    symbols: Counter[Any]

    def __bool__(self) -> bool:
        return bool(self.classes or self.symbols)


def count_labels(labels: list[Any], *, multi_label: bool) -> Counter[Any]:
    """Return how often each label occurs, sorted by label."""
    classes, found = index_label_sets(labels, None) if multi_label else index_labels(labels, None)
    counts = found.sum(0) if multi_label else torch.bincount(found, minlength=len(classes))
    return Counter(dict(zip(classes, counts.tolist(), strict=True)))


def more_classes(known: tuple[Any, ...] | None, given: Any) -> tuple[Any, ...] | None:
    """Return the classes of a model and those that are given, each once.

    Raises:
        InvalidArgumentError: The model has no labels, or one that is given cannot be a label.
    """
    listed = list(map(plain, as_values(given, "classes")))
    if not listed:
        return known
    if known is None:
        raise InvalidArgumentError(
            "model must have classes to be given more; got none. Set model.classes to a tuple of its labels first."
        )
    try:
        index_labels(listed, None)
        grown = (*known, *dict.fromkeys(label for label in listed if label not in known))
        return index_labels(listed, grown)[0]
    except InvalidDataError as error:
        raise InvalidArgumentError(f"classes must be what labels of datasets can be: {error}") from None


def grow_head(head: Any, count: int) -> None:
    """Give the last layer so many classes more.

    Raises:
        InvalidArgumentError: It is none that the library made.
    """
    if type(head) is not nn.Linear or head.bias is None:
        raise InvalidArgumentError(
            f"model must have the head that it was made with to be given classes; got {type(head).__name__}. Put "
            "further layers into a pooling of your own."
        )
    _grow(head, "weight", count)
    _grow(head, "bias", count)
    head.out_features += count


def grow_context(context: ContextLogits, count: int) -> None:
    """Let facts about sequences add to the logits of so many classes more."""
    _grow(context, "weight", count, dim=1)
    for place in range(len(context.categories)):
        _grow(context.categories, str(place), count, dim=1)


def grow_thresholds(thresholds: Tensor, count: int) -> Tensor:
    """Return thresholds (C,) for so many labels more: the highest, so that none stands where no other does."""
    return torch.cat([thresholds, thresholds.max().expand(count)])


def grow_embedding(embedding: Any, count: int) -> None:
    """Give so many symbols more a vector.

    Raises:
        InvalidArgumentError: It is none that the library made.
    """
    if type(embedding) is not nn.Embedding:
        raise InvalidArgumentError(
            "model must have the embedding that it was made with to be given symbols; got "
            f"{type(embedding).__name__}. Make a model with RNNClassifier.for_dataset."
        )
    _grow(embedding, "weight", count, first=_FIRST_SYMBOL)
    embedding.num_embeddings += count


def grow_ngrams(ngrams: NGramVectors, vocab_size: int) -> None:
    """Number n-grams by so many ids; none has a symbol that is new.

    Raises:
        InvalidArgumentError: There would be too many.
    """
    longest = max(ngrams.orders)
    if vocab_size**longest >= MOST_KEYS:
        raise InvalidArgumentError(
            f"symbols must be so few that ids ** n stays below 2^63, for n-grams of {longest}; got {vocab_size} ids. "
            "Pass fewer, or make a model with shorter ngrams."
        )
    ngrams.keys = rekey(ngrams.keys, ngrams.vocab_size, vocab_size)
    ngrams.vocab_size = vocab_size


def grow_counts(counts: Tensor, new: Iterable[Any], given: Any) -> Tensor:
    """Return how often training has each id (V,), with those of new symbols where it is given, and 0 where not."""
    known = given if isinstance(given, Mapping) else {}
    found = [check_int(f"symbols[{symbol!r}]", known.get(symbol, 0), minimum=0) for symbol in new]
    return torch.cat([counts, counts.new_tensor(found)])


def _grow(module: nn.Module, name: str, count: int, *, dim: int = 0, first: int = 0) -> None:
    """Put the mean of a parameter's rows, or columns, from the first that counts behind them, so many times."""
    old: Tensor = getattr(module, name)
    rows = old.detach().cpu().double().movedim(dim, 0)
    mean = rows[min(first, len(rows) - 1) :].mean(0, keepdim=True)
    more = mean.expand(count, *mean.shape[1:]).movedim(0, dim).to(old)
    setattr(module, name, nn.Parameter(torch.cat([old.detach(), more], dim), requires_grad=old.requires_grad))
