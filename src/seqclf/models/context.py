"""Context: what facts about a whole sequence add to its logits.

A linear head that reads them beside the pooled vector gives a weight to each number and, as a vector for a category
goes into it linearly too, a row of its own to each category. So their part of the logits is a sum of a few rows. It is
taken term by term, in one order, so that it is the same bits in any batch. Legend: B sequences, K facts, C classes.
"""

import torch
from torch import Tensor, nn

from seqclf.errors import InvalidArgumentError
from seqclf.fields import Fields
from seqclf.models.features import Features, ids_of


class ContextLogits(nn.Module):
    """The part of the logits that context brings; zero before training.

    Args:
        fields: What the facts are.
        num_classes: C.
    """

    def __init__(self, fields: Fields, num_classes: int) -> None:
        super().__init__()
        self.places, self.number_places = fields.categories, fields.numbers
        self.numbers = Features(len(self.number_places), standardize=True, missing="indicator")
        self.weight = nn.Parameter(torch.zeros(self.numbers.output_size, num_classes))
        self.categories = nn.ParameterList([torch.zeros(size, num_classes) for size in fields.sizes])

    def fit(self, rows: Tensor) -> None:
        """Measure the numbers of training data (n, K)."""
        self.numbers.fit(rows[:, self.number_places])

    def forward(self, rows: Tensor) -> Tensor:
        """Return what facts (B, K) add to the logits, (B, C)."""
        numbers = self.numbers(rows[:, self.number_places], self.weight.dtype)  # (B, 2 * numbers)
        logits = self.weight.new_zeros(len(rows), self.weight.shape[1])
        for place, row in enumerate(self.weight):
            logits = logits + numbers[:, place, None] * row
        for place, table in zip(self.places, self.categories, strict=True):
            logits = logits + table[ids_of(rows[:, place], len(table))]
        return logits


def check_context(context: Tensor | None, fields: Fields | None, rows: int) -> None:
    """Raise unless a batch has a context exactly where the model takes one.

    Raises:
        InvalidArgumentError: It has one and should not, or the other way round, or one of another shape.
    """
    if fields is None and context is not None:
        raise InvalidArgumentError("context must be None for a model without; got some. Leave it out.")
    if fields is not None and (context is None or context.shape != (rows, len(fields))):
        got = None if context is None else tuple(context.shape)
        raise InvalidArgumentError(
            f"context must have the shape ({rows}, {len(fields)}), for {fields.names}; got {got}. Pass batch.context."
        )
