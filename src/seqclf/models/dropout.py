"""Dropout of whole symbols."""

import torch
from torch import Tensor, nn

_UNKNOWN = 1


class SymbolDropout(nn.Module):
    """In training, makes each symbol unknown with a given probability.

    The model learns not to hang on any single symbol, and what to make of symbols that it has never seen.

    Source:
        Word dropout, as in Iyyer, Manjunatha, Boyd-Graber and Daumé, Deep Unordered Composition Rivals Syntactic
        Methods for Text Classification, ACL 2015, section 3.1; the symbols stay in their places here.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, ids: Tensor) -> Tensor:
        """Return `ids` of any shape, some of them replaced by the id of the unknown symbol."""
        if not self.training or not self.rate:
            return ids
        dropped = torch.rand(ids.shape, device=ids.device) < self.rate
        return ids.masked_fill(dropped, _UNKNOWN)
