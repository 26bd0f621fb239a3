"""Dropout that does not depend on batching: each sequence draws from a key of its own.

Torch's dropout draws one number after the other for whatever tensor comes, so what an example loses depends on the
other examples of its batch. Here each choice is a function of the sequence's key, the place in the model, the step and
the feature, so an example loses the same in a batch of one and of a hundred, padded or packed, in any order.

References:
    Counter-based generation, as in Salmon, Moraes, Dror and Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011;
    with the mixing function of Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seqclf.engine.layout import Positions
from seqclf.errors import InvalidArgumentError

UNKNOWN = 1  # the id that a dropped symbol becomes

# The places in a model that drop something; layer number n, and what its steps see of the state, are counted from here.
SYMBOLS, INPUTS, POOLED, NGRAMS = range(4)
_LAYERS = 1 << 8
_STATES = 1 << 20

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed integer
_FACTORS = (-4658895280553007687, -7723592293110705685)
_LEVELS = 1 << 16  # rates are rounded to 1/65536, as four choices come from 64 bits


@dataclass(frozen=True, eq=False)
class Dropout:
    """What one forward call of a model in training drops, and of which sequences.

    Attributes:
        keys: One for each sequence, int64 of shape (B,); the same key, the same choices. They need not look random.
        rate: The part of the outputs of a layer that is dropped before the next, and of the pooled vector.
        inputs: The part of the features of embedded symbols, or of the inputs, that is dropped.
        symbols: The part of the symbols that become unknown; or, int32 (V,), the thresholds of `rarity_thresholds`.
        ngrams: The part of the n-grams that are not seen.
        states: The part of the features of the state that a step does not see.
        weights: The part of the weights from state to state that is dropped.
        variational: Whether a feature of inputs and layers is dropped for all steps of a sequence, or for each anew.
    """

    keys: Tensor
    rate: float
    inputs: float
    symbols: float | Tensor
    ngrams: float
    states: float
    weights: float
    variational: bool

    def fields(self, num_ids: int) -> dict[str, int]:
        """Return what the compiled kernels compare their choices with, as fields of `CBatch`, for so many ids."""
        rates = {"inputs": self.inputs, "layers": self.rate, "states": self.states, "pooled": self.rate}
        rates |= {"ngrams": self.ngrams} | ({} if isinstance(self.symbols, Tensor) else {"symbols": self.symbols})
        found = {f"drop_{name}": _threshold(rate) if rate else 0 for name, rate in rates.items()}
        if isinstance(self.symbols, Tensor):
            if (
                self.symbols.shape != (num_ids,)
                or self.symbols.dtype != torch.int32
                or not self.symbols.is_contiguous()
            ):
                raise InvalidArgumentError(f"thresholds must be int32, one for each of {num_ids} symbols.")
            found["drop_symbol"] = self.symbols.data_ptr()
        return found | {"variational": int(self.variational)}

    def select(self, rows: Tensor) -> "Dropout":
        """Return the same for some rows of the batch."""
        return replace(self, keys=self.keys[rows])

    def acts_inside(self, num_layers: int) -> bool:
        """Tell whether anything is dropped within an encoder of so many layers."""
        return bool(self.states or self.weights or (self.rate and num_layers > 1))

    def drop_symbols(self, ids: Tensor, positions: Positions) -> Tensor:
        """Make some symbols unknown."""
        if not isinstance(self.symbols, Tensor) and not self.symbols:
            return ids
        if not isinstance(self.symbols, Tensor):
            return ids.masked_fill(~choose(self.keys, SYMBOLS, positions, 1, self.symbols)[..., 0], UNKNOWN)
        numbers = draw(self.keys, SYMBOLS, positions, 1)[..., 0]
        return ids.masked_fill(numbers < self.symbols[ids] - _LEVELS // 2, UNKNOWN)

    def drop_ngrams(self, rows: Tensor, positions: Positions) -> Tensor:
        """Forget some of the n-grams (..., K) that end at each position."""
        if not self.ngrams:
            return rows
        return rows.masked_fill(~choose(self.keys, NGRAMS, positions, rows.shape[-1], self.ngrams), -1)

    def drop_inputs(self, x: Tensor, positions: Positions) -> Tensor:
        """Drop features of (..., E) at each position."""
        return self._drop(x, self.inputs, INPUTS, positions)

    def drop_between_layers(self, x: Tensor, layer: int, positions: Positions) -> Tensor:
        """Drop features of what layer number `layer` puts out, (..., directions * H)."""
        return self._drop(x, self.rate, _LAYERS + layer, positions)

    def drop_pooled(self, pooled: Tensor) -> Tensor:
        """Drop features of the pooled vectors (B, S)."""
        return self._drop(pooled[:, None], self.rate, POOLED, Positions.of_padded(len(pooled), 1))[:, 0]

    def state_mask(self, like: Tensor, size: int, layer: int, direction: int, sequences: Tensor) -> Tensor:
        """Return the factors (B, size) of the state that the steps of one direction of a layer see, 0 or above 1."""
        positions = Positions(sequences, torch.zeros_like(sequences))
        place = _STATES + 2 * layer + direction
        kept = choose(self.keys, place, positions, size, self.states, per_sequence=True)
        return kept.to(like) * _scale(self.states)

    def _drop(self, x: Tensor, rate: float, place: int, positions: Positions) -> Tensor:
        if not rate:
            return x
        kept = choose(self.keys, place, positions, x.shape[-1], rate, per_sequence=self.variational)
        return x * (kept.to(x) * _scale(rate))


def choose(
    keys: Tensor, place: int, positions: Positions, width: int, rate: float, *, per_sequence: bool = False
) -> Tensor:
    """Return which of `width` features to keep at each position: bool of shape (*positions, width), where the keys lie.

    `per_sequence` makes one choice for all steps of a sequence.
    """
    return draw(keys, place, positions, width, per_sequence=per_sequence) >= _threshold(rate) - _LEVELS // 2


def draw(keys: Tensor, place: int, positions: Positions, width: int, *, per_sequence: bool = False) -> Tensor:
    """Return the numbers that choices come from, int16 of shape (*positions, width)."""
    rows = _mix(_mix(keys) + place)[positions.sequence.to(keys.device)]
    if not per_sequence:
        rows = _mix(rows + positions.step.to(rows.device))
    counters = torch.arange(-(-width // 4), device=rows.device) * _GOLDEN
    return _mix(rows[..., None] + counters).view(torch.int16)[..., :width]  # four from each


def rarity_thresholds(counts: Tensor) -> Tensor:
    """Return for each symbol, of the number of times that training has it, what makes it unknown once in 1 + count.

    So what is rare stands in for what never came. Padding and the unknown symbol itself (ids 0 and 1) stay.

    References:
        Word dropout of Kiperwasser and Goldberg, Simple and Accurate Dependency Parsing Using Bidirectional LSTM
        Feature Representations, TACL 2016, section 4.2 with alpha = 1.
    """
    thresholds = (_LEVELS / (1 + counts.double())).round().clamp(max=_LEVELS - 1).int()
    thresholds[counts == 0] = 0
    thresholds[: UNKNOWN + 1] = 0
    return thresholds


def _threshold(rate: float) -> int:
    return min(round(rate * _LEVELS), _LEVELS - 1)


def _scale(rate: float) -> float:
    """Return what the kept values are multiplied by, so that the mean stays."""
    return _LEVELS / (_LEVELS - _threshold(rate))


def _mix(numbers: Tensor) -> Tensor:
    """Scramble 64-bit integers so that neighbours have nothing in common; a bijection."""
    mixed = numbers + _GOLDEN
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        mixed = (mixed ^ _shift(mixed, shift)).mul_(factor)
    return mixed ^ _shift(mixed, 31)


def _shift(numbers: Tensor, bits: int) -> Tensor:
    """Shift right as unsigned integers; torch's own shift copies the sign."""
    return (numbers >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def keys_for(indices: Tensor, seed: int, epoch: int) -> Tensor:
    """Return the key of each sequence, from its index in the data, for one epoch of one training."""
    start = torch.tensor([seed % (1 << 63)], dtype=torch.int64)
    return _mix(_mix(start) + epoch) + indices
